import type { Encoder } from '../encoding/encoder.js';
import { invalidArgument, XlembedError } from '../errors.js';
import type { TrainingOptions } from './options.js';

/** What else the first step would refuse: throws INVALID_ARGUMENT and MODEL_UNSUPPORTED where a model cannot be trained so. */
export function checkModel({ model, dimensions }: Encoder, options: TrainingOptions): void {
  const { backbone } = model;
  const { embeddingLayer, recomputeActivations, precision, matryoshkaSizes = [] } = options;
  if (
    backbone.type === 'lstm' &&
    (embeddingLayer !== undefined || recomputeActivations || precision !== 'float32')
  ) {
    throw new XlembedError(
      'MODEL_UNSUPPORTED',
      'an LSTM runs all its layers, in float32, and keeps what they compute',
      'leave out --embedding-layer, --recompute-activations and --precision',
    );
  }
  if (embeddingLayer !== undefined && embeddingLayer > backbone.layers) {
    throw invalidArgument('embeddingLayer', `a layer from 0 to ${backbone.layers}`, embeddingLayer);
  }
  const trained = embeddingLayer === undefined ? dimensions : backbone.hiddenSize;
  const tooLarge = matryoshkaSizes.find((size) => size > trained);
  if (tooLarge !== undefined)
    throw invalidArgument('matryoshkaSizes', `sizes from 1 to ${trained}`, tooLarge);
}
