import { invalidArgument, XlembedError } from '../../errors.js';

/** A model on the hub at a point of its history. */
export interface HubName {
  /** `owner/name`, or the single name of a model from before owners. */
  repository: string;
  /** Branch, tag or commit. */
  revision: string;
}

const DEFAULT_REVISION = 'main';
const COMMIT = /^[0-9a-f]{40}$/;
/** Plain characters, no `--` and no `..`, neither at the ends: the hub's own rule. */
const PART = /^(?!.*(?:--|\.\.))[\w](?:[\w.-]{0,94}[\w])?$/;
/** Git's names of refs, less what a folder of refs could not hold. */
const REVISION = /^(?!.*(?:\.\.|\/\/|\/\.))\w[\w./-]{0,199}(?<![./])$/;

/**
 * Takes `owner/name`, `owner/name@revision` or a legacy single name apart; undefined when `text` has another form.
 * Throws INVALID_ARGUMENT for a revision that git would not take, or two that differ.
 */
export function parseHubName(text: string, revision?: string): HubName | undefined {
  const at = text.indexOf('@');
  const repository = at < 0 ? text : text.slice(0, at);
  const parts = repository.split('/');
  if (parts.length > 2 || !parts.every((part) => PART.test(part))) return undefined;
  const inName = at < 0 ? undefined : text.slice(at + 1);
  const wanted = inName ?? revision ?? DEFAULT_REVISION;
  if (!REVISION.test(wanted)) throw invalidArgument('revision', 'a branch, tag or commit', wanted);
  if (revision !== undefined && wanted !== revision) {
    throw new XlembedError(
      'INVALID_ARGUMENT',
      `${text} and the revision ${revision} name two revisions`,
      'give one of them',
    );
  }
  return { repository, revision: wanted };
}

/** True for a full commit: what it names never changes. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

export function showName({ repository, revision }: HubName): string {
  return revision === DEFAULT_REVISION ? repository : `${repository}@${revision}`;
}
