import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const help = ['en-us', 'de', 'es', 'ru', 'tr', 'zh-cn', 'hi', 'el', 'vi'];
const packages = ['en', 'de', 'es', 'ru', 'zh_CN'];
const tatoeba = ['ara', 'zho', 'deu', 'spa', 'rus', 'tur', 'hin', 'ell', 'vie'];
const freedict = ['ara', 'deu', 'spa', 'rus', 'tur', 'hin', 'ell'];
const mkqa = ['en', 'ar', 'zh_cn', 'es', 'ru', 'tr'];
const news = [
  ...['src.eng', 'ref.arb', 'ref.zho_Hans', 'ref.deu', 'ref.spa', 'ref.rus'],
  ...['ref.tha', 'ref.tur', 'ref.hin', 'ref.ell', 'ref.vie'],
];
const flores = [
  ...[
    'eng_Latn',
    'arb_Arab',
    'zho_Hans',
    'deu_Latn',
    'spa_Latn',
    'rus_Cyrl',
    'tha_Thai',
    'tur_Latn',
    'hin_Deva',
  ],
  ...['ell_Grek', 'vie_Latn', 'por_Latn', 'nld_Latn', 'ukr_Cyrl', 'ind_Latn', 'swe_Latn', 'pes_Arab'],
];

const letters = 'bcdfghklmnprstvz';
/** Word `n` of a made-up language: its first letter tells the language. */
function word(language: string, n: number): string {
  const first = letters[language.charCodeAt(0) % letters.length]!;
  return `${first}a${letters[n % 16]}o${letters[(n >> 4) % 16]}i${letters[(n * 7) % 16]}`;
}

function sentence(language: string, n: number, words: number): string {
  return Array.from({ length: words }, (_, i) => word(language, (n * 13 + i * 5) % 200)).join(' ');
}

const range = (count: number) => Array.from({ length: count }, (_, n) => n);
const jsonLines = (values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');

/** A question that stands in XQuAD-R as in the help: leaked. */
const LEAKED = 'which sentence of the help has leaked into the questions';

function xquad(language: string): string {
  const paragraphs = range(4).map((p) => {
    const sentences = range(3).map((s) => `${sentence(language, 40 + p * 3 + s, 6)}.`);
    const breaks = sentences.map((_, s) => [s * 100, s * 100 + 100]);
    const qas = range(2).map((q) => ({
      id: `question-${p}-${q}`,
      question: p === 0 && q === 0 ? LEAKED : sentence(language, 40 + p * 3 + q, 3),
      answers: [{ answer_start: q * 100 + 5 }],
    }));
    return { context: sentences.join(' '), qas, sentences, sentence_breaks: breaks };
  });
  return JSON.stringify({ data: [{ paragraphs }] });
}

/** Path -> content; what ends in .xz, and folders that are archives, python packs. */
function files(): Map<string, string> {
  const all = new Map<string, string>();
  for (const code of help) {
    const sections = range(24).map((n) => ({
      page: 'page',
      hid: `h${n}`,
      paras: [[1, n === 3 ? LEAKED : sentence(code, n, 8)]],
      heading: sentence(code, n, 2),
    }));
    all.set(`data/libreoffice-help/${code}.jsonl.xz`, jsonLines(sections));
  }
  for (const code of packages) {
    const texts = range(16).map((n) => ({
      md5: `m${n}`,
      pkg: 'p',
      short: sentence(code, n, 3),
      long: sentence(code, n + 1, 9),
    }));
    all.set(`data/debian-ddtp/${code}.jsonl.xz`, jsonLines(texts));
  }
  const pairs = (code: string) => range(30).map((n) => `${sentence('en', n, 4)}\t${sentence(code, n, 4)}\n`);
  for (const code of tatoeba) all.set(`data/tatoeba-challenge-eng/eng-${code}.tsv.xz`, pairs(code).join(''));
  const entries = (code: string) => range(200).map((n) => `${word('en', n)}\t${word(code, n)}\n`);
  for (const code of freedict) all.set(`data/freedict-eng/eng-${code}.tsv.xz`, entries(code).join(''));
  for (const [part, folder, answered] of [
    ['dev', 'mkqa_dev', true],
    ['test', 'mkqa_test_without_answers', false],
  ] as const) {
    for (const code of mkqa) {
      const questions = range(10).map((n) => ({
        id: `${part}${n}_${code}`,
        lang: code,
        question: sentence(code, n + (answered ? 70 : 90), 4),
        answers: answered ? [word(code, n)] : [],
      }));
      all.set(`data/mkqa/mkqa_${part}.zip/${folder}/mkqa-${code}.jsonl`, jsonLines(questions));
    }
  }
  all.set(
    'data/ntrex128/ntrex128.tar.xz/DOCUMENT_IDS.tsv',
    range(20)
      .map((n) => `d${n >> 2}\n`)
      .join(''),
  );
  for (const code of news) {
    const texts = range(20).map((n) => `${sentence(code.slice(4), n + 20, 5)}\n`);
    all.set(`data/ntrex128/ntrex128.tar.xz/NTREX-128/newstest2019-${code}.txt`, texts.join(''));
  }
  for (const code of flores) {
    const texts = range(1012).map((n) => `${word(code, n % 200)} ${word(code, n >> 3)}\n`);
    all.set(`data/flores200-devtest/flores200-devtest.tar.xz/devtest/${code}.devtest`, texts.join(''));
  }
  for (const language of ['de', 'el', 'en']) all.set(`data/xquad-r/${language}.json`, xquad(language));
  return all;
}

const PACK = `
import json, lzma, os, sys, tarfile, zipfile, io
root, files = sys.argv[1], json.load(sys.stdin)
archives = {}
for path, text in files.items():
    data = text.encode()
    archive = next((path[:path.index(end) + len(end)] for end in ('.tar.xz', '.zip') if end + '/' in path), None)
    target = os.path.join(root, archive or path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if archive: archives.setdefault(archive, []).append((path[len(archive) + 1:], data))
    else: open(target, 'wb').write(lzma.compress(data, preset=0) if path.endswith('.xz') else data)
for archive, members in archives.items():
    target = os.path.join(root, archive)
    if archive.endswith('.zip'):
        with zipfile.ZipFile(target, 'w') as packed:
            for name, data in members: packed.writestr(name, data)
    else:
        with tarfile.open(target, 'w:xz', preset=0) as packed:
            for name, data in members:
                info = tarfile.TarInfo('./' + name)
                info.size = len(data)
                packed.addfile(info, io.BytesIO(data))
`;

/** The folders of data and tokenizers that the experiment reads, in made-up languages and small. */
export function makeTinyWorld(root: string): void {
  const all = files();
  execFileSync('python3', ['-c', PACK, root], { input: JSON.stringify(Object.fromEntries(all)) });
  const tokenizer = join(root, 'tokenizers/xlm-roberta-tokenizer-reconstructed/tokenizer.json');
  mkdirSync(dirname(tokenizer), { recursive: true });
  copyFileSync('test/reference/tokenizers/unigram/tokenizer.json', tokenizer);
  const sentencePiece = join(root, 'tokenizers/blingfire-laser100k-spm/laser_100k.model');
  mkdirSync(dirname(sentencePiece), { recursive: true });
  copyFileSync('test/reference/laser/model/laser2.spm', sentencePiece);
}

/** Settings as small as they can be, with changes. */
export function writeSettings(path: string, changes: Record<string, unknown> = {}): string {
  const shared = { batchSize: 4, maxTokens: 24, queryPrompt: '', passagePrompt: '', learningRate: 0.01 };
  const transformer = {
    kind: 'transformer',
    config: { hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16 },
  };
  const laser2 = { kind: 'laser2', config: { embed_dim: 8, hidden_size: 8, num_layers: 1 } };
  const settings = {
    title: 'tiny',
    seeds: [0],
    threads: 1,
    parallel: 2,
    checkpointEvery: 2,
    encoders: { transformer, laser2 },
    pretraining: { ...shared, steps: 6, mix: { tatoeba: 4, words: 1, questions: 1, sentences: 1 } },
    training: { ...shared, steps: 6 },
    evaluation: { 'xquad-r': {}, flores: { languages: ['en', 'el'] }, mkqa: { languages: ['en', 'tr'] } },
    ...changes,
  };
  writeFileSync(path, JSON.stringify(settings));
  return path;
}
