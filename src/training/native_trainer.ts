import type { Encoder } from '../encoding/encoder.js';
import { XlembedError } from '../errors.js';
import { isNormalizing } from '../models/head.js';
import type { ModelDescription } from '../models/open_model.js';
import { loadNative, type NativeTrainer, nativeCall } from '../native.js';
import type { ProcessGroup } from '../processes/process_group.js';
import { learningRateFactors } from './engine_options.js';
import type { TrainingOptions } from './options.js';

const LORA_REMEDY = 'name modules by the ends of their names: query, value, attention.output.dense';

/**
 * The native trainer of an encoder, and its adapters where the options want any; `check` has the last word. Where one of
 * them throws, the encoder is as it was.
 */
export async function createNativeTrainer(
  encoder: Encoder,
  options: TrainingOptions,
  group: ProcessGroup | undefined,
  check: (native: NativeTrainer) => Promise<void>,
): Promise<NativeTrainer> {
  const { lora, seed } = options;
  await refuseAdapters(encoder);
  if (lora) await nativeCall(() => encoder.native.addAdapters({ ...lora, seed }), LORA_REMEDY);
  let native: NativeTrainer | undefined;
  try {
    native = await nativeCall(() =>
      loadNative().createTrainer(
        encoder.native,
        {
          ...options,
          negativeLanguages: options.inBatchNegatives,
          learningRateFactors: learningRateFactors(options, encoder.model.backbone),
          normalize: needsNormalization(encoder.model, options),
        },
        group?.native,
      ),
    );
    await check(native);
    return native;
  } catch (error) {
    native?.dispose();
    // Fresh adapters add nothing to the weights.
    if (lora) await nativeCall(() => encoder.native.mergeAdapters());
    throw error;
  }
}

/** Those of another trainer would be trained in place of the weights, and not be saved with them. */
async function refuseAdapters({ native }: Encoder): Promise<void> {
  const adapters = await nativeCall(() => native.adapterParameters());
  if (adapters.length === 0) return;
  throw new XlembedError(
    'INVALID_ARGUMENT',
    'this encoder has the adapters of another trainer',
    'end that one with finishAdapters(), or load the encoder anew',
  );
}

/**
 * Training compares as retrieval will: by cosine, unless the model says `dot`. The model's own head may not normalise,
 * or is passed by; and the first dimensions of a vector of length 1 are shorter.
 */
function needsNormalization(
  { head, similarity }: ModelDescription,
  { embeddingLayer, matryoshkaSizes }: TrainingOptions,
): boolean {
  const normalized = isNormalizing(head) && embeddingLayer === undefined && !matryoshkaSizes;
  return similarity !== 'dot' && !normalized;
}
