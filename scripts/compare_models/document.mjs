// docs/models.md from the numbers of scripts/compare-models.mjs.

/** What the numbers should not exceed. */
const goals = {
  difference: 2e-5,
  batchDifference: 1e-6,
  gradient: 1e-4,
  load: 1.2,
  memory_bytes: 200e6,
};

const small = (value) => value.toExponential(1);
const megabytes = (bytes) => `${Math.round(bytes / 1e6).toLocaleString('en')} MB`;
const loss = (cosine) => small(Math.max(0, 1 - cosine));
const judged = (text, met) => (met ? text : `**${text}**`);

function table(header, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

const agreement = (done) =>
  table(
    [
      'model',
      'parameters',
      'longest text',
      'ids',
      'difference',
      '1 - cosine',
      'batching',
      'cosine between texts',
    ],
    done.map(([{ name }, r]) => [
      name,
      `${Math.round(r.parameters / 1e6)} M`,
      `${r.longest} tokens`,
      judged(r.equalIds ? 'equal' : 'differ', r.equalIds),
      judged(small(r.float32.difference), r.float32.difference <= goals.difference),
      loss(r.float32.cosine),
      judged(small(r.batchDifference), r.batchDifference <= goals.batchDifference),
      r.betweenTexts.toFixed(3),
    ]),
  );

const halves = (done) =>
  table(
    ['model', 'here: 1 - cosine', 'difference', 'sentence-transformers: 1 - cosine', 'difference'],
    done.map(([{ name }, { bfloat16, pythonBfloat16 }]) => [
      name,
      loss(bfloat16.cosine),
      small(bfloat16.difference),
      loss(pythonBfloat16.cosine),
      small(pythonBfloat16.difference),
    ]),
  );

const gradients = (done) =>
  table(
    ['model', 'loss, relative error', 'gradient norm, relative error', 'peak memory'],
    done
      .filter(([, { step }]) => step)
      .map(([{ name }, { step }]) => [
        name,
        judged(small(step.loss), step.loss <= goals.gradient),
        judged(small(step.gradientNorm), step.gradientNorm <= goals.gradient),
        megabytes(step.peak),
      ]),
  );

const loading = (done) =>
  table(
    [
      'model',
      'weights',
      'load',
      'reading the file into memory',
      'ratio',
      'into one buffer',
      'peak beyond weights',
    ],
    done.map(([{ name }, { loading: l }]) => [
      name,
      megabytes(l.weights),
      `${l.load.toFixed(2)} s`,
      `${l.fresh.toFixed(2)} s`,
      judged((l.load / l.fresh).toFixed(2), l.load / l.fresh <= goals.load),
      `${l.reused.toFixed(2)} s (${(l.load / l.reused).toFixed(2)})`,
      judged(megabytes(l.peak - l.weights), l.peak - l.weights <= goals.memory_bytes),
    ]),
  );

/** @returns {string} markdown; bold numbers miss their goal */
export function renderDocument(architectures, document) {
  const done = architectures
    .map((architecture) => [architecture, document.architectures[architecture.id]])
    .filter(([, result]) => result);
  const { machine, libtorch, node, texts } = document;
  const versions = Object.entries(done[0][1].versions).map(([name, version]) => `${name} ${version}`);
  return `# Encoders of real sizes against sentence-transformers

Made by \`scripts/compare-models.mjs\`; the numbers are in models.json beside this file. Each model has the sizes of its
published configuration and random weights (no published weights are used): sentence-transformers writes the folder and
encodes ${texts} texts in 12 languages (articles of the Universal Declaration of Human Rights and one long text that is cut at the
model's limit), xlembed opens the folder and encodes the same texts. A number that misses its goal is **bold**.

    node scripts/compare-models.mjs --python PYTHON --tokenizers FOLDER

Node ${node}, libtorch ${libtorch}; Python: ${versions.join(', ')}.
${machine.processors} threads of ${machine.processor} (${machine.cpuCapability}), shared with other work: times are ratios taken in turns, not absolutes.
LaBSE's weights have mBERT's vocabulary for a tokenizer, multilingual-e5-small's XLM-R's: sizes are what counts here.

## float32: the same vectors
Embeddings have length 1. "difference": the largest between two values, goal ${goals.difference}. "batching": the largest
between the same text encoded alone, in batches of 200 tokens and in one of 8,192, goal ${goals.batchDifference}. "cosine between
texts": the median over all pairs of different texts, which says how much there is to tell apart.

${agreement(done)}

## bfloat16
Both against sentence-transformers in float32.

${halves(done)}

## A contrastive step
Loss and L2 norm of the whole gradient against PyTorch's: 12 queries and their passages, temperature 0.05, no dropout;
goal ${goals.gradient}. PyTorch's embeddings would keep gradients from the row \`pad_token_id\`; multilingual-e5's configuration
says 0 there, which its tokenizer gives to \`<s>\`. That is switched off on PyTorch's side: xlembed trains every row. Peak
memory is that of the whole process: weights, gradients, optimizer, activations.

${gradients(done)}

## Loading
Opening the folder and reading the weights, file in the page cache, median of five in turns. "Reading the file into memory"
reads it once into memory that was never touched before, as a model's must be; goal for the ratio ${goals.load}. "Into one
buffer": the same read, always into the same 16 MiB, and the ratio to that: first touching a page costs more than copying
into it, and only mapping the file would save it (decision 2 says why not). "Peak beyond weights" is the process's largest resident memory less the
weights' bytes: Node, libtorch and all; goal ${megabytes(goals.memory_bytes)}.

${loading(done)}

## Which models open
By config.json's \`model_type\`; the models named are examples, tried as small folders of the same layout with random
weights. safetensors or PyTorch's format, whole or sharded, with or without \`bert.\`, \`roberta.\`, \`distilbert.\` before the names.

| model_type | among them |
| --- | --- |
| bert | bert-base-multilingual, LaBSE, multilingual-e5-small, paraphrase-multilingual-MiniLM-L12-v2, rubert-tiny2 |
| xlm-roberta | xlm-roberta, multilingual-e5-base, -large and -instruct, bge-m3, snowflake-arctic-embed-l-v2.0, granite-embedding-multilingual (107m, 278m), paraphrase-multilingual-mpnet-base-v2, stsb-xlm-r-multilingual |
| roberta, camembert | camembert-base, sentence-camembert |
| distilbert | distilbert-base-multilingual-cased, distiluse-base-multilingual-cased (v1, v2), quora-distilbert-multilingual, clip-ViT-B-32-multilingual-v1 (texts) |

Behind the transformer: sentence-transformers' Pooling in every mode, Dense, Normalize. All else is refused before weights
are read: other architectures (ModernBERT, NomicBert, GTE, Gemma, Qwen3, MPNet, ..), a repository's own code, static
embeddings, routers, sparse encoders, adapters that are not merged. [LASER-2](models-laser2.md) has a document of its own.
`;
}
