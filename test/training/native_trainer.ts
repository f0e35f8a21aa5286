import { openModel } from '#xlembed/models/open_model.js';
import {
  loadNative,
  type NativeEncoder,
  type NativeEncoderOptions,
  type NativeProcessGroup,
  type NativeTrainer,
  type NativeTrainerOptions,
} from '#xlembed/native.js';
import { device } from '../device.js';
import { folderOf } from '../encoding/goldens.js';

const OPTIONS: NativeTrainerOptions = {
  temperature: 0.05,
  symmetric: false,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradientNorm: 1,
  dropout: false,
  seed: 0,
  normalize: false,
};

export async function createEncoder(
  name: string,
  given: Partial<NativeEncoderOptions> = {},
): Promise<NativeEncoder> {
  const { backbone, head, sources } = await openModel(folderOf(name));
  return loadNative().createEncoder({
    backbone,
    head,
    weights: { sources },
    device,
    dtype: 'float32',
    ...given,
  });
}

export function createTrainer(
  encoder: NativeEncoder,
  given: Partial<NativeTrainerOptions> = {},
  group?: NativeProcessGroup,
): Promise<NativeTrainer> {
  return loadNative().createTrainer(encoder, { ...OPTIONS, ...given }, group);
}
