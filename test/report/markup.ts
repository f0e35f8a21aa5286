import assert from 'node:assert/strict';

export interface Element {
  tag: string;
  attributes: Map<string, string>;
  children: (Element | string)[];
}

const VOID = new Set(['meta', 'br', 'hr', 'img', 'link', 'input']);
const RAW = new Set(['style', 'script']);
const NAMED: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

const decode = (text: string) => text.replace(/&([a-z]+|#39);/g, (whole, name) => NAMED[name] ?? whole);

function attributesOf(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  const rest = text.replace(/\s+([a-zA-Z][\w:-]*)(?:="([^"<]*)")?/g, (_, name, value) => {
    assert.ok(!attributes.has(name), `attribute ${name} twice`);
    attributes.set(name, decode(value ?? ''));
    return '';
  });
  assert.match(rest, /^\s*\/?$/, `attributes ${text}`);
  return attributes;
}

/** A strict reader of what reports are made of: every element closed, every attribute quoted, no stray "<". */
export function parseMarkup(source: string): Element {
  const root: Element = { tag: '', attributes: new Map(), children: [] };
  const open = [root];
  let at = source.indexOf('>') + 1;
  assert.equal(source.slice(0, at), '<!DOCTYPE html>');
  while (at < source.length) {
    const parent = open.at(-1)!;
    const next = RAW.has(parent.tag) ? source.indexOf(`</${parent.tag}>`, at) : source.indexOf('<', at);
    const end = next < 0 ? source.length : next;
    if (end > at) parent.children.push(decode(source.slice(at, end)));
    if (next < 0) break;
    const match = /^<(\/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z][\w:-]*(?:="[^"<]*")?)*\s*)(\/?)>/.exec(
      source.slice(next),
    );
    assert.ok(match, `no tag at ${source.slice(next, next + 60)}`);
    at = next + match[0].length;
    if (match[1]) assert.equal(open.pop()!.tag, match[2]);
    else {
      const element = { tag: match[2]!, attributes: attributesOf(match[3]!), children: [] };
      parent.children.push(element);
      if (!match[4] && !VOID.has(element.tag)) open.push(element);
    }
  }
  assert.deepEqual(open, [root]);
  return root;
}

/** All elements below, in order. */
export function everything(element: Element): Element[] {
  const inner = element.children.filter((child): child is Element => typeof child !== 'string');
  return inner.flatMap((child) => [child, ...everything(child)]);
}

export const all = (root: Element, tag: string) => everything(root).filter((element) => element.tag === tag);

export function textOf(element: Element | string): string {
  return typeof element === 'string' ? element : element.children.map(textOf).join('');
}

/** Rows of cell texts, headers included. */
export const rowsOf = (table: Element) =>
  all(table, 'tr').map((row) =>
    everything(row)
      .filter((cell) => ['th', 'td'].includes(cell.tag))
      .map((cell) => textOf(cell).trim()),
  );
