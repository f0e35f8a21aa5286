/**
 * Moses' punctuation normalisation for English, as LASER-2 was trained with it. The rules and their order are those of
 * normalize-punctuation.perl (https://github.com/moses-smt/mosesdecoder, scripts/tokenizer, release 4.0; written out in
 * Python as sacremoses' MosesPunctNormalizer with `perl_parity`), with the two single quotation marks that
 * laser_encoders 0.0.2 (laser_tokenizer.py) turns into double ones. Each rule works on what the ones before it left.
 */
const rules: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // Spaces around brackets and before marks.
  [/\r/gu, ''],
  [/\(/gu, ' ('],
  [/\)/gu, ') '],
  [/ +/gu, ' '],
  [/\) ([.!:?;,])/gu, ')$1'],
  [/\( /gu, '('],
  [/ \)/gu, ')'],
  [/(\p{Nd}) %/gu, '$1%'],
  [/ :/gu, ':'],
  [/ ;/gu, ';'],
  // Quotation marks of the Penn Treebank.
  [/`/gu, "'"],
  [/''/gu, ' " '],
  // Quotation marks, dashes and accents.
  [/„/gu, '"'],
  [/“/gu, '"'],
  [/”/gu, '"'],
  [/–/gu, '-'],
  [/—/gu, ' - '],
  [/ +/gu, ' '],
  [/´/gu, "'"],
  [/([a-zA-Z])‘([a-zA-Z])/gu, "$1'$2"],
  [/([a-zA-Z])’([a-zA-Z])/gu, "$1'$2"],
  [/‘/gu, '"'],
  [/‚/gu, '"'],
  [/’/gu, '"'],
  [/''/gu, '"'],
  [/´´/gu, '"'],
  [/…/gu, '...'],
  // French quotation marks with their no-break spaces.
  [/\u00A0«\u00A0/gu, ' "'],
  [/«\u00A0/gu, '"'],
  [/«/gu, '"'],
  [/\u00A0»\u00A0/gu, '" '],
  [/\u00A0»/gu, '"'],
  [/»/gu, '"'],
  // No-break spaces before marks and units.
  [/\u00A0%/gu, '%'],
  [/nº\u00A0/gu, 'nº '],
  [/\u00A0:/gu, ':'],
  [/\u00A0ºC/gu, ' ºC'],
  [/\u00A0cm/gu, ' cm'],
  [/\u00A0\?/gu, '?'],
  [/\u00A0!/gu, '!'],
  [/\u00A0;/gu, ';'],
  [/,\u00A0/gu, ', '],
  [/ +/gu, ' '],
  // English puts the closing quotation mark behind commas and full stops.
  [/"([,.]+)/gu, '$1"'],
  // A no-break space between digits becomes a full stop.
  [/(\p{Nd})\u00A0(\p{Nd})/gu, '$1.$2'],
];

/** White space around the text goes too. */
export function normalizePunctuation(text: string): string {
  return rules.reduce((sofar, [pattern, replacement]) => sofar.replace(pattern, replacement), text).trim();
}
