import { invalidCheckpoint } from './checkpoint_error.js';
import { readPickle } from './pickle.js';
import { type RangedFile, withFile } from './ranged_file.js';
import type { StoredTensor } from './stored_tensor.js';
import { TensorRecord, torchHost } from './torch_globals.js';
import { readZipDirectory, type ZipEntry } from './zip_directory.js';

/** The pickle of a state dict has some hundred bytes per tensor; LASER-2's, with its vocabulary, about a megabyte. */
const MAX_PICKLE_BYTES = 16 * 1024 * 1024;

const OLD_FORMAT_HINT =
  'save it again in Python: torch.save(torch.load(PATH, weights_only=True), PATH), or as safetensors';

/**
 * Reads what torch.save wrote (PyTorch 1.6 or later), without executing the pickle and without touching tensor bytes.
 * Dicts come as Maps, lists as arrays, tuples as PickleTuple, tensors as TensorRecord. Throws CHECKPOINT_INVALID,
 * CHECKPOINT_REFUSED, FILE_NOT_FOUND, FILE_READ_FAILED.
 */
export function readTorchCheckpoint(path: string): unknown {
  return withFile(path, (file) => {
    refuseOldFormat(file);
    const entries = new Map(readZipDirectory(file).map((entry) => [entry.name, entry]));
    const root = findRoot(file, entries);
    checkByteOrder(file, entries.get(`${root}byteorder`));
    const pickle = entries.get(`${root}data.pkl`)!;
    if (pickle.size > MAX_PICKLE_BYTES) throw invalidCheckpoint(path, `its pickle has ${pickle.size} bytes`);
    const host = torchHost(path, (key) => entries.get(`${root}data/${key}`));
    return readPickle(file.read(pickle.offset, pickle.size), path, host);
  });
}

/**
 * The tensors of a state dict, which is a checkpoint's root or one of its values. Values that are no tensors are left
 * out. Throws CHECKPOINT_INVALID when there is no tensor at all.
 */
export function stateDictTensors(stateDict: unknown, path: string): StoredTensor[] {
  const entries = stateDict instanceof Map ? [...(stateDict as Map<unknown, unknown>)] : [];
  const tensors = entries.flatMap(([name, value]) =>
    typeof name === 'string' && value instanceof TensorRecord ? [{ name, ...value.place }] : [],
  );
  if (tensors.length > 0) return tensors;
  throw invalidCheckpoint(
    path,
    'it holds no state dict',
    'save model.state_dict(), not the model or the trainer',
  );
}

// Before version 1.6 torch.save wrote bare pickles; before that, tar archives.
function refuseOldFormat(file: RangedFile): void {
  const start = file.read(0, Math.min(file.size, 4));
  if (start.length === 4 && start.readUInt32LE() === 0x04034b50) return;
  const what =
    start[0] === 0x80 ? 'it has the format of PyTorch before 1.6' : 'it is not a PyTorch zip archive';
  throw invalidCheckpoint(file.path, what, OLD_FORMAT_HINT);
}

/** All entries lie in one folder of any name. Gives "NAME/". */
function findRoot(file: RangedFile, entries: Map<string, ZipEntry>): string {
  const roots = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (roots.length !== 1) throw invalidCheckpoint(file.path, `expected one data.pkl, found ${roots.length}`);
  const root = roots[0]!.slice(0, -'data.pkl'.length);
  if (entries.has(`${root}constants.pkl`)) {
    throw invalidCheckpoint(
      file.path,
      'it is a TorchScript program',
      'save model.state_dict() with torch.save',
    );
  }
  return root;
}

function checkByteOrder(file: RangedFile, entry: ZipEntry | undefined): void {
  if (!entry) return;
  const order = file.read(entry.offset, Math.min(entry.size, 16)).toString('latin1');
  if (order !== 'little') {
    throw invalidCheckpoint(
      file.path,
      `its byte order is ${JSON.stringify(order)}, expected "little"`,
      OLD_FORMAT_HINT,
    );
  }
}
