export type Role = 'query' | 'passage';

/** Names under which models keep a role's prompt, in the order of preference. */
const NAMES: Record<Role, string[]> = {
  query: ['query'],
  passage: ['passage', 'document', 'corpus'],
};

/**
 * The text to put before inputs of a role: the role's own prompt (an empty one counts), else the default prompt,
 * else nothing; as sentence-transformers' encode_query and encode_document do.
 */
export function promptFor(
  model: { prompts: Record<string, string>; defaultPrompt: string | null },
  role: Role,
): string {
  const name =
    NAMES[role].find((candidate) => Object.hasOwn(model.prompts, candidate)) ?? model.defaultPrompt;
  return name === null ? '' : (model.prompts[name] ?? '');
}
