import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../orbit/backoff.js';
import { TIME } from '../orbit/constants.js';

const range = attempt => [backoff(attempt, () => 0), backoff(attempt, () => 1 - 1e-9)];

test('the first attempt is quick, and not at the same time everywhere', () => {
  assert.deepEqual(range(0), [50, 250]);
});

test('later ones wait longer and longer, at random, up to a cap', () => {
  assert.deepEqual([1, 2, 3, 7].map(range), [[250, 500], [500, 1000], [1000, 2000], [15_000, TIME.cap]]);
  for (const attempt of [8, 30, 1e6]) assert.deepEqual(range(attempt), [TIME.cap / 2, TIME.cap]);
});
