/** A command that a shell reads as it was given: words that it would split or change stand between quotes. */
export function commandLine(words: readonly string[]): string {
  const quoted = (word: string) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  return ['xlembed', ...words.map(quoted)].join(' ');
}
