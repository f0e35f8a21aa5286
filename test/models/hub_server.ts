import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export type Files = Map<string, Buffer>;

export interface SeenRequest {
  server: 'hub' | 'store';
  /** Decoded, without the query. */
  path: string;
  range: string | undefined;
  authorization: string | undefined;
}

const PAGE = 3;
const LARGE = /\.(safetensors|bin|pt|model|spm)$/;

const hexOf = (algorithm: string, ...parts: (string | Buffer)[]) => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

/** Files below a folder, links followed, by their slash-separated paths. */
export function filesOf(folder: string): Files {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = paths.filter((path) => statSync(join(folder, path)).isFile());
  return new Map(files.map((path) => [path, readFileSync(join(folder, path))]));
}

/**
 * A hub on this machine: the endpoints, headers and status codes of the real one, with small files served by the hub
 * itself and large ones by a store on another origin, to which the hub redirects.
 */
export class HubServer {
  /** Repository -> revision -> commit. */
  readonly #revisions = new Map<string, Map<string, string>>();
  readonly #commits = new Map<string, Files>();
  readonly #servers: { hub: Server; store: Server };
  readonly requests: SeenRequest[] = [];
  /** Old name -> repository. */
  readonly moved = new Map<string, string>();
  /** Path -> bytes of the next answer after which the connection breaks. */
  readonly cutAfter = new Map<string, number>();
  /** Paths whose first byte comes out wrong. */
  readonly corrupted = new Set<string>();
  /** Path -> what an answer waits for in the middle of the file. */
  readonly held = new Map<string, Promise<void>>();
  ignoresRange = false;
  /** How many of the next questions are answered with status 429. */
  busy = 0;
  token: string | undefined;
  gated = false;
  /** Replaces file names in the listing. */
  rename: (path: string) => string = (path) => path;

  private constructor() {
    const listen = (server: 'hub' | 'store') =>
      createServer((request, response) => {
        this.#answer(server, request, response).catch((error: Error) => response.destroy(error));
      }).listen(0, '127.0.0.1');
    this.#servers = { hub: listen('hub'), store: listen('store') };
  }

  static async start(): Promise<HubServer> {
    const server = new HubServer();
    for (const part of Object.values(server.#servers)) {
      if (!part.listening) await new Promise((resolve) => part.once('listening', resolve));
    }
    return server;
  }

  get endpoint(): string {
    return this.#address('hub');
  }

  #address(part: 'hub' | 'store'): string {
    return `http://127.0.0.1:${(this.#servers[part].address() as AddressInfo).port}`;
  }

  stop(): void {
    for (const server of Object.values(this.#servers)) {
      server.close();
      server.closeAllConnections();
    }
  }

  /** Puts files under a revision; gives the commit. */
  publish(repository: string, revision: string, files: Files): string {
    const commit = hexOf('sha1', repository, revision, ...[...files].flat());
    const revisions = this.#revisions.get(repository) ?? new Map<string, string>();
    this.#revisions.set(repository, revisions.set(revision, commit));
    this.#commits.set(commit, files);
    return commit;
  }

  /** Requests for the content of a file. */
  requestsFor(path: string): SeenRequest[] {
    return this.requests.filter((request) => request.path.endsWith(`/${path}`));
  }

  async #answer(server: 'hub' | 'store', request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.#address(server));
    const path = decodeURIComponent(url.pathname);
    const { range, authorization } = request.headers;
    this.requests.push({ server, path, range, authorization });
    if (this.busy > 0) {
      this.busy -= 1;
      return refuse(response, 429, '');
    }
    if (server === 'store') return this.#sendStored(path, request, response);
    const parts =
      /^\/(?<api>api\/models\/)?(?<repository>.+?)\/(?<verb>revision|tree|resolve)\/(?<rest>.+)$/.exec(path);
    const { repository = '', verb = '', rest = '' } = parts?.groups ?? {};
    const moved = this.moved.get(repository);
    if (moved) return redirect(response, request.url!.replace(repository, moved), {});
    if (this.gated) return refuse(response, 403, 'GatedRepo');
    if (this.token && authorization !== `Bearer ${this.token}`) return refuse(response, 401, 'RepoNotFound');
    const revisions = this.#revisions.get(repository);
    if (!revisions) return refuse(response, 404, 'RepoNotFound');
    if (verb === 'revision') return this.#sendRevision(response, repository, revisions.get(rest) ?? rest);
    if (verb === 'tree') return this.#sendTree(response, url, rest);
    return this.#sendFile(response, request, rest);
  }

  #sendRevision(response: ServerResponse, id: string, sha: string): void {
    if (this.#commits.has(sha))
      sendJson(response, { _id: '0', id, sha, private: false, gated: false, likes: 0, downloads: 0 });
    else refuse(response, 404, 'RevisionNotFound');
  }

  #sendTree(response: ServerResponse, url: URL, commit: string): void {
    const files = this.#commits.get(commit) ?? new Map<string, Buffer>();
    const all = [...files].map(([path, content]) => treeEntry(this.rename(path), content));
    const folders = new Set(
      [...files.keys()].filter((path) => path.includes('/')).map((path) => path.split('/')[0]!),
    );
    all.push(...[...folders].map((path) => ({ type: 'directory', path, size: 0, oid: hexOf('sha1', path) })));
    const from = Number(url.searchParams.get('cursor') ?? 0);
    if (from + PAGE < all.length) {
      url.searchParams.set('cursor', String(from + PAGE));
      response.setHeader('link', `<${url.href}>; rel="next"`);
    }
    sendJson(response, all.slice(from, from + PAGE));
  }

  #sendFile(response: ServerResponse, request: IncomingMessage, rest: string): Promise<void> | void {
    const commit = rest.slice(0, 40);
    const path = rest.slice(41);
    const content = this.#commits.get(commit)?.get(path);
    if (!content) return refuse(response, 404, 'EntryNotFound');
    const { oid, lfs } = treeEntry(path, content);
    response.setHeader('x-repo-commit', commit);
    if (!lfs) {
      response.setHeader('etag', `"${oid}"`);
      return this.#send(path, content, request, response);
    }
    redirect(response, `${this.#address('store')}/signed/${commit}/${path}`, {
      'x-linked-etag': `"${lfs.oid}"`,
      'x-linked-size': String(lfs.size),
    });
  }

  #sendStored(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> | void {
    const [, , commit, ...rest] = path.split('/');
    const content = this.#commits.get(commit!)?.get(rest.join('/'));
    if (!content) return refuse(response, 404, 'EntryNotFound');
    return this.#send(rest.join('/'), content, request, response);
  }

  async #send(
    path: string,
    content: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const sent = Buffer.from(content);
    if (this.corrupted.has(path)) sent[0] = sent[0]! ^ 1;
    const asked = this.ignoresRange ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const start = Number(asked ?? 0);
    if (asked !== undefined) {
      response.setHeader('content-range', `bytes ${start}-${sent.length - 1}/${sent.length}`);
    }
    const body = sent.subarray(start);
    response.writeHead(asked === undefined ? 200 : 206, { 'content-length': body.length });
    const cut = this.cutAfter.get(path);
    this.cutAfter.delete(path);
    if (cut !== undefined) {
      response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 50));
      return;
    }
    const half = body.length >> 1;
    response.write(body.subarray(0, half));
    await this.held.get(path);
    response.end(body.subarray(half));
  }
}

function treeEntry(path: string, content: Buffer) {
  const size = content.length;
  const oid = hexOf('sha1', `blob ${size}\0`, content);
  if (!LARGE.test(path)) return { type: 'file', path, size, oid };
  const sha256 = hexOf('sha256', content);
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
  const pointerOid = hexOf('sha1', `blob ${pointer.length}\0`, pointer);
  return {
    type: 'file',
    path,
    size,
    oid: pointerOid,
    lfs: { oid: sha256, size, pointerSize: pointer.length },
  };
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.end(JSON.stringify(value));
}

function redirect(response: ServerResponse, location: string, headers: Record<string, string>): void {
  response.writeHead(location.startsWith('http') ? 302 : 307, { ...headers, location }).end();
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'x-error-code': code, 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: code }));
}
