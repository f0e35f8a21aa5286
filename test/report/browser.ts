import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** Debian's name first. Undefined where no browser is installed. */
export function findChromium(): string | undefined {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  return names.find((name) => spawnSync(name, ['--version']).status === 0);
}

type Message = {
  id?: number;
  method?: string;
  result?: unknown;
  error?: { message: string };
  params?: unknown;
};

/** A headless browser with one page, spoken to in the DevTools protocol over a pipe: JSON messages that end with NUL. */
export class Browser {
  /** Errors of the page and requests that it made. */
  readonly complaints: string[] = [];
  readonly requests: string[] = [];
  readonly #process: ChildProcess;
  readonly #profile = mkdtempSync(join(tmpdir(), 'xlembed-browser-'));
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #session: string | undefined;
  #loaded = () => {};
  #next = 1;
  #text = '';

  constructor(command: string) {
    const flags = [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--remote-debugging-pipe',
      '--no-first-run',
    ];
    this.#process = spawn(command, [...flags, `--user-data-dir=${this.#profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    (this.#process.stdio[4] as Readable).on('data', (chunk: Buffer) => this.#read(chunk.toString()));
    this.#process.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser ended'));
    });
  }

  async open(url: string, width: number, height: number, phone: boolean): Promise<void> {
    if (!this.#session) {
      const { targetId } = await this.send<{ targetId: string }>('Target.createTarget', {
        url: 'about:blank',
      });
      const attach = { targetId, flatten: true };
      this.#session = (await this.send<{ sessionId: string }>('Target.attachToTarget', attach)).sessionId;
      for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await this.send(`${domain}.enable`);
    }
    const screen = { width, height, deviceScaleFactor: 1, mobile: phone };
    await this.send('Emulation.setDeviceMetricsOverride', screen);
    const loaded = new Promise<void>((resolve) => {
      this.#loaded = resolve;
    });
    await this.send('Page.navigate', { url });
    await loaded;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    type Evaluated = { result: { value: T }; exceptionDetails?: { text: string } };
    const evaluated = await this.send<Evaluated>('Runtime.evaluate', { expression, returnByValue: true });
    if (evaluated.exceptionDetails) throw new Error(evaluated.exceptionDetails.text);
    return evaluated.result.value;
  }

  /** The whole page as PNG. */
  async screenshot(): Promise<Buffer> {
    const how = { format: 'png', captureBeyondViewport: true };
    return Buffer.from((await this.send<{ data: string }>('Page.captureScreenshot', how)).data, 'base64');
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => {
      this.#process.once('exit', resolve);
    });
    this.#process.kill();
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  send<T>(method: string, params: object = {}): Promise<T> {
    const id = this.#next++;
    const sessionId = this.#session && { sessionId: this.#session };
    const answer = new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...sessionId })}\0`);
    return answer;
  }

  #read(chunk: string): void {
    const parts = (this.#text + chunk).split('\0');
    this.#text = parts.pop()!;
    for (const part of parts) this.#handle(JSON.parse(part) as Message);
  }

  #handle({ id, method, result, error, params }: Message): void {
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result);
    } else if (method === 'Page.loadEventFired') this.#loaded();
    else if (method === 'Network.requestWillBeSent') {
      this.requests.push((params as { request: { url: string } }).request.url);
    } else if (method === 'Runtime.exceptionThrown' || method === 'Log.entryAdded') {
      this.complaints.push(JSON.stringify(params));
    }
  }
}
