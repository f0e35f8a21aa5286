import { existsSync } from 'node:fs';
import { join, posix } from 'node:path';
import { z } from 'zod';
import { checkOptions } from '../checked_options.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { restoreFolder } from '../files/write_folder.js';
import { ModelCache } from './hub/cache.js';
import { HubClient } from './hub/client.js';
import { BlobDownload } from './hub/download.js';
import { chooseFiles, moduleFolders, type RemoteFile } from './hub/files.js';
import { withLock } from './hub/lock.js';
import { type HubName, isCommit, parseHubName, showName } from './hub/name.js';
import { type HubOptions, type HubSettings, hubShape, readHubSettings } from './hub/settings.js';
import { parseFields, readJson } from './json_file.js';
import { isLaserConfig } from './laser.js';
import { parseModules } from './sentence_transformers.js';
import { refuseOtherArchitectures } from './transformer_config.js';

export type { DownloadProgress, HubOptions } from './hub/settings.js';

/** Those of an encoder may be among them. */
const hubOptions = z.looseObject(hubShape).partial();

/**
 * The folder of a model: `nameOrFolder` itself when it exists, else `owner/name[@revision]` fetched from the Hugging
 * Face hub into the cache that Python shares, or taken from there. Only files that a model needs are fetched, each is
 * checked against its digest, and a snapshot appears when all are there.
 * Throws FILE_NOT_FOUND, INVALID_ARGUMENT, HUB_UNREACHABLE, HUB_NOT_FOUND, HUB_UNAUTHORIZED, HUB_OFFLINE,
 * CHECKSUM_MISMATCH, FILE_READ_FAILED, FILE_WRITE_FAILED, MODEL_INVALID, MODEL_UNSUPPORTED.
 */
export async function resolveModel(nameOrFolder: string, options: HubOptions = {}): Promise<string> {
  if (typeof nameOrFolder !== 'string')
    throw invalidArgument('the model', 'a folder or owner/name', nameOrFolder);
  checkOptions(hubOptions, options);
  await restoreFolder(nameOrFolder);
  if (existsSync(nameOrFolder)) {
    if (options.revision === undefined) return nameOrFolder;
    throw invalidArgument(
      'revision',
      'none for a local folder',
      options.revision,
      `${nameOrFolder} exists here`,
    );
  }
  const name = parseHubName(nameOrFolder, options.revision);
  if (!name) throw noFolder(nameOrFolder);
  const settings = await readHubSettings(options);
  const cache = new ModelCache(settings.cacheFolder, name.repository);
  return settings.offline ? cachedSnapshot(cache, name) : fetchSnapshot(cache, name, settings);
}

/** The commit of a folder in the hub's cache; undefined for any other folder. */
export function snapshotCommit(folder: string | null): string | undefined {
  const commit = /\/snapshots\/([^/]+)\/?$/.exec(folder ?? '')?.[1] ?? '';
  return isCommit(commit) ? commit : undefined;
}

async function fetchSnapshot(cache: ModelCache, name: HubName, settings: HubSettings): Promise<string> {
  const client = new HubClient(name, settings);
  const commit = isCommit(name.revision) ? name.revision : await client.commit();
  const listing = cache.readListing(commit);
  if (!listing || cache.missing(commit, listing).length > 0) {
    const onWait = () => settings.onProgress({ file: null, bytesDone: 0, bytesTotal: 0 });
    await withLock(cache.lock, onWait, () => fillSnapshot(cache, client, commit, settings));
  }
  // Last: offline, a revision stays at its former commit until the new one is complete.
  if (!isCommit(name.revision)) await cache.writeRef(name.revision, commit);
  return cache.snapshot(commit);
}

async function fillSnapshot(
  cache: ModelCache,
  client: HubClient,
  commit: string,
  settings: HubSettings,
): Promise<void> {
  const files = cache.readListing(commit) ?? (await listFiles(cache, client, commit, settings));
  const missing = cache.missing(commit, files);
  const bytesTotal = files.reduce((sum, { size }) => sum + size, 0);
  let bytesThere = bytesTotal - missing.reduce((sum, { size }) => sum + size, 0);
  for (const file of missing) {
    const report = (bytes: number) =>
      settings.onProgress({ file: file.path, bytesDone: bytesThere + bytes, bytesTotal });
    if (!cache.hasBlob(file))
      await new BlobDownload(client, commit, file, cache.blob(file), settings, report).run();
    report(file.size);
    bytesThere += file.size;
  }
  for (const file of missing) await cache.link(commit, file);
}

/** modules.json says in which folders the rest lies. It and config.json are read before anything large is fetched. */
async function listFiles(
  cache: ModelCache,
  client: HubClient,
  commit: string,
  settings: HubSettings,
): Promise<RemoteFile[]> {
  const all = await client.files(commit);
  const name = showName(client.name);
  const read = async (path: string) => {
    const file = all.find((each) => each.path === path);
    if (!file) return undefined;
    if (!cache.hasBlob(file))
      await new BlobDownload(client, commit, file, cache.blob(file), settings, () => {}).run();
    return readJson(cache.blob(file));
  };
  const modules = await read('modules.json');
  const folders = modules === undefined ? [''] : moduleFolders(parseModules(modules, `${name}/modules.json`));
  const files = chooseFiles(all, folders, name);
  const configPath = posix.join(folders[0]!, 'config.json');
  const config = await read(configPath);
  if (config !== undefined) checkConfig(config, `${name}/${configPath}`);
  await cache.writeListing(commit, files);
  return files;
}

function checkConfig(config: unknown, path: string): void {
  const raw = parseFields(z.record(z.string(), z.unknown()), config, path);
  if (!isLaserConfig(raw)) refuseOtherArchitectures(raw, path);
}

/** A snapshot without our listing came from another program: opening it will tell what it lacks. */
async function cachedSnapshot(cache: ModelCache, name: HubName): Promise<string> {
  const commit = await cache.commitOf(name.revision);
  if (commit === undefined) throw notCached(name, `no ${join(cache.folder, 'refs', name.revision)}`);
  const folder = cache.snapshot(commit);
  const missing = cache.missing(commit, cache.readListing(commit) ?? []).map(({ path }) => path);
  if (missing.length > 0) throw notCached(name, `${folder} lacks ${missing.join(', ')}`);
  if (!existsSync(folder)) throw notCached(name, `no ${folder}`);
  return folder;
}

function notCached(name: HubName, what: string): XlembedError {
  return new XlembedError(
    'HUB_OFFLINE',
    `${showName(name)} is not complete in the cache, and the hub may not be asked: ${what}`,
    'run it once without --offline and HF_HUB_OFFLINE, or name another HF_HUB_CACHE',
  );
}

function noFolder(name: string): XlembedError {
  return new XlembedError(
    'FILE_NOT_FOUND',
    `the model folder ${name} does not exist`,
    'give the path of a folder, or owner/name[@revision] of a model on the hub',
  );
}
