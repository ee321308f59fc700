import { TIME } from './constants.js';

/**
 * How long to wait before an attempt, in milliseconds: 50 to 250 the first time, then up to 0.5 s,
 * 1 s, … 30 s, from half of it on at random, so that the clients of a server that was restarted do
 * not come back all at once.
 *
 * @param {number} attempt 0 for the first one after a connection that worked
 * @param {() => number} random at least 0, below 1
 * @returns {number}
 */
export function backoff(attempt, random) {
  const high = Math.min(TIME.cap, TIME.first * 2 ** Math.min(attempt, 20));
  const low = attempt === 0 ? TIME.quick : high / 2;
  return Math.round(low + random() * (high - low));
}
