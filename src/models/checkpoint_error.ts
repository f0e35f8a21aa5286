import { XlembedError } from '../errors.js';

/** A PyTorch checkpoint that is damaged or not of the form that torch.save writes. */
export function invalidCheckpoint(path: string, what: string, hint?: string): XlembedError {
  return new XlembedError(
    'CHECKPOINT_INVALID',
    `${path}: ${what}`,
    hint ?? 'the file is damaged; fetch it again',
  );
}

/** A checkpoint that asks for code to be run. */
export function refusedCheckpoint(path: string, what: string): XlembedError {
  return new XlembedError(
    'CHECKPOINT_REFUSED',
    `${path}: ${what}; nothing was executed`,
    'use the model.safetensors of the model; if you trust the file, save it again as safetensors in Python',
  );
}
