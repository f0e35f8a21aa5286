import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { XlembedError } from '../../errors.js';
import { checkPaths, type RemoteFile, TREE_ENTRY, toRemoteFile } from './files.js';
import { type HubName, showName } from './name.js';
import type { HubSettings } from './settings.js';

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Who answers so may answer otherwise in a moment. */
const BUSY = new Set([429, 500, 502, 503, 504]);

const COMMIT = z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/) });

/**
 * Asks one hub about one model. Every failure comes as HUB_UNREACHABLE (the network, or a hub out of order),
 * HUB_UNAUTHORIZED or HUB_NOT_FOUND.
 */
export class HubClient {
  readonly name: HubName;
  readonly #settings: HubSettings;

  constructor(name: HubName, settings: HubSettings) {
    this.name = name;
    this.#settings = settings;
  }

  /** The commit that the revision names at present. */
  async commit(): Promise<string> {
    const { modelInfo } = await import('@huggingface/hub');
    const { repository: name, revision } = this.name;
    const info = await this.#ask(() =>
      modelInfo({ name, revision, additionalFields: ['sha'], ...this.#clientOptions() }),
    );
    return this.#check(COMMIT, info).sha;
  }

  /** All files of a commit. Throws MODEL_INVALID as well. */
  async files(commit: string): Promise<RemoteFile[]> {
    const { listFiles } = await import('@huggingface/hub');
    const { repository: repo } = this.name;
    const entries = await this.#ask(async () => {
      const listed: unknown[] = [];
      const options = { repo, revision: commit, recursive: true, ...this.#clientOptions() };
      for await (const entry of listFiles(options)) if (entry.type === 'file') listed.push(entry);
      return listed;
    });
    const files = this.#check(z.array(TREE_ENTRY), entries).map(toRemoteFile);
    checkPaths(files, showName(this.name));
    return files;
  }

  /** The content of a file from byte `offset` on. A server may answer with the whole file (status 200). */
  open(commit: string, path: string, offset: number, signal: AbortSignal): Promise<Response> {
    const encoded = path.split('/').map(encodeURIComponent).join('/');
    const url = `${this.#base()}/${this.name.repository}/resolve/${commit}/${encoded}`;
    // A compressed answer would have neither the offsets nor the size of the file.
    const headers = { 'accept-encoding': 'identity', ...(offset > 0 && { range: `bytes=${offset}-` }) };
    return this.#ask(() => this.#request(url, { headers, signal }));
  }

  unreachable(cause: unknown): XlembedError {
    const { message, code } = innermost(cause);
    return new XlembedError(
      'HUB_UNREACHABLE',
      `${this.#base()} did not give ${showName(this.name)}: ${code && !message.includes(code) ? `${code}, ` : ''}${message}`,
      `no such folder is here, so the hub was asked: check the name, the network and HF_ENDPOINT, and run it again (what came so far is kept), or take the cached model with --offline${proxyRemedy(this.name)}`,
      { cause },
    );
  }

  #base(): string {
    return this.#settings.endpoint.href.replace(/\/+$/, '');
  }

  #clientOptions() {
    return {
      hubUrl: this.#base(),
      fetch: (url: string | URL | Request, init?: RequestInit) =>
        this.#patiently(() =>
          this.#request(String(url), { ...init, signal: AbortSignal.timeout(this.#settings.idleTimeout_ms) }),
        ),
    };
  }

  /** Asks a busy hub again; transfers, which go on where they broke, see to that themselves. */
  async #patiently<T>(question: () => Promise<T>): Promise<T> {
    const { retries, retryDelay_ms } = this.#settings;
    for (let failures = 0; ; failures++) {
      try {
        return await question();
      } catch (error) {
        const { cause } = error as Error;
        if (!(cause instanceof StatusError && BUSY.has(cause.status)) || failures === retries) throw error;
        await sleep(retryDelay_ms * 2 ** failures);
      }
    }
  }

  /** Follows redirects by hand, so that the token goes to the hub alone and never to the store behind it. */
  async #request(url: string, init: RequestInit): Promise<Response> {
    const { endpoint, token } = this.#settings;
    let target = new URL(url);
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const isHub = target.origin === endpoint.origin;
      const headers = new Headers(init.headers);
      if (token && isHub) headers.set('authorization', `Bearer ${token}`);
      const response = await fetch(target, { ...init, headers, redirect: 'manual' });
      const location = REDIRECTS.has(response.status) ? response.headers.get('location') : null;
      if (response.ok) return response;
      await response.body?.cancel();
      if (location === null) throw this.#refusal(response, isHub);
      target = new URL(location, target);
    }
    throw new Error(`more than ${MAX_REDIRECTS} redirects`);
  }

  #refusal(response: Response, isHub: boolean): XlembedError {
    const { status, headers } = response;
    const { repository, revision } = this.name;
    const reason = headers.get('x-error-code');
    if (isHub && (status === 401 || status === 403)) return this.#unauthorized(status, reason);
    if (status !== 404) return this.unreachable(new StatusError(status, new URL(response.url).host));
    const what =
      reason === 'RevisionNotFound' ? `revision ${revision} of ${repository}` : showName(this.name);
    return new XlembedError(
      'HUB_NOT_FOUND',
      `${this.#base()} has no ${what}`,
      'check the spelling: expected an existing folder, or owner/name[@revision] of a model on the hub',
    );
  }

  /** The hub also answers so for a model that does not exist, lest it tell which private ones do. */
  #unauthorized(status: number, reason: string | null): XlembedError {
    const { repository } = this.name;
    const given = this.#settings.token ? 'with the token given' : 'without a token';
    const gated = reason === 'GatedRepo';
    return new XlembedError(
      'HUB_UNAUTHORIZED',
      `${this.#base()} refuses ${showName(this.name)} ${given} (status ${status}): ${gated ? 'it is gated' : 'it is private, or does not exist'}`,
      gated
        ? `accept its conditions at ${this.#base()}/${repository} and set HF_TOKEN`
        : 'check the spelling, and set HF_TOKEN to a token that may read it',
    );
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (cause) {
      throw cause instanceof XlembedError ? cause : this.unreachable(cause);
    }
  }

  #check<S extends z.ZodType>(schema: S, answer: unknown): z.infer<S> {
    const result = schema.safeParse(answer);
    if (result.success) return result.data;
    const issue = result.error.issues[0]!;
    throw this.unreachable(new Error(`unexpected answer: ${issue.path.join('.')}: ${issue.message}`));
  }
}

class StatusError extends Error {
  constructor(
    readonly status: number,
    host: string,
  ) {
    super(`status ${status} of ${host}`);
  }
}

/** Node asks the hub itself where curl, pip and Python ask the proxy. */
function proxyRemedy({ repository }: HubName): string {
  const { HTTPS_PROXY, https_proxy, NODE_USE_ENV_PROXY } = process.env;
  if (!(HTTPS_PROXY || https_proxy) || NODE_USE_ENV_PROXY) return '';
  return `; Node passes HTTPS_PROXY by: set NODE_USE_ENV_PROXY=1 (Node 22.21 or 24 and up), or fetch the model in Python (hf download ${repository}), then --offline`;
}

/** fetch hides what happened behind "fetch failed". */
function innermost(error: unknown): { message: string; code?: string } {
  let inner = error as Error & { code?: string };
  while (inner.cause instanceof Error) inner = inner.cause as typeof inner;
  return inner;
}
