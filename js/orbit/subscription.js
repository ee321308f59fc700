/**
 * What a subscription tells its channel.
 *
 * @typedef {object} Sink
 * @property {(message: import('./codec.js').WireMessage, epoch: string, finish: () => void) => void} deliver
 *   a message to hand on; finish is called once it was processed
 * @property {(gap: import('./codec.js').Gap) => void} gap
 * @property {(offset: number | undefined, epoch: string) => void} granted
 * @property {(offset: number) => void} [reached] the replay has ended, all up to here has come
 * @property {() => void} lost it will be asked for again
 * @property {(error: import('./codec.js').WireError, revoked: boolean) => void} ended
 *
 * @typedef {{after?: number, epoch?: string, beyond?: number[]}} Start
 */

/**
 * Where this client stands on one channel: PROTOCOL.md's client rule (section 3), without I/O.
 *
 * There are two marks. `position` is what was received: it tells duplicates and holes. `done` is
 * what the page has processed, all of it up to there: it is what the server is told, so that what
 * the page did not get to is sent again, and then dropped as a duplicate where it is still at hand.
 *
 * Owned by Subscriptions, which does the asking.
 */
export class Subscription {
  /** @type {'new' | 'asked' | 'live' | 'ended'} */
  state = 'new';
  /** @type {object | null} the request whose reply counts: later ones replace it */
  asking = null;
  /** @type {number | undefined} */
  position;
  /** @type {string | undefined} of the position: confirmed by the server's pushes, not by replies */
  epoch;
  /** How often in a row the chain broke at the same position. */
  broken = 0;
  /** How often in a row it was refused for a passing reason. */
  refused = 0;
  /** Messages processed since the last ack. */
  finished = 0;
  /** @type {any} until it is asked for again */
  timer = null;

  /** @type {number | undefined} */
  #done;
  /** What was received and not processed, in order. @type {{offset: number, finished: boolean}[]} */
  #open = [];
  /** What an earlier page has processed above `done`: dropped when it comes. @type {Set<number>} */
  #known;
  /** How far this connection's server has sent: it refuses an ack beyond. */
  #sent = 0;
  /** What this connection's server is known to have as processed. */
  #acked = 0;
  /** Up to here the page has processed nothing: it chose to start there. */
  #chosen = 0;

  /**
   * @param {string} name
   * @param {Sink} sink
   * @param {Start} [start]
   */
  constructor(name, sink, { after, epoch, beyond } = {}) {
    this.name = name;
    this.sink = sink;
    this.position = this.#done = after;
    this.epoch = epoch;
    this.#known = new Set(beyond);
    this.#chosen = this.#acked = beyond === undefined ? after ?? 0 : 0; // else an earlier page has processed it
  }

  /**
   * Where the server is to go on; undefined: from now on, or from the session's cursor.
   *
   * @returns {{after: number, epoch?: string} | undefined}
   */
  get start() {
    const after = this.#done ?? this.position;
    if (after === undefined) return undefined;
    return this.epoch === undefined ? { after } : { after, epoch: this.epoch };
  }

  /**
   * All up to `after` was processed, and above it what is named in `beyond`; undefined: nothing is known.
   *
   * @returns {Start | undefined}
   */
  get processed() {
    if (this.#done === undefined) return undefined;
    const finished = this.#open.filter(entry => entry.finished).map(entry => entry.offset);
    const coming = [...this.#known].filter(offset => offset > (this.position ?? -1)); // or they have expired
    return { ...this.start, beyond: [...finished, ...coming] };
  }

  /** The start as far as it may be named in a connect. */
  get named() {
    return this.#done === undefined || this.epoch === undefined ? undefined : this.start;
  }

  /** Whether the session's cursor, where the server has one, is as good a start as any. */
  get anywhere() {
    return this.#done === undefined;
  }

  /**
   * It was asked for, after start as it is now. What arrives before the reply is of an earlier
   * subscription and is dropped.
   *
   * @param {boolean} [acks] whether the server takes that start as acknowledged
   */
  ask(acks = false) {
    this.state = 'asked';
    this.#sent = this.#done ?? 0;
    if (acks) this.#acked = this.#sent;
    this.finished = 0;
    this.asking = {};
    return this.asking;
  }

  /**
   * @param {number | undefined} offset
   * @param {string} epoch
   * @param {boolean} fresh a subscription that starts at the reply's offset
   */
  granted(offset, epoch, fresh) {
    this.state = 'live';
    this.asking = null;
    this.refused = 0;
    if (!fresh || this.start !== undefined || offset === undefined) return;
    this.position = this.#done = this.#sent = this.#acked = this.#chosen = offset;
    this.epoch = epoch;
  }

  /** The connection ended, and with it acks, perhaps, that the server has not had. */
  lost() {
    if (this.state !== 'ended') this.state = 'new';
    this.asking = null;
    this.#acked = this.#chosen;
  }

  /** The server refused it for good, or took it away. */
  end() {
    this.state = 'ended';
    this.asking = null;
  }

  /**
   * Rules 1 to 3 for a message. From position 0, the oldest that is kept, any predecessor is right:
   * what was before it is gone. There the page has all below the first message, which makes a
   * position that the server can check: it would say nothing of what it removes behind a 0.
   *
   * @param {number} offset
   * @param {number} previous
   * @param {string} epoch
   * @returns {'new' | 'duplicate' | 'broken'}
   */
  receive(offset, previous, epoch) {
    const position = this.position ?? -1;
    if (offset > position) {
      if (position > 0 && previous > position) return 'broken';
      if (this.#done === 0 && position === 0) this.#done = offset - 1;
      const known = this.#known.delete(offset);
      this.#push(offset, known);
      this.broken = 0;
      this.#confirm(offset, epoch);
      return known ? 'duplicate' : 'new';
    }
    this.#confirm(offset, epoch);
    return 'duplicate';
  }

  /**
   * The end of a replay.
   *
   * @param {number} offset
   * @param {string} epoch
   */
  reach(offset, epoch) {
    if (offset > (this.position ?? -1)) this.#push(offset, true);
    this.#confirm(offset, epoch);
  }

  /**
   * Rules 2 and 4 for a gap. Downwards the numbers begin anew: what is still being processed belongs
   * to another history and moves nothing any more. A gap below the position (what was sent again
   * because it is still being processed has expired by now) takes nothing away.
   *
   * @param {import('./codec.js').Gap} gap
   * @param {string} epoch
   * @returns {'new' | 'duplicate' | 'broken'} new: the page misses something
   */
  skip({ after, to, reason }, epoch) {
    const anew = reason === 'epoch' || to < after;
    if (!anew && to <= (this.position ?? -1)) {
      this.#confirm(to, epoch);
      return 'duplicate';
    }
    if (after > (this.position ?? after)) return 'broken';
    this.broken = 0;
    if (anew) {
      this.#open = [];
      this.#known.clear();
      this.#acked = this.#chosen = 0;
      this.#sent = this.position = this.#done = to;
    } else {
      this.#push(to, true);
    }
    this.#confirm(to, epoch);
    return 'new';
  }

  /**
   * The function that says that the message received last was processed.
   *
   * @param {() => void} moved called when there is something to acknowledge
   * @returns {() => void}
   */
  finisher(moved) {
    const entry = this.#open[this.#open.length - 1];
    return () => {
      if (entry.finished) return;
      entry.finished = true;
      this.finished++;
      this.#settle();
      moved();
    };
  }

  /** What the server is to be told as processed; undefined: nothing new. */
  get ackable() {
    const up = Math.min(this.#done ?? 0, this.#sent);
    return this.state === 'live' && up > this.#acked ? up : undefined;
  }

  /** @param {number} offset */
  acked(offset) {
    this.#acked = offset;
    this.finished = 0;
  }

  /** @param {number} offset @param {boolean} finished */
  #push(offset, finished) {
    this.position = offset;
    this.#open.push({ offset, finished });
    if (finished) this.#settle();
  }

  #settle() {
    while (this.#open[0]?.finished) this.#done = this.#open.shift()?.offset;
  }

  /**
   * A push says that the server's history is the one our position is of: had it not been, a gap
   * would have come before it. From here on the position may be named with this epoch.
   *
   * @param {number} offset
   * @param {string} epoch
   */
  #confirm(offset, epoch) {
    this.epoch = epoch;
    this.#sent = Math.max(this.#sent, offset);
  }
}
