import { LIMIT, TIME } from './constants.js';

/**
 * Tells the server what was processed, lazily: a second after the first message, or when half a
 * window or many bytes have gathered. Owned by Subscriptions; its state is one connection's.
 */
export class Acks {
  #host;
  /** @type {import('./connection.js').Connection | null} */
  #connection = null;
  /** @type {Set<import('./subscription.js').Subscription>} */
  #moved = new Set();
  #half = LIMIT.window / 2;
  #bytes = 0;
  /** @type {any} */
  #timer = null;

  /** @param {import('./host.js').Host} host */
  constructor(host) {
    this.#host = host;
  }

  /**
   * @param {import('./connection.js').Connection} connection
   * @param {number} window
   */
  opened(connection, window) {
    this.#connection = connection;
    this.#half = Math.max(1, Math.floor(window / 2));
    this.#bytes = 0;
  }

  lost() {
    this.#connection = null;
    this.#moved.clear();
    this.#host.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** @param {number} length of what arrived */
  heard(length) {
    this.#bytes += length;
  }

  /** @param {import('./subscription.js').Subscription} subscription whose mark has moved */
  moved(subscription) {
    if (this.#connection === null || subscription.ackable === undefined) return;
    this.#moved.add(subscription);
    if (subscription.finished >= this.#half || this.#bytes >= LIMIT.ackBytes) {
      this.flush();
    } else if (this.#timer === null) {
      this.#timer = this.#host.setTimeout(() => this.flush(), TIME.ack);
    }
  }

  /** Says it now. */
  flush() {
    this.#host.clearTimeout(this.#timer);
    this.#timer = null;
    this.#bytes = 0;
    const moved = [...this.#moved];
    this.#moved.clear();
    for (let i = 0; i < moved.length; i += LIMIT.ackChannels) {
      this.#send(moved.slice(i, i + LIMIT.ackChannels));
    }
  }

  /** @param {import('./subscription.js').Subscription[]} subscriptions */
  #send(subscriptions) {
    /** @type {Record<string, number>} */
    const last = {};
    for (const subscription of subscriptions) {
      const offset = subscription.ackable;
      if (offset === undefined) continue;
      last[subscription.name] = offset;
      subscription.acked(offset);
    }
    if (Object.keys(last).length > 0) this.#connection?.send({ op: 'ack', last });
  }
}
