import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { loadNative } from '../native.js';

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** What a result depends on besides its settings. */
export function versions(): Record<string, string> {
  const native = loadNative().info();
  return {
    xlembed: packageVersion(),
    node: process.versions.node,
    libtorch: native.libtorch,
    compiler: native.compiler,
    cuda: native.cuda ? `${native.cudaDevices} device(s)` : 'none',
    processor: `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} threads, ${native.cpuCapability}`,
  };
}
