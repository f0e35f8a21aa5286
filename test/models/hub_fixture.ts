import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, beforeEach } from 'node:test';
import { type HubOptions, resolveModel } from '#xlembed/models/hub.js';
import { filesOf, HubServer } from './hub_server.js';
import { REFERENCE, temporaryFolder } from './support.js';

export const WEIGHTS = 'model.safetensors';
export const labse = filesOf(join(REFERENCE, 'labse-version-5'));
export const bert = filesOf(join(REFERENCE, 'bert-version-6'));

// The test decides what the environment says.
for (const name of [
  'HF_TOKEN',
  'HF_ENDPOINT',
  'HF_HUB_OFFLINE',
  'TRANSFORMERS_OFFLINE',
  'HTTPS_PROXY',
  'https_proxy',
])
  delete process.env[name];
process.env.HF_TOKEN_PATH = join(temporaryFolder(), 'none');

export let hub: HubServer;
export let cache: string;
const started: HubServer[] = [];

beforeEach(async () => {
  hub = await HubServer.start();
  started.push(hub);
  cache = temporaryFolder();
});
after(() => {
  for (const server of started) server.stop();
});

export function resolve(name: string, options: HubOptions = {}): Promise<string> {
  const { endpoint = hub.endpoint } = options;
  return resolveModel(name, { cacheFolder: cache, retries: 1, retryDelay_ms: 1, ...options, endpoint });
}

export function bigModel(size = 300_000) {
  return new Map([...bert, [WEIGHTS, randomBytes(size)]]);
}

export const blobsOf = (repository: string) =>
  join(cache, `models--${repository.replace('/', '--')}`, 'blobs');
export const snapshotsOf = (repository: string) =>
  join(cache, `models--${repository.replace('/', '--')}`, 'snapshots');
export const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
