/** Markup that is ready to be written. Everything else that enters a template is text, and is escaped. */
export class Html {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }
}

type Part = Html | readonly Html[] | string | number;

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** What HTML forbids, even as a reference: control characters other than tab, line feed, carriage return. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]/gu;

/** Text without what no document may hold: lone surrogates and control characters become U+FFFD. */
export function cleanText(text: string): string {
  return text.toWellFormed().replace(FORBIDDEN, '\ufffd');
}

export function escapeHtml(text: string): string {
  return cleanText(text).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

function write(part: Part): string {
  if (part instanceof Html) return part.markup;
  return Array.isArray(part) ? part.map(write).join('') : escapeHtml(String(part));
}

/** Template tag: html`<p>${text}</p>` escapes the text, and keeps markup that is Html already. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(strings.reduce((markup, string, i) => markup + write(parts[i - 1]!) + string));
}

export const NOTHING = new Html('');
