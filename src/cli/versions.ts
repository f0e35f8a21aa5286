import { availableParallelism, cpus } from 'node:os';
import { loadNative, packageVersion } from '../native.js';

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
