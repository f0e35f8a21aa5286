import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { withHome } from '../files/home.js';

/** Where xlembed keeps what it has fetched or made and can make again, as scripts/setup/shared.mjs says too. */
export function cacheFolder(): string {
  const { XLEMBED_CACHE, XDG_CACHE_HOME } = process.env;
  return resolve(XLEMBED_CACHE || join(XDG_CACHE_HOME || join(withHome(homedir), '.cache'), 'xlembed'));
}
