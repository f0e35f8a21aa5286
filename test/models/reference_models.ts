/** Folders of test/reference/models that hold a whole model. */
export const REFERENCE_MODELS = [
  'bert-version-6',
  'labse-version-5',
  'xlm-roberta-sharded',
  'roberta-float16',
  'distiluse-version-5',
];
