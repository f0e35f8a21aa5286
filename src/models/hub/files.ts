import { posix } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../../errors.js';

const SHA1 = z.string().regex(/^[0-9a-f]{40}$/);
const SHA256 = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().nonnegative();

/** One file of a repository: its path, slash-separated, its bytes, and the digest that names its blob. */
export const REMOTE_FILE = z.union([
  // Large files: of the content.
  z.object({ path: z.string(), size, algorithm: z.literal('sha256'), digest: SHA256 }),
  // Small ones: git's, which covers the size too.
  z.object({ path: z.string(), size, algorithm: z.literal('sha1'), digest: SHA1 }),
]);
export type RemoteFile = z.infer<typeof REMOTE_FILE>;

/** What the hub says about a file. */
export const TREE_ENTRY = z.object({
  path: z.string(),
  size,
  oid: SHA1,
  lfs: z.object({ oid: SHA256, size }).nullish(),
});

export function toRemoteFile({ path, size, oid, lfs }: z.infer<typeof TREE_ENTRY>): RemoteFile {
  return lfs
    ? { path, size: lfs.size, algorithm: 'sha256', digest: lfs.oid }
    : { path, size, algorithm: 'sha1', digest: oid };
}

/** Configuration and tokenizer files, by their names in any folder of a model. */
const CONFIGURATION = new Set([
  'config.json',
  'adapter_config.json',
  'modules.json',
  'config_sentence_transformers.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.txt',
  'vocab.json',
  'merges.txt',
  'sentencepiece.bpe.model',
  'spiece.model',
  // LASER-2 as this project saves it.
  'sentencepiece.model',
  'dictionary.json',
]);
const LENGTH_FILE = /^sentence_[\w-]+_config\.json$/;
const LASER = new Set(['laser2.pt', 'laser2.spm', 'laser2.cvocab']);

/** Weights in the order of preference; pickles are taken only where there is nothing else. */
const WEIGHTS = [
  /^model\.safetensors$/,
  /^model(?:\.safetensors\.index\.json|-\d+-of-\d+\.safetensors)$/,
  /^pytorch_model\.bin$/,
  /^pytorch_model(?:\.bin\.index\.json|-\d+-of-\d+\.bin)$/,
];

/**
 * The files that a model needs. `moduleFolders` are the folders of modules.json, the transformer's first; the root
 * alone where there is no such file. Throws FILE_NOT_FOUND when the transformer has no configuration or weights.
 */
export function chooseFiles(
  files: readonly RemoteFile[],
  moduleFolders: readonly string[],
  name: string,
): RemoteFile[] {
  const folders = new Set(['', ...moduleFolders]);
  const inFolder = (folder: string) => files.filter(({ path }) => folderOf(path) === folder);
  const laser = inFolder('').filter(({ path }) => LASER.has(path));
  const configuration = [...folders].flatMap((folder) => inFolder(folder).filter(isConfiguration));
  const weights = moduleFolders.map((folder) => chooseWeights(inFolder(folder)));
  if (laser.length === 0 && weights[0]!.length === 0) {
    throw incomplete(name, 'weights', 'model.safetensors or pytorch_model.bin, whole or in shards');
  }
  const config = posix.join(moduleFolders[0]!, 'config.json');
  if (laser.length === 0 && !configuration.some(({ path }) => path === config)) {
    throw incomplete(name, 'configuration', config);
  }
  return [...new Set([...configuration, ...laser, ...weights.flat()])];
}

/** Whether a file of this name, in any folder of a model, belongs to it. */
export function isModelFile(name: string): boolean {
  return (
    CONFIGURATION.has(name) ||
    LENGTH_FILE.test(name) ||
    LASER.has(name) ||
    WEIGHTS.some((pattern) => pattern.test(name))
  );
}

function isConfiguration({ path }: RemoteFile): boolean {
  const name = posix.basename(path);
  return CONFIGURATION.has(name) || LENGTH_FILE.test(name);
}

function chooseWeights(files: readonly RemoteFile[]): RemoteFile[] {
  const groups = WEIGHTS.map((pattern) => files.filter(({ path }) => pattern.test(posix.basename(path))));
  return groups.find((group) => group.length > 0) ?? [];
}

function folderOf(path: string): string {
  const folder = posix.dirname(path);
  return folder === '.' ? '' : folder;
}

function incomplete(name: string, what: string, expected: string): XlembedError {
  return new XlembedError(
    'FILE_NOT_FOUND',
    `${name} holds no ${what} that xlembed reads: expected ${expected}`,
    'choose another model, or convert this one to safetensors in Python',
  );
}

/** Folders of a parsed modules.json. */
export function moduleFolders(modules: readonly { path: string }[]): string[] {
  return modules.map(({ path }) => (path === '' ? '' : posix.normalize(path)));
}

/** Refuses a repository with a name that leads out of its folder: no file of such a one is to be trusted. */
export function checkPaths(files: readonly RemoteFile[], name: string): void {
  for (const { path } of files) {
    const parts = path.split('/');
    if (!/[\\\0]/.test(path) && parts.every((part) => part !== '' && part !== '.' && part !== '..')) continue;
    throw new XlembedError(
      'MODEL_INVALID',
      `${name} has a file ${JSON.stringify(path.slice(0, 80))}, which leads out of the model's folder`,
      'the repository is forged or damaged; choose another one',
    );
  }
}
