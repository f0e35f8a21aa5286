import { invalidArgument, XlembedError } from '../errors.js';

export type Role = 'query' | 'passage';

/** Names under which models keep a role's prompt, in the order of preference. */
const NAMES: Record<Role, string[]> = {
  query: ['query'],
  passage: ['document', 'passage', 'corpus'],
};

/**
 * The text to put before inputs of a role: the role's own prompt (an empty one counts), else nothing, as
 * sentence-transformers' encode_query and encode_document do, which never take the default prompt. Only an empty
 * `document` beside a `passage` is passed over: sentence-transformers writes one into every model. Throws INVALID_ARGUMENT.
 */
export function promptFor({ prompts }: { prompts: Record<string, string> }, role: Role): string {
  if (!Object.hasOwn(NAMES, role)) throw invalidArgument('role', 'query or passage', role);
  const name = NAMES[role].find(
    (candidate) => Object.hasOwn(prompts, candidate) && !isPlaceholder(prompts, candidate),
  );
  return name === undefined ? '' : prompts[name]!;
}

function isPlaceholder(prompts: Record<string, string>, name: string): boolean {
  return name === 'document' && prompts[name] === '' && Object.hasOwn(prompts, 'passage');
}

/** The text to put before inputs of no particular role, as sentence-transformers' encode does. */
export function defaultPromptOf(model: {
  prompts: Record<string, string>;
  defaultPrompt: string | null;
}): string {
  return model.defaultPrompt === null ? '' : (model.prompts[model.defaultPrompt] ?? '');
}

/** Gives the prompt back. Throws MODEL_UNSUPPORTED where pooling must leave its tokens out, which it cannot do here. */
export function pooledPrompt({ includePrompt }: { includePrompt: boolean }, prompt: string): string {
  if (includePrompt || prompt === '') return prompt;
  throw new XlembedError(
    'MODEL_UNSUPPORTED',
    `the model leaves prompts out of pooling (include_prompt is false), received the prompt ${JSON.stringify(prompt.slice(0, 80))}`,
    "give empty prompts, or say include_prompt: true in the pooling's config.json",
  );
}
