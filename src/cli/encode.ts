import { type Command, Option } from 'commander';
import { TextFile } from '../datasets/texts.js';
import { encodeFile } from '../encoding/encode_file.js';
import { Encoder } from '../encoding/encoder.js';
import type { Role } from '../models/prompts.js';
import type { Dtype } from '../native.js';
import { positiveInteger } from './arguments.js';
import { createConsole, settingsLines } from './console.js';
import { type ModelFlags, modelFolder, withModel } from './model_option.js';

interface EncodeFlags extends ModelFlags {
  input: string;
  output: string;
  format: 'npy';
  role?: Role;
  prompt?: string;
  maxTokens?: number;
  tokenBudget?: number;
  device: string;
  dtype: Dtype;
  overwrite?: boolean;
  texts: boolean;
  skipMalformed?: boolean;
  json?: boolean;
}

export function addEncode(program: Command): void {
  withModel(program.command('encode'))
    .description('Embed the texts of a file')
    .requiredOption('--input <file>', '.txt (one text a line) or .jsonl ({id, text}); .gz allowed')
    .requiredOption('--output <dir>', 'gets embeddings.npy, ids.jsonl and manifest.json')
    .addOption(new Option('--format <name>', 'of the embeddings').choices(['npy']).default('npy'))
    .addOption(
      new Option('--role <role>', "apply the model's prompt for it (default: none)").choices([
        'query',
        'passage',
      ]),
    )
    .option('--prompt <text>', 'put before each text instead')
    .option('--max-tokens <n>', 'tokens kept of each text (default: what the model takes)', positiveInteger)
    .option('--token-budget <n>', 'tokens in one batch', positiveInteger)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .addOption(
      new Option('--dtype <name>', 'of weights and arithmetic')
        .choices(['float32', 'bfloat16', 'float16'])
        .default('float32'),
    )
    .option('--overwrite', 'replace the output folder')
    .option('--no-texts', 'do not keep the texts beside their ids')
    .option('--skip-malformed', 'leave malformed lines out and count them')
    .option('--json', 'print the result as JSON')
    .action(encode);
}

async function encode(flags: EncodeFlags): Promise<void> {
  const console = createConsole(flags);
  const input = new TextFile(flags.input, { onMalformed: flags.skipMalformed ? 'skip' : 'fail' });
  const { device, dtype, maxTokens } = flags;
  const encoder = await Encoder.load(await modelFolder(flags, console), { device, dtype, maxTokens });
  const prompt = encoder.promptOf(flags);
  console.info(`settings\n${settingsLines({ ...flags, prompt, maxTokens: encoder.model.maxTokens })}`);
  for (const note of encoder.model.notes) console.info(`note: ${note}`);
  const manifest = await encodeFile(encoder, input, flags.output, {
    role: flags.role,
    prompt: flags.prompt,
    tokenBudget: flags.tokenBudget,
    overwrite: flags.overwrite ?? false,
    keepTexts: flags.texts,
    onProgress: (rows, tokens) => console.info(`encoding ${rows} texts | ${tokens} tokens`),
  });
  await encoder.dispose();
  const { rows, dimensions, seconds, truncated, empty, replacedSurrogates, skippedLines } = manifest;
  const odd = { truncated, empty, replacedSurrogates, skippedLines };
  const counted = Object.entries(odd).filter(([, count]) => count > 0);
  const oddities = counted.map(([name, count]) => `, ${count} ${name}`).join('');
  console.result(
    `${rows} embeddings of ${dimensions} dimensions in ${flags.output} (${seconds.toFixed(1)} s${oddities})`,
    { output: flags.output, ...manifest },
  );
}
