import { type Html, html } from '../html.js';

export interface TableCell {
  text: string;
  /** What sorts the rows. */
  value: string | number;
  marked?: 'best' | 'worse';
}

/** A table whose headings sort it, where scripts run. The first cell of a row is its heading. */
export function sortableTable(caption: string, heads: readonly string[], rows: readonly TableCell[][]): Html {
  const headings = heads.map((head) => html`<th scope="col"><button type="button">${head}</button></th>`);
  const body = rows.map((row) => {
    const [first, ...others] = row;
    const cells = others.map(({ text, value, marked }) =>
      marked
        ? html`<td class="${marked}" data-value="${value}">${text}</td>`
        : html`<td data-value="${value}">${text}</td>`,
    );
    return html`<tr><th scope="row" data-value="${first!.value}">${first!.text}</th>${cells}</tr>\n`;
  });
  return html`<div class="scroll tall" tabindex="0" role="region" aria-label="${caption}"><table class="sortable">
<caption class="hidden">${caption}</caption>
<thead><tr>${headings}</tr></thead>
<tbody>
${body}</tbody>
</table></div>`;
}
