/**
 * A message or a gap, as it goes to the ports: what leads from one position to another.
 *
 * @typedef {object} Step
 * @property {number} from a message's `p`, a gap's `after`
 * @property {number} to a message's `o`, a gap's `to`
 * @property {string} line what is said
 */

/**
 * The steps that came last on a channel, without a hole between them: from `floor`, behind which the
 * first one that is still here begins, to `end`, up to where the server has said all. Whoever stands in
 * between can go on from here. Owned by Feed.
 */
export class Ring {
  /** @type {Step[]} */
  #steps = [];
  #length = 0;
  /** @type {number | undefined} undefined: nothing has begun; Infinity: from the oldest, which has not come so far */
  floor;
  /** Whether the oldest message is here, or there is none. */
  #oldest = false;
  end = -1;
  #limits;

  /** @param {import('../constants.js').Limits} limits */
  constructor(limits) {
    this.#limits = limits;
  }

  /** Begins behind a position. What is here stays where it leads there. @param {number} position */
  begin(position) {
    if (this.floor !== undefined && position === this.end) return;
    this.#steps = [];
    this.#length = 0;
    this.#oldest = position === 0;
    this.floor = this.#oldest ? Infinity : position;
    this.end = position;
  }

  /** @param {Step} step what follows the end */
  push(step) {
    if (this.floor === Infinity) this.floor = step.from;
    this.#steps.push(step);
    this.#length += step.line.length;
    this.end = step.to;
  }

  /** There is nothing up to here. @param {number} position */
  reach(position) {
    if (this.floor === Infinity) this.floor = position;
    this.end = Math.max(this.end, position);
  }

  /** Whether it has more than it should. */
  get over() {
    return this.#steps.length > this.#limits.ring || this.#length > this.#limits.ringLength;
  }

  /** Forgets the oldest, as many as are too many, and none behind a position. @param {number} position */
  trim(position) {
    while (this.over && this.#steps[0].to <= position) {
      const step = /** @type {Step} */ (this.#steps.shift());
      this.#length -= step.line.length;
      this.floor = step.to;
      this.#oldest = false;
    }
  }

  /**
   * Whether what follows a position is here, or will come. What is before the oldest message is gone
   * only for who wanted to begin with that (position 0); for all others it is a hole, which the server explains
   * to who asks behind a position and not to who asks from the oldest.
   *
   * @param {number} position
   */
  covers(position) {
    if (position === 0) return this.#oldest;
    if (this.floor === undefined || position < this.floor || position > this.end) return false;
    const step = this.next(position);
    return step === undefined || step.from <= position;
  }

  /** The first step that leads beyond a position. @param {number} position */
  next(position) {
    let low = 0, high = this.#steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#steps[middle].to > position) high = middle;
      else low = middle + 1;
    }
    return this.#steps.at(low);
  }
}
