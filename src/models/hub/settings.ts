import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { functionSchema } from '../../checked_options.js';
import { invalidArgument } from '../../errors.js';
import { fileError } from '../../files/file_error.js';
import { withHome } from '../../files/home.js';

export interface DownloadProgress {
  /** Path within the model; null while another process downloads the same model. */
  file: string | null;
  /** Of all files, those that were there already included. */
  bytesDone: number;
  bytesTotal: number;
}

export interface HubOptions {
  /** Branch, tag or commit; default: the one in the name, else `main`. */
  revision?: string | undefined;
  /** Take what the cache holds and ask nobody; default: HF_HUB_OFFLINE. */
  offline?: boolean | undefined;
  /** Default: HF_TOKEN (or HUGGING_FACE_HUB_TOKEN, its old name), else the file that `hf auth login` wrote. */
  token?: string | undefined;
  /** Default: HF_ENDPOINT, else the public hub. */
  endpoint?: string | undefined;
  /** Default: HF_HUB_CACHE, else `hub` in HF_HOME, else ~/.cache/huggingface/hub. */
  cacheFolder?: string | undefined;
  /** Attempts after a broken transfer that brought nothing new, or the answer that the hub is busy; default 4. */
  retries?: number | undefined;
  /** Before the first of them, doubled for each next one; default 1,000. */
  retryDelay_ms?: number | undefined;
  /** Silence after which a connection counts as broken; default 30,000. */
  idleTimeout_ms?: number | undefined;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

export const hubShape = {
  revision: z.string(),
  offline: z.boolean(),
  token: z.string(),
  endpoint: z.string(),
  cacheFolder: z.string(),
  retries: z.int().min(0),
  retryDelay_ms: z.number().min(0),
  idleTimeout_ms: z.number().min(0),
  onProgress: functionSchema,
};

export interface HubSettings {
  endpoint: URL;
  token: string | undefined;
  cacheFolder: string;
  offline: boolean;
  retries: number;
  retryDelay_ms: number;
  idleTimeout_ms: number;
  onProgress: (progress: DownloadProgress) => void;
}

/** Options with the defaults that Python's huggingface_hub takes from the environment. Throws INVALID_ARGUMENT, FILE_READ_FAILED, FILE_NOT_FOUND. */
export async function readHubSettings(options: HubOptions): Promise<HubSettings> {
  const { getHFHubCachePath, HUB_URL } = await import('@huggingface/hub');
  const { HF_ENDPOINT, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE } = process.env;
  const cacheFolder = resolve(expandHome(options.cacheFolder ?? expanded(withHome(getHFHubCachePath))));
  return {
    endpoint: readEndpoint(options.endpoint ?? (HF_ENDPOINT || HUB_URL)),
    token: readToken(options.token),
    cacheFolder,
    offline: options.offline ?? isTrue(HF_HUB_OFFLINE || TRANSFORMERS_OFFLINE),
    retries: options.retries ?? 4,
    retryDelay_ms: options.retryDelay_ms ?? 1000,
    idleTimeout_ms: options.idleTimeout_ms ?? 30_000,
    onProgress: options.onProgress ?? (() => {}),
  };
}

function isTrue(value: string | undefined): boolean {
  return ['1', 'ON', 'YES', 'TRUE'].includes(value?.toUpperCase() ?? '');
}

/** Python puts in the variables that a path of the environment names, as in /scratch/$USER; unknown ones stay. */
function expanded(path: string): string {
  return path.replace(
    /\$(?:(\w+)|\{([^}]*)\})/g,
    (text, plain, braced) => process.env[plain ?? braced] ?? text,
  );
}

function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(withHome(homedir), path.slice(1)) : path;
}

function readEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw invalidArgument('the hub endpoint', 'an http or https address', text, 'correct or unset HF_ENDPOINT');
}

/** The token may come with the line end of its file, which lies in HF_HOME wherever the cache is. It never stands in a message. */
function readToken(given: string | undefined): string | undefined {
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || '~/.cache', 'huggingface');
  const path = expandHome(expanded(HF_TOKEN_PATH || join(home, 'token')));
  const named = HF_TOKEN || HUGGING_FACE_HUB_TOKEN;
  const token = (given ?? (named || (existsSync(path) ? readText(path) : ''))).trim();
  if (token === '') return undefined;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw invalidArgument('the hub token', 'one line of plain characters', '(hidden)', 'correct HF_TOKEN');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw fileError(path, cause);
  }
}
