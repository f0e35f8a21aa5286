import { type Html, html } from '../html.js';
import { swatch } from './measures.js';

/** Which colour is whose, above drawings: as HTML it wraps, however long the names are. */
export function legend(colors: ReadonlyMap<string, string>): Html {
  const items = [...colors].map(([name, color]) => html`<li>${swatch(color)}${name}</li>`);
  return html`<ul class="legend">${items}</ul>`;
}
