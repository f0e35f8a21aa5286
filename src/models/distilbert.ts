/** BERT's name of a layer's part -> DistilBERT's. */
const PARTS = new Map([
  ['attention.self.query', 'attention.q_lin'],
  ['attention.self.key', 'attention.k_lin'],
  ['attention.self.value', 'attention.v_lin'],
  ['attention.output.dense', 'attention.out_lin'],
  ['attention.output.LayerNorm', 'sa_layer_norm'],
  ['intermediate.dense', 'ffn.lin1'],
  ['output.dense', 'ffn.lin2'],
  ['output.LayerNorm', 'output_layer_norm'],
]);
const BERT_PARTS = new Map([...PARTS].map(([bert, distilBert]) => [distilBert, bert]));

/** `transformer.layer.0.ffn.lin1.weight` -> `encoder.layer.0.intermediate.dense.weight`; other names as they are. */
export function fromDistilBert(name: string): string {
  return name.replace(/^transformer\.layer\.(\d+)\.(.+)\.(\w+)$/, (_, layer, part, kind) =>
    ['encoder.layer', layer, BERT_PARTS.get(part) ?? part, kind].join('.'),
  );
}

/** The inverse; what LoRA adds to a part's name stays behind it. */
export function toDistilBert(name: string): string {
  return name.replace(/^encoder\.layer\.(\d+)\.(.+?)(\.lora_[AB])?\.(\w+)$/, (_, layer, part, lora, kind) =>
    ['transformer.layer', layer, (PARTS.get(part) ?? part) + (lora ?? ''), kind].join('.'),
  );
}
