// What the fine-tuning learns from: query -> passage, parallel over languages by id.
import { join } from 'node:path';
import { readCldrAnnotations } from 'xlembed';
import { lines } from './files.mjs';
import { CODES, TRAINED } from './languages.mjs';

const LONGEST_PASSAGE = 600; // characters; the model cuts by tokens
const SHORTEST = 2; // characters

const oneLine = (text) => text.replace(/\s+/g, ' ').trim();

/** Records by id; a text that is too short is none. */
class Records {
  #records = new Map();

  add(id, language, query, positive) {
    const [q, p] = [oneLine(query), oneLine(positive).slice(0, LONGEST_PASSAGE)];
    if (q.length < SHORTEST || p.length < SHORTEST || q === p) return;
    const record = this.#records.get(id) ?? { id, query: {}, positive: {} };
    record.query[language] = q;
    record.positive[language] = p;
    this.#records.set(id, record);
  }

  /** Those in `least` languages or more. */
  list(least = 1) {
    return [...this.#records.values()].filter(({ query }) => Object.keys(query).length >= least);
  }
}

/** LibreOffice's help: a section's heading and its text. */
export async function helpRecords(shared) {
  const records = new Records();
  for (const [language, code] of Object.entries(CODES.help)) {
    if (!TRAINED.includes(language)) continue;
    for await (const line of lines(join(shared, 'data/libreoffice-help', `${code}.jsonl.xz`))) {
      const { page, hid, heading, paras } = JSON.parse(line);
      records.add(`help:${page}#${hid}`, language, heading, paras.map(([, text]) => text).join(' '));
    }
  }
  return records.list();
}

/** Debian's packages: the line that describes a package, and the paragraphs that do. English alone teaches no transfer. */
export async function packageRecords(shared) {
  const records = new Records();
  for (const [language, code] of Object.entries(CODES.packages)) {
    for await (const line of lines(join(shared, 'data/debian-ddtp', `${code}.jsonl.xz`))) {
      const { md5, short, long } = JSON.parse(line);
      records.add(`package:${md5}`, language, short, long);
    }
  }
  return records.list(2);
}

/** Unicode's symbols: a symbol's name and its keywords. */
export async function symbolRecords() {
  const records = await readCldrAnnotations(TRAINED);
  return records.map(({ id, query, positive }) => ({ id: `symbol:${id}`, query, positive }));
}

/** News (NTREX): a sentence and the one that follows it in its document. */
export function newsRecords({ documents, sentences }) {
  const records = new Records();
  for (const language of TRAINED) {
    const texts = sentences[language];
    for (let i = 0; i + 1 < texts.length; i++) {
      if (documents[i] === documents[i + 1]) records.add(`news:${i}`, language, texts[i], texts[i + 1]);
    }
  }
  return records.list();
}
