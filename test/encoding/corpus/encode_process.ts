// A process that embeds a corpus: encode_process.js INPUT OUTPUT OPTIONS, the latter as JSON. `batch_ms` makes every batch
// take so long. Ends with 0, or with 1 and the error as JSON on stdout.
import { TextInput } from '#xlembed/datasets/texts.js';
import type { CorpusOptions } from '#xlembed/encoding/corpus/options.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { MODEL } from './corpus.js';

const [inputPath, output, json] = process.argv.slice(2) as [string, string, string];
const { batch_ms = 0, ...options } = JSON.parse(json) as CorpusOptions & { batch_ms?: number };
const encoder = await Encoder.load(MODEL, { tokenizerThreads: 1 });
const encode = encoder.native.encode.bind(encoder.native);
Object.defineProperty(encoder.native, 'encode', {
  value: async (batch: Parameters<typeof encode>[0]) => {
    await new Promise((resolve) => setTimeout(resolve, batch_ms));
    return encode(batch);
  },
});
try {
  const { figures, rows } = await encoder.encodeCorpus(await TextInput.open(inputPath), output, options);
  process.stdout.write(JSON.stringify({ rows, documents: figures.documents }));
} catch (error) {
  const { code, message, hint } = error as { code?: string; message: string; hint?: string };
  process.stdout.write(JSON.stringify({ code, message, hint }));
  process.exitCode = 1;
}
process.exit();
