// LASER-2's architecture with fresh weights, as the folder that xlembed opens (docs/models-laser2.md).
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomNumbers } from './random.mjs';

/** Name -> shape and bound of the uniform weights: PyTorch's for nn.LSTM, LASER's own for the embeddings. */
function layout({ num_embeddings, embed_dim, hidden_size, num_layers }) {
  const bound = 1 / Math.sqrt(hidden_size);
  const tensors = [['embed_tokens.weight', [num_embeddings, embed_dim], 0.1]];
  for (let layer = 0; layer < num_layers; layer++) {
    const input = layer === 0 ? embed_dim : 2 * hidden_size;
    for (const suffix of [`l${layer}`, `l${layer}_reverse`]) {
      tensors.push(
        [`lstm.weight_ih_${suffix}`, [4 * hidden_size, input], bound],
        [`lstm.weight_hh_${suffix}`, [4 * hidden_size, hidden_size], bound],
        [`lstm.bias_ih_${suffix}`, [4 * hidden_size], bound],
        [`lstm.bias_hh_${suffix}`, [4 * hidden_size], bound],
      );
    }
  }
  return tensors;
}

/** A safetensors file: the header's length in 8 bytes, the header, the numbers. */
function safetensors(tensors, random) {
  const header = {};
  const blocks = [];
  let at = 0;
  for (const [name, shape, bound] of tensors) {
    const data = Float32Array.from(
      { length: shape.reduce((a, b) => a * b) },
      () => bound * (2 * random() - 1),
    );
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
    blocks.push(Buffer.from(data.buffer));
  }
  const json = Buffer.from(JSON.stringify(header).padEnd(8 * Math.ceil(JSON.stringify(header).length / 8)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...blocks]);
}

/** Writes the folder; `sizes` are fields of its config.json, `sentencePiece` and `dictionary` its vocabulary. */
export async function writeFreshLaser(folder, sizes, { sentencePiece, dictionary }, seed) {
  const config = {
    model_type: 'laser2',
    padding_idx: 1,
    bidirectional: true,
    ...sizes,
    num_embeddings: dictionary.size,
  };
  const working = `${folder}.partial`;
  await rm(working, { recursive: true, force: true });
  await mkdir(working, { recursive: true });
  await writeFile(join(working, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  await writeFile(join(working, 'dictionary.json'), JSON.stringify(Object.fromEntries(dictionary)));
  await writeFile(join(working, 'sentencepiece.model'), sentencePiece);
  await writeFile(join(working, 'model.safetensors'), safetensors(layout(config), randomNumbers(seed)));
  await rename(working, folder);
}
