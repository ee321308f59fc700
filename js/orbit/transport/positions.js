/**
 * Where a client that polls stands: up to where it has received each channel, read from what is sent
 * and what comes. Pure: no I/O.
 *
 * It also keeps to the window. To the server every poll has a fresh one; so what nobody has
 * acknowledged is counted here, and what is too much is dropped as if it had not come.
 *
 * @typedef {object} Position
 * @property {number} offset
 * @property {string} [epoch] of the offset; 0 needs none
 * @property {number[]} open offsets of messages that are not acknowledged
 */
export class Positions {
  #epoch = '';
  /** @type {Map<string, Position>} */
  #all = new Map();
  /** Commands without their answer. @type {Map<number, import('../codec.js').Command>} */
  #asked = new Map();
  /** Channels of which this answer has had too much. */
  #dropping = new Set();

  /** @param {import('../codec.js').Command} command */
  sent(command) {
    const { op, id = 0, channel, last = {} } = command;
    if (op === 'connect') {
      for (const [name, offset] of Object.entries(last)) this.#set(name, Number(offset), command.epoch);
    } else if (op === 'subscribe' || op === 'auth') {
      this.#asked.set(id, command);
      this.#all.delete(channel);
    } else if (op === 'unsubscribe') {
      this.#all.delete(channel);
    } else if (op === 'ack') {
      for (const [name, offset] of Object.entries(last)) this.#acked(name, Number(offset));
    }
  }

  /** @param {string} epoch of all that comes from now on */
  accepted(epoch) {
    this.#epoch = epoch;
  }

  /** @param {string} channel that the session has no more */
  drop(channel) {
    this.#all.delete(channel);
  }

  /**
   * The commands that a poll begins with: a connect that names all of one epoch, and what is of
   * another one.
   *
   * @param {number} id
   * @param {Record<string, any>} connect
   * @param {string} epoch
   * @returns {string[]}
   */
  head(id, connect, epoch) {
    this.#dropping.clear();
    /** @type {Record<string, number>} */
    const last = {};
    const others = [];
    for (const [channel, position] of this.#all) {
      if (position.offset === 0 || position.epoch === epoch) last[channel] = position.offset;
      else others.push({ id, op: 'subscribe', channel, after: position.offset, epoch: position.epoch });
    }
    return [{ ...connect, epoch, last }, ...others].map(command => JSON.stringify(command));
  }

  /** Whether a channel has so much open that nothing more should come. @param {number} window */
  full(window) {
    return [...this.#all.values()].some(({ open }) => open.length >= window);
  }

  /**
   * @param {any} frame
   * @param {number} window
   * @returns {null | undefined | {app: string, token: string}} null: it is to be dropped; an identity
   *   that the session has from now on
   */
  received(frame, window) {
    if (frame.re !== undefined) return this.#answered(frame);
    if (typeof frame.ch !== 'string' || this.#isAsked(frame.ch)) return undefined;
    if (this.#dropping.has(frame.ch)) return null;
    const position = this.#all.get(frame.ch);
    if (frame.o !== undefined) return this.#message(frame, position, window);
    if (frame.at !== undefined) this.#move(frame.ch, Math.max(frame.at, position?.offset ?? 0));
    else if (frame.gap) this.#move(frame.ch, frame.gap.to);
    else if (frame.revoked) this.drop(frame.ch);
    return undefined;
  }

  /**
   * @param {{ch: string, o: number, p: number}} message
   * @param {Position | undefined} position
   * @param {number} window
   */
  #message({ ch, o, p }, position, window) {
    if (position && o <= position.offset) return undefined; // a duplicate
    if (position && position.offset > 0 && p > position.offset) return undefined; // which will be asked for
    if (position && position.open.length >= window) {
      this.#dropping.add(ch);
      return null;
    }
    this.#move(ch, o).open.push(o);
    return undefined;
  }

  /** @param {import('../codec.js').Reply} reply */
  #answered({ re, error, offset }) {
    const asked = this.#asked.get(re);
    this.#asked.delete(re);
    if (!asked || error) return undefined;
    if (asked.op === 'auth') return { app: asked.app, token: asked.token };
    if (asked.after !== undefined) this.#set(asked.channel, asked.after, asked.epoch);
    else if (offset !== undefined) this.#set(asked.channel, offset, this.#epoch);
    return undefined;
  }

  /**
   * Acks that may have been lost, once more and as one; but none of what has begun anew meanwhile.
   *
   * @param {string[]} texts
   * @returns {string[]} one command, or none
   */
  acks(texts) {
    /** @type {Record<string, number>} */
    const last = {};
    for (const [channel, offset] of texts.flatMap(text => Object.entries(JSON.parse(text).last))) {
      const had = offset <= (this.#all.get(channel)?.offset ?? -1);
      if (had) last[channel] = Math.max(offset, last[channel] ?? 0);
    }
    return Object.keys(last).length > 0 ? [JSON.stringify({ op: 'ack', last })] : [];
  }

  /** @param {string} channel */
  #isAsked(channel) {
    return [...this.#asked.values()].some(command => command.channel === channel);
  }

  /** @param {string} channel @param {number} offset @param {string | undefined} epoch */
  #set(channel, offset, epoch) {
    this.#all.set(channel, { offset, epoch, open: [] });
  }

  /** @param {string} channel @param {number} offset */
  #move(channel, offset) {
    const position = this.#all.get(channel) ?? { offset, open: [] };
    Object.assign(position, { offset, epoch: this.#epoch });
    this.#all.set(channel, position);
    return position;
  }

  /** @param {string} channel @param {number} offset */
  #acked(channel, offset) {
    const position = this.#all.get(channel);
    if (position) position.open = position.open.filter(open => open > offset);
  }
}
