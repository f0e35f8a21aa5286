import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The weights that all regimes of an encoder and seed start from. */
export const PRETRAINED = 'pretrained';

/**
 * The experiment's units, one result each, in an order in which a part of them is worth something: all regimes of both
 * encoders with the first seed, then the next seed.
 */
export function listUnits({ seeds, encoders, regimes }) {
  const names = Object.keys(encoders);
  return seeds.flatMap((seed) =>
    [PRETRAINED, ...regimes].flatMap((regime) =>
      names.map((encoder) => ({ encoder, regime, seed, name: `${encoder}-${regime}-${seed}` })),
    ),
  );
}

/** Where everything of a run lies. */
export function places(output) {
  return {
    data: join(output, 'data'),
    start: join(output, 'start'),
    model: ({ name }) => join(output, 'models', name),
    pretrained: ({ encoder, seed }) => join(output, 'models', `${encoder}-${PRETRAINED}-${seed}`),
    cache: ({ name }) => join(output, 'cache', name),
    results: join(output, 'results'),
    result: ({ name }) => join(output, 'results', `${name}.json`),
    questions: ({ name }) => join(output, 'results', 'questions', `${name}.json.gz`),
  };
}

export function isDone(unit, place) {
  return existsSync(place.result(unit));
}
