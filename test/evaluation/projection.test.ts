import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProjectionSample, principalAxes } from '#xlembed/evaluation/projection.js';

const rows = [
  [3, 0.1, 0],
  [-3, -0.1, 0],
  [0, 1, 0.01],
  [0, -1, -0.01],
].map((row) => Float64Array.from(row));

test('the axes are the eigenvectors of the covariance, largest component positive', () => {
  const [first, second] = principalAxes(rows);
  // The covariance [[18, 0.6], [0.6, 2.02]] (and next to nothing in the third place) turns by atan(2 b / (a - c)) / 2.
  const angle = Math.atan2(2 * 0.6, 18 - 2.02) / 2;
  assert.ok(Math.abs(first[0]! - Math.cos(angle)) < 1e-3 && Math.abs(first[1]! - Math.sin(angle)) < 1e-3);
  assert.ok(Math.abs(second[1]! - Math.cos(angle)) < 1e-3 && Math.abs(second[0]! + Math.sin(angle)) < 1e-3);
});

test('a sample keeps the same few texts of each language, at unit length', () => {
  const sample = new ProjectionSample(2);
  sample.add('de', ['a', 'b'], Float32Array.from([2, 0, 0, 3]));
  sample.add('en', ['b', 'c', 'a'], Float32Array.from([0, 1, 9, 9, -5, 0]));
  sample.add('de', ['a'], Float32Array.from([7, 7]));
  const { projection } = sample.project();
  assert.deepEqual(
    projection!.points.map(({ language, text }) => `${language} ${text}`),
    ['de a', 'de b', 'en b', 'en a'],
  );
  const [deA, deB, enB, enA] = projection!.points;
  assert.ok(Math.abs(Math.hypot(deA!.x - enA!.x, deA!.y - enA!.y) - 2) < 1e-9, 'opposite unit vectors');
  assert.ok(Math.hypot(deB!.x - enB!.x, deB!.y - enB!.y) < 1e-9, 'equal ones');
  assert.ok(Math.abs(projection!.explained[0] + projection!.explained[1] - 1) < 1e-9);
});

test('one language, or equal texts alone, have no projection', () => {
  const sample = new ProjectionSample(2);
  sample.add('de', ['a', 'b', 'c'], Float32Array.from([1, 0, 0, 1, 1, 1]));
  assert.deepEqual(sample.project(), {});
  const equal = new ProjectionSample(1);
  equal.add('de', ['a', 'b'], Float32Array.from([1, 2]));
  equal.add('en', ['a', 'b'], Float32Array.from([3, 4]));
  assert.deepEqual(equal.project(), {});
});
