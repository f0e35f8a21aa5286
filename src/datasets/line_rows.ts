import { readLines } from './lines.js';
import { notUtf8, parseObject, placeOf } from './malformed.js';
import type { Row, RowsRequest } from './text_formats.js';

/** One text a line, as column `text`. */
export async function* readPlainRows({ path, progress }: RowsRequest): AsyncGenerator<Row> {
  for await (const { line, number, replaced } of readLines(path, { invalidUtf8: 'replace', progress })) {
    yield {
      number,
      fields: () => {
        requireUtf8(replaced, path, number, line);
        return { text: line };
      },
    };
  }
}

/** One JSON object a line. */
export async function* readJsonlRows({ path, progress }: RowsRequest): AsyncGenerator<Row> {
  for await (const { line, number, replaced } of readLines(path, { invalidUtf8: 'replace', progress })) {
    yield {
      number,
      fields: () => {
        requireUtf8(replaced, path, number, line);
        return line.trim() === '' ? undefined : parseObject(line, placeOf(path, number));
      },
    };
  }
}

function requireUtf8(replaced: boolean, path: string, number: number, line: string): void {
  if (replaced) throw notUtf8(placeOf(path, number), 'the line', line);
}
