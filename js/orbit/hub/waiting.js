import { TIME } from '../constants.js';

/** @typedef {import('../codec.js').Command} Command */

/**
 * Commands of a port that wait, so many and so long at most. Those that the server would refuse if there were too
 * many leave no faster than they may: so many at once, and one more after each while.
 *
 * Owned by Port.
 */
export class Waiting {
  #limits;
  /** @type {{command: Command, length: number}[]} */
  #queue = [];
  /** How long they are together, in characters. */
  #length = 0;
  /** How many commands other than publishes may go, and when that was so. */
  #allowed;
  #at;

  /**
   * @param {import('../constants.js').Limits} limits
   * @param {number} now milliseconds
   */
  constructor(limits, now) {
    this.#limits = limits;
    this.#allowed = limits.portBurst;
    this.#at = now;
  }

  get isEmpty() {
    return this.#queue.length === 0;
  }

  /** @param {Command} command @param {number} length @returns {boolean} false: no more may wait */
  put(command, length) {
    if (this.#queue.length >= this.#limits.portQueue || this.#length + length > this.#limits.portLength) return false;
    this.#queue.push({ command, length });
    this.#length += length;
    return true;
  }

  /** Takes the next one, if there is one that may go now. @param {number} now @returns {Command | null} */
  next(now) {
    const first = this.#queue[0];
    if (first === undefined || first.command.op !== 'publish' && !this.#allows(now)) return null;
    this.#queue.shift();
    this.#length -= first.length;
    return first.command;
  }

  /** They go nowhere any more. */
  clear() {
    this.#queue = [];
    this.#length = 0;
  }

  /** @param {number} now */
  #allows(now) {
    this.#allowed = Math.min(this.#limits.portBurst, this.#allowed + (now - this.#at) / TIME.portCall);
    this.#at = now;
    if (this.#allowed < 1) return false;
    this.#allowed--;
    return true;
  }
}
