import { spawn } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';

const everyLine = (input) => createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });

const UNPACK = 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)';

/** Lines of a file, unpacked where its name ends in .xz: by Python, which every machine has that builds the addon. */
export async function* lines(path) {
  if (!path.endsWith('.xz')) return yield* everyLine(createReadStream(path));
  const python = spawn('python3', ['-c', UNPACK, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = new Promise((resolve, reject) => python.on('error', reject).on('exit', resolve));
  yield* everyLine(python.stdout);
  if ((await exit) !== 0) throw new Error(`${path} could not be unpacked`);
}

/** Runs a program to its end. */
export function execute(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    child.on('error', reject).on('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ${args.join(' ')} ended with ${code}`));
    });
  });
}

export async function readJson(path) {
  return JSON.parse(await readFile(path, 'utf8'));
}

/** A file appears under its name when it is complete. */
export async function writeWhole(path, content) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.partial`, content, { flush: true });
  await rename(`${path}.partial`, path);
}

export function writeJson(path, value) {
  return writeWhole(path, `${JSON.stringify(value, null, 1)}\n`);
}

export async function writeJsonLines(path, values) {
  await mkdir(dirname(path), { recursive: true });
  const stream = createWriteStream(path);
  for (const value of values) stream.write(`${JSON.stringify(value)}\n`);
  stream.end();
  await finished(stream);
}
