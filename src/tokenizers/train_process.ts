import { readFileSync } from 'node:fs';
import { Tokenizer } from 'tokenizers';

/**
 * Runs as a process of its own (train.ts): the library trains synchronously and writes blank lines to file
 * descriptor 1. Arguments: an untrained tokenizer.json, a file of texts, the tokenizer.json to write.
 */
const [untrained, texts, output] = process.argv.slice(2) as [string, string, string];
const tokenizer = Tokenizer.fromString(readFileSync(untrained, 'utf8'));
tokenizer.train([texts]);
tokenizer.save(output);
