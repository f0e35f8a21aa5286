// Puts a reference model into a hub cache, for hub_cache_opens_in_python.py:
//     node .build/test/interop/fill_hub_cache.js CACHE
import { resolveModel } from '#xlembed/models/hub.js';
import { filesOf, HubServer } from '../models/hub_server.js';

const [cacheFolder] = process.argv.slice(2);
if (!cacheFolder) throw new Error('usage: node .build/test/interop/fill_hub_cache.js CACHE');
const hub = await HubServer.start();
for (const name of ['bert-version-6', 'labse-version-5']) {
  const repository = `reference/${name}`;
  hub.publish(repository, 'main', filesOf(`test/reference/models/${name}`));
  console.log(await resolveModel(repository, { cacheFolder, endpoint: hub.endpoint, offline: false }));
}
hub.stop();
