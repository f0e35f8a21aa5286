import { readFileSync } from 'node:fs';
import { isDone } from './units.mjs';

/** Seconds from one line of progress to the next. */
const EVERY = 15;

/** How far the experiment is, and how long the rest will take: from what the units done have taken. */
export class Estimate {
  #begun = performance.now();
  #doneHere = 0;
  #shown = 0;

  constructor(units, place) {
    this.units = units;
    this.place = place;
  }

  get #done() {
    return this.units.filter((unit) => isDone(unit, this.place)).length;
  }

  /** A line at most every few seconds. */
  show(unit, stage, done, total) {
    const now = performance.now();
    if (now - this.#shown < EVERY * 1000) return;
    this.#shown = now;
    console.log(
      `${this.#done}/${this.units.length}  ${unit.name}: ${stage}${total ? ` step ${done} of ${total}` : ''}${this.#rest()}`,
    );
  }

  finished(unit) {
    this.#doneHere += 1;
    const { processorSeconds, evaluation } = JSON.parse(readFileSync(this.place.result(unit), 'utf8'));
    const { measures } = Object.values(evaluation.tasks)[0];
    const shown = ['monolingual_map', 'cross_lingual_map', 'multilingual_map'].filter(
      (key) => key in measures,
    );
    const scores = shown.map((key) => `${key} ${measures[key].toFixed(4)}`).join(', ');
    return `${this.#done}/${this.units.length}  ${unit.name} done: ${scores}; ${processorSeconds.toFixed(0)} processor seconds${this.#rest()}`;
  }

  #rest() {
    if (this.#doneHere === 0) return '';
    const perUnit = (performance.now() - this.#begun) / this.#doneHere;
    return `; about ${Math.ceil(((this.units.length - this.#done) * perUnit) / 60_000)} min left`;
  }
}
