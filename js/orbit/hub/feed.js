import { Ring } from './ring.js';

/**
 * What a feed needs of its hub.
 *
 * @typedef {object} Source
 * @property {(sink: import('../subscription.js').Sink, start: {after?: number, epoch?: string}) =>
 *   import('../subscription.js').Subscription} subscribe anew, in place of the subscription before
 * @property {(subscription: import('../subscription.js').Subscription) => void} unsubscribe
 * @property {(position: number, epoch: string) => boolean} knows whether a position is of the server's history
 * @property {(position: number, epoch: string) => void} learn that it is
 * @property {(callback: () => void) => () => void} wait calls back after a while, unless the returned function is called
 * @property {(error: import('../codec.js').WireError, readers: import('./reader.js').Reader[]) => void} ended
 *   the server has refused the channel, or taken it away
 */

/**
 * One channel of a hub: one subscription at the server, and any number of readers, each with a position
 * of its own. There can be one position at the server, so it takes turns: a turn begins behind the
 * position of a reader, and serves all whom it passes. A reader that cannot take what comes, or wants
 * to begin further back, gets a turn of its own as soon as it has room again; in between those at the
 * front get theirs. So nobody waits for who is slow, and what a slow one is sent comes over the wire
 * for it once more, and not again and again.
 *
 * What is received counts as acknowledged at once: should the connection be lost, each reader says by
 * itself where it stands.
 *
 * Owned by Hub; ends with the hub's connection.
 */
export class Feed {
  #name;
  #source;
  /** @type {Set<import('./reader.js').Reader>} */
  #readers = new Set();
  #ring;
  #limits;
  /** @type {import('../subscription.js').Subscription | null} */
  #subscription = null;
  /** @type {'resting' | 'asking' | 'replaying' | 'live'} */
  #state = 'resting';
  #turn = 0;
  /** Where this turn has begun; with an epoch until the server has shown that it knows that. @type {{after?: number, epoch?: string}} */
  #start = {};
  /** Messages of this turn. */
  #count = 0;
  /** Where the server stood when it was asked last; below 0: it has not answered so far. */
  #stand = -1;
  #epoch;
  /** Ends the wait for readers that have little room. @type {(() => void) | null} */
  #patience = null;

  /**
   * @param {string} name
   * @param {string} epoch of the connection
   * @param {import('../constants.js').Limits} limits
   * @param {Source} source
   */
  constructor(name, epoch, limits, source) {
    this.#name = name;
    this.#epoch = epoch;
    this.#source = source;
    this.#limits = limits;
    this.#ring = new Ring(limits);
  }

  /** Whether nobody reads it. */
  get empty() {
    return this.#readers.size === 0;
  }

  /** @param {import('./reader.js').Reader} reader */
  add(reader) {
    this.#readers.add(reader);
    if (this.#stand >= 0 && reader.position !== undefined) this.#answer(reader);
    this.#place();
    this.#serve();
  }

  /** @param {import('./reader.js').Reader} reader */
  remove(reader) {
    if (!this.#readers.delete(reader)) return;
    if (this.empty) this.close();
    else this.#next();
  }

  /** There are no readers, or no connection. */
  close() {
    this.#readers.clear();
    this.#patience?.();
    this.#patience = null;
    this.#rest();
  }

  /** Readers have room again. */
  moved() {
    this.#serve();
  }

  /** @param {import('./reader.js').Reader} reader */
  #answer(reader) {
    reader.answer({ offset: Math.max(this.#stand, this.#ring.end), epoch: this.#epoch });
  }

  /** Those whose position has turned out to be of the server's history are where they say. */
  #place() {
    for (const reader of this.#readers) {
      const { position, epoch } = reader;
      if (position !== undefined && epoch !== undefined && this.#source.knows(position, epoch)) reader.epoch = undefined;
    }
  }

  /** Hands out what there is, and sees what is to be done next. */
  #serve() {
    for (const reader of this.#readers) {
      if (!this.#covers(reader)) continue;
      reader.served = this.#turn;
      reader.waited = false;
      this.#hand(reader);
    }
    if (this.#ring.over) this.#ring.trim(this.#consumed ? Infinity : this.#passed);
    this.#next();
  }

  /** @param {import('./reader.js').Reader} reader which is covered */
  #hand(reader) {
    const ring = this.#ring;
    while (reader.room) {
      const step = ring.next(/** @type {number} */ (reader.position));
      if (step === undefined) {
        if (this.#state === 'live') reader.reach(this.#name, ring.end);
        return;
      }
      reader.send(step);
    }
  }

  /** @param {import('./reader.js').Reader} reader */
  #covers(reader) {
    return reader.placed && this.#ring.covers(/** @type {number} */ (reader.position));
  }

  /** What all have behind them who can go on from here. */
  get #passed() {
    return Math.min(...[...this.#readers].filter(reader => this.#covers(reader)).map(reader => reader.position ?? 0));
  }

  /** Whether somebody takes what comes. */
  get #consumed() {
    return [...this.#readers].some(reader => reader.room && this.#covers(reader));
  }

  /** Whether the turn is to go on, another to begin, or all to rest. */
  #next() {
    if (this.#state === 'asking' || this.#start.epoch !== undefined) return;
    const consumed = this.#consumed;
    const apart = [...this.#readers].filter(reader => reader.room && !this.#covers(reader));
    const waiting = apart.filter(reader => reader.hungry);
    if (waiting.length < apart.length) this.#patience ??= this.#source.wait(() => this.#waited());
    if (waiting.length > 0) {
      const busy = this.#state === 'replaying' && consumed && this.#count < this.#limits.turn;
      if (!busy || waiting.some(reader => reader.position === undefined)) this.#begin(this.#choose(waiting));
    } else if (this.#state === 'resting' && consumed) {
      this.#begin({ after: this.#ring.end });
    } else if (!consumed && this.#ring.over) {
      this.#rest();
    }
  }

  /** Who has little room and acknowledges nothing more gets what there is room for. */
  #waited() {
    this.#patience = null;
    for (const reader of this.#readers) reader.waited = true;
    this.#next();
  }

  /**
   * Where the next turn begins: where the stream is, for whoever starts now; else, where it is not known
   * whether the server has the history of a position, at the last such position, which tells for those
   * before it, too; else at the first one of those that have waited longest.
   *
   * @param {import('./reader.js').Reader[]} waiting
   * @returns {{after?: number, epoch?: string}}
   */
  #choose(waiting) {
    const now = waiting.some(reader => reader.position === undefined);
    if (now && this.#ring.floor !== undefined) return { after: this.#ring.end };
    const unknown = waiting.filter(reader => reader.epoch !== undefined).sort(byPosition).at(-1);
    if (unknown) return { after: unknown.position, epoch: unknown.epoch };
    const placed = waiting.filter(reader => reader.placed);
    const longest = Math.min(...placed.map(reader => reader.served));
    return { after: placed.filter(reader => reader.served === longest).sort(byPosition).at(0)?.position };
  }

  /** @param {{after?: number, epoch?: string}} start */
  #begin({ after, epoch = this.#epoch }) {
    const turn = ++this.#turn;
    this.#state = 'asking';
    this.#count = 0;
    this.#start = after === undefined ? {} : after === 0 ? { after } : { after, epoch };
    if (after !== undefined) this.#ring.begin(after);
    for (const reader of this.#readers) {
      if (reader.position === undefined) reader.asked = turn;
    }
    /** @template {any[]} A @param {(...args: A) => void} heard @returns {(...args: A) => void} */
    const mine = heard => (...args) => { if (this.#turn === turn) heard(...args); };
    this.#subscription = this.#source.subscribe({
      deliver: mine((message, _, finish) => this.#deliver(message, finish)),
      gap: mine(gap => this.#gap(gap)),
      reached: mine(offset => this.#reached(offset)),
      granted: mine((offset, epoch) => this.#granted(offset ?? 0, epoch)),
      lost: mine(() => { this.#state = 'asking'; }), // it asks again by itself
      ended: mine(error => this.#end(error)),
    }, this.#start);
  }

  /** @param {number} offset @param {string} epoch */
  #granted(offset, epoch) {
    const { after } = this.#start;
    this.#state = after === undefined ? 'live' : 'replaying';
    this.#stand = offset;
    this.#source.learn(offset, epoch);
    if (after === undefined) this.#ring.begin(offset);
    const readers = [...this.#readers]; // an answer lets go the next command, which may be one for this feed
    for (const reader of readers) {
      if (reader.position === undefined && reader.asked === this.#turn) reader.position = offset;
    }
    for (const reader of readers) {
      if (reader.position !== undefined) this.#answer(reader);
    }
    this.#place();
    this.#serve();
  }

  /** What comes behind where the turn began says that the server has that position's history. */
  #confirm() {
    const { after, epoch } = this.#start;
    if (after === undefined || epoch === undefined) return;
    this.#source.learn(after, epoch);
    this.#start = { after };
    this.#place();
  }

  /** @param {import('../codec.js').WireMessage} message @param {() => void} finish */
  #deliver(message, finish) {
    finish();
    this.#confirm();
    this.#count++;
    this.#source.learn(message.o, this.#epoch);
    this.#ring.push({ from: message.p, to: message.o, line: JSON.stringify(message) });
    this.#serve();
  }

  /** @param {import('../codec.js').Gap} gap */
  #gap(gap) {
    const step = { from: gap.after, to: gap.to, line: JSON.stringify({ ch: this.#name, gap }) };
    if (gap.reason === 'epoch' || gap.to < gap.after) this.#anew(step);
    else {
      this.#confirm();
      this.#ring.push(step);
    }
    this.#serve();
  }

  /**
   * The position where the turn began is of another history, so who stands there begins anew.
   *
   * @param {import('./ring.js').Step} step
   */
  #anew(step) {
    const { after, epoch } = this.#start;
    this.#ring.begin(step.to);
    for (const reader of this.#readers) {
      if (reader.position === after && (reader.placed || reader.epoch === epoch)) reader.send(step);
    }
    this.#start = { after: step.to };
  }

  /** @param {number} offset */
  #reached(offset) {
    this.#confirm();
    this.#state = 'live';
    this.#ring.reach(offset);
    this.#source.learn(offset, this.#epoch);
    this.#serve();
  }

  /** @param {import('../codec.js').WireError} error */
  #end(error) {
    const readers = [...this.#readers];
    this.#readers.clear();
    this.#subscription = null;
    this.#source.ended(error, readers);
  }

  /** Nobody takes anything: the server need not send it. */
  #rest() {
    if (this.#state === 'resting') return;
    this.#turn++;
    this.#state = 'resting';
    this.#start = {};
    if (this.#subscription) this.#source.unsubscribe(this.#subscription);
    this.#subscription = null;
  }
}

/** @param {import('./reader.js').Reader} a @param {import('./reader.js').Reader} b */
function byPosition(a, b) {
  return (a.position ?? 0) - (b.position ?? 0);
}
