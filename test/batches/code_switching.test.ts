import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Lexicon, readLexicon } from '#xlembed/batches/code_switching/lexicon.js';
import { CodeSwitcher, type CodeSwitchingOptions } from '#xlembed/batches/code_switching/switcher.js';
import { inCaseOf, wordsOf } from '#xlembed/batches/code_switching/words.js';
import { range } from './datasets.js';

const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
after(() => rmSync(folder, { recursive: true }));

function lexicon(source: string, target: string, entries: Record<string, string>): Lexicon {
  const made = new Lexicon(source, target);
  for (const [word, translations] of Object.entries(entries)) made.add(word, translations.split('|'));
  return made;
}

const GERMAN = lexicon('en', 'de', { cat: 'Katze', dog: 'Hund', sees: 'sieht', the: 'der|die|das' });
const FRENCH = lexicon('en', 'fr', { cat: 'chat', dog: 'chien', sees: 'voit' });
const EVERYTHING: CodeSwitchingOptions = {
  mode: 'multilingual',
  query: { probability: 1 },
  passage: { probability: 1 },
};

function switched(
  texts: string[],
  lexicons: Lexicon[],
  options: Partial<CodeSwitchingOptions> = {},
  { n = 0, seed = 1, language = 'en', holdOut = [] as string[] } = {},
) {
  const counts = { words: 0, switched: 0 };
  const switcher = new CodeSwitcher(lexicons, { ...EVERYTHING, ...options }, seed, holdOut);
  const sides = texts.map((text) => ({ text, language }));
  return { texts: switcher.switchTexts(n, 'query', sides, counts), counts };
}

test('known words are replaced, all else stays as it was', () => {
  const { texts, counts } = switched(['  A cat, a dog — and "sees"!\n'], [GERMAN]);
  assert.deepEqual(texts, ['  A Katze, a Hund — and "sieht"!\n']);
  assert.deepEqual(counts, { words: 6, switched: 3 });
});

test('the case of the word is kept', () => {
  assert.deepEqual(switched(['Sees SEES sees'], [GERMAN]).texts, ['Sieht SIEHT sieht']);
  assert.equal(inCaseOf('I', 'ich', 'de'), 'Ich');
  assert.equal(inCaseOf('Istanbul', 'istanbul', 'tr'), 'İstanbul');
  assert.equal(inCaseOf('cat', 'Katze', 'de'), 'Katze');
  assert.equal(inCaseOf('猫', 'cat', 'en'), 'cat');
});

test('scripts without spaces: words by the dictionary, spaces only between what would run together', () => {
  const chinese = lexicon('zh', 'en', { 猫: 'cat', 喜欢: 'likes' });
  assert.deepEqual(switched(['我的猫喜欢你'], [chinese], {}, { language: 'zh' }).texts, ['我的cat likes你']);
  const thai = lexicon('th', 'en', { แมว: 'cat' });
  assert.deepEqual(switched(['ฉันรักแมว'], [thai], {}, { language: 'th' }).texts, ['ฉันรักcat']);
  assert.deepEqual(switched(['猫USB和猫'], [chinese], {}, { language: 'zh' }).texts, ['cat USB和cat']);
  const toChinese = lexicon('en', 'zh', { cat: '猫', dog: '狗' });
  assert.deepEqual(switched(['a cat and dog'], [toChinese]).texts, ['a 猫 and 狗']);
});

test('a seed, batch and text decide; what stands beside the text does not', () => {
  const text = 'the cat sees the dog and the dog sees the cat';
  const half = { query: { probability: 0.5 } };
  const one = (options: object) => switched([text], [GERMAN, FRENCH], half, options).texts[0]!;
  assert.equal(one({ n: 3 }), one({ n: 3 }));
  const beside = switched(['the dog', text, text], [GERMAN, FRENCH], half, { n: 3 }).texts;
  assert.deepEqual(beside.slice(1), [one({ n: 3 }), one({ n: 3 })]);
  assert.ok(new Set(range(20).map((n) => one({ n }))).size > 15);
  assert.ok(new Set(range(20).map((seed) => one({ seed }))).size > 15);
});

test('words are switched as often as the probability says', () => {
  const words = 'cat dog sees '.repeat(20);
  for (const probability of [0, 0.1, 0.5, 0.9, 1]) {
    const total = { words: 0, switched: 0 };
    for (const n of range(50)) {
      const { counts } = switched([words], [GERMAN], { query: { probability } }, { n });
      total.words += counts.words;
      total.switched += counts.switched;
    }
    if (probability === 0) assert.deepEqual(total, { words: 0, switched: 0 });
    else assert.ok(Math.abs(total.switched / total.words - probability) < 0.03, `${probability}`);
  }
});

test('bilingual texts have one target language, multilingual ones mix', () => {
  const text = 'cat dog sees cat dog sees cat dog sees';
  const languagesOf = (found: string) => [/Katze|Hund|sieht/, /chat|chien|voit/].map((of) => of.test(found));
  const of = (mode: CodeSwitchingOptions['mode']) =>
    range(60).map((n) => languagesOf(switched([text], [FRENCH, GERMAN], { mode }, { n }).texts[0]!));
  assert.ok(of('bilingual').every(([german, french]) => german !== french));
  assert.equal(new Set(of('bilingual').map(([german]) => german)).size, 2);
  assert.ok(of('multilingual').some(([german, french]) => german && french));
});

test('a side has its own languages; held-out ones are never switched to', () => {
  const options = { query: { probability: 1, languages: ['fr'] } };
  assert.deepEqual(switched(['cat'], [GERMAN, FRENCH], options).texts, ['chat']);
  const greek = lexicon('en', 'ell', { cat: 'γάτα' });
  for (const n of range(20)) {
    const { texts } = switched(['cat'], [greek, FRENCH], {}, { n, holdOut: ['el'] });
    assert.deepEqual(texts, ['chat']);
  }
  assert.deepEqual(switched(['cat'], [greek], {}, { holdOut: ['el'] }).texts, ['cat']);
  assert.deepEqual(switched(['cat'], [GERMAN], {}, { language: 'fr' }).texts, ['cat']);
});

test('a lexicon file: several translations, a word again, phrases left out', async () => {
  const path = join(folder, 'words.tsv');
  writeFileSync(path, 'Cat\tKatze|Kater\n\nice cream\tEis\ncat\tKatze| Mieze \n');
  const read = await readLexicon({ source: 'en', target: 'de', path });
  assert.deepEqual([read.words, read.phrases], [1, 1]);
  assert.deepEqual(read.translations('CAT'), ['Katze', 'Kater', 'Mieze']);
  assert.deepEqual(read.translations('ice'), []);
  writeFileSync(path, 'cat\tKatze\ndog Hund\n');
  await assert.rejects(readLexicon({ source: 'en', target: 'de', path }), {
    code: 'MALFORMED_LINE',
    message: /line 2/,
  });
  writeFileSync(path, 'ice cream\tEis\n');
  await assert.rejects(readLexicon({ source: 'en', target: 'de', path }), { code: 'EMPTY_DATASET' });
});

test('words of a text, by place', () => {
  const of = (text: string, language: string) => {
    const bounds = wordsOf(text, language);
    return range(bounds.length / 2).map((i) => text.slice(bounds[2 * i], bounds[2 * i + 1]));
  };
  assert.deepEqual(of("don't — stop (3.5)", 'en'), ["don't", 'stop', '3.5']);
  assert.deepEqual(of('我喜欢猫', 'zh'), ['我', '喜欢', '猫']);
  assert.deepEqual(of('naïve', 'no such tag!'), ['naïve']);
});
