/** By model_type, where no file names a class. */
const USUAL_CLASSES = new Map([
  ['bert', 'BertTokenizer'],
  ['distilbert', 'DistilBertTokenizer'],
  ['xlm-roberta', 'XLMRobertaTokenizer'],
]);

/** Classes whose pipeline is BERT's. */
const BERT_CLASSES = ['BertTokenizer', 'DistilBertTokenizer'];

interface Config {
  tokenizer_class?: unknown;
  model_type?: unknown;
}

/**
 * The class that transformers' AutoTokenizer takes, without `Fast`: that of tokenizer_config.json, else of config.json,
 * else the usual one for config.json's model_type. Empty where none of them says.
 */
export function tokenizerClass(tokenizerConfig: Config, modelConfig: Config): string {
  const named = tokenizerConfig.tokenizer_class ?? modelConfig.tokenizer_class;
  const found = named ?? USUAL_CLASSES.get(String(modelConfig.model_type)) ?? '';
  return String(found).replace(/Fast$/, '');
}

/** Whether that class is one whose pipeline is BERT's. */
export function isBertTokenizer(tokenizerConfig: Config, modelConfig: Config): boolean {
  return BERT_CLASSES.includes(tokenizerClass(tokenizerConfig, modelConfig));
}
