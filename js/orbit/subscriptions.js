import { backoff } from './backoff.js';
import { LIMIT, RETRIED } from './constants.js';
import { Acks } from './acks.js';
import { Subscription } from './subscription.js';

/**
 * All subscriptions of one Orbit: asks for them, routes what arrives, and acknowledges. It outlives
 * connections; Session tells it when one is there.
 */
export class Subscriptions {
  #host;
  #adopt;
  #cursors;
  #acks;
  /** @type {Map<string, Subscription>} */
  #all = new Map();

  /** @type {import('./connection.js').Connection | null} */
  #connection = null;
  #epoch = '';

  /**
   * @param {import('./host.js').Host} host
   * @param {import('./cursors.js').Cursors} cursors
   * @param {(name: string, subscribe: (sink: import('./subscription.js').Sink) => Subscription) =>
   *   boolean} adopt asked for a subscription that the session has and the page does not know:
   *   takes it over, or answers false
   */
  constructor(host, cursors, adopt) {
    this.#host = host;
    this.#cursors = cursors;
    this.#adopt = adopt;
    this.#acks = new Acks(host);
  }

  /**
   * Subscribes, in place of a subscription that the name may have already.
   *
   * @param {string} name
   * @param {import('./subscription.js').Sink} sink
   * @param {import('./subscription.js').Start} start
   * @returns {Subscription}
   */
  add(name, sink, start) {
    const before = this.#all.get(name);
    if (before) {
      this.#acks.flush();
      this.#host.clearTimeout(before.timer);
      before.end();
    }
    const subscription = this.#put(new Subscription(name, sink, start));
    if (this.#connection) this.#ask(subscription);
    return subscription;
  }

  /** @param {Subscription} subscription */
  #put(subscription) {
    this.#all.set(subscription.name, subscription);
    this.#cursors.hold(subscription.name);
    return subscription;
  }

  /**
   * @param {Subscription} subscription
   * @param {boolean} [kept] by the session, which goes on by its name where the page ends
   */
  remove(subscription, kept = false) {
    this.#host.clearTimeout(subscription.timer);
    if (this.#all.get(subscription.name) !== subscription) return;
    this.#acks.flush();
    this.#all.delete(subscription.name);
    this.#cursors.release(subscription.name);
    if (subscription.state !== 'ended' && !kept) this.#unsubscribe(subscription.name);
    subscription.end();
  }

  /** Those that were refused may be asked for again: the client has become someone else. */
  reset() {
    for (const subscription of this.#all.values()) {
      if (subscription.state === 'ended') subscription.state = 'new';
    }
  }

  /**
   * Where the client stands, for a connect. One connect has one epoch, and a limited size: what does
   * not fit is subscribed to afterwards.
   *
   * @param {number} room bytes
   * @param {boolean} acks whether the server takes it as acknowledged
   * @returns {{epoch?: string, last?: Record<string, number>}}
   */
  last(room, acks) {
    const candidates = [...this.#all.values()].filter(s => s.state !== 'ended' && s.named);
    const epoch = mostFrequent(candidates.map(s => s.epoch));
    /** @type {Record<string, number>} */
    const last = {};
    for (const subscription of candidates.filter(s => s.epoch === epoch)) {
      room -= subscription.name.length + '"":,'.length + String(LIMIT.offset).length;
      if (room < 0) break;
      last[subscription.name] = subscription.named?.after ?? 0;
      subscription.ask(acks);
    }
    return Object.keys(last).length > 0 ? { epoch, last } : {};
  }

  /**
   * The connect was accepted.
   *
   * @param {import('./connection.js').Connection} connection
   * @param {import('./codec.js').Reply} reply
   */
  opened(connection, reply) {
    this.#connection = connection;
    this.#epoch = reply.epoch ?? '';
    this.#acks.opened(connection, reply.window ?? LIMIT.window);
    const results = reply.subs ?? {};
    for (const subscription of [...this.#all.values()]) {
      if (subscription.state !== 'ended') this.#take(subscription, results[subscription.name]);
    }
    for (const [name, result] of Object.entries(results)) {
      if (!this.#all.has(name) && !result.error) this.#unasked(name, result);
    }
  }

  lost() {
    this.#connection = null;
    this.#acks.lost();
    for (const subscription of this.#all.values()) {
      this.#host.clearTimeout(subscription.timer);
      const told = subscription.state === 'live';
      subscription.lost();
      if (told) subscription.sink.lost();
    }
  }

  /** Says now what was processed. */
  flush() {
    this.#acks.flush();
  }

  /** @param {number} length of what arrived */
  heard(length) {
    this.#acks.heard(length);
  }

  /**
   * A push about a channel. What is not live is dropped: the reply that makes it so is on its way.
   *
   * @param {import('./codec.js').Incoming} incoming
   */
  push({ kind, frame }) {
    const subscription = this.#all.get(frame.ch);
    if (subscription?.state !== 'live') return;
    if (kind === 'message') {
      this.#message(subscription, frame);
    } else if (kind === 'at') {
      subscription.reach(frame.at, this.#epoch);
      subscription.sink.reached?.(frame.at);
      this.#moved(subscription);
    } else if (kind === 'gap') {
      this.#gap(subscription, frame.gap);
    } else if (kind === 'revoked') {
      subscription.end();
      subscription.sink.ended(frame.revoked, true);
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {import('./codec.js').WireMessage} message
   */
  #message(subscription, message) {
    const verdict = subscription.receive(message.o, message.p, this.#epoch);
    if (verdict === 'new') {
      const finish = subscription.finisher(() => this.#moved(subscription));
      subscription.sink.deliver(message, this.#epoch, finish);
    } else if (verdict === 'duplicate') {
      this.#moved(subscription);
    } else {
      this.#broken(subscription);
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {import('./codec.js').Gap} gap
   */
  #gap(subscription, gap) {
    const verdict = subscription.skip(gap, this.#epoch);
    if (verdict === 'broken') {
      this.#broken(subscription);
      return;
    }
    if (verdict === 'new') subscription.sink.gap(gap);
    this.#moved(subscription);
  }

  /** @param {Subscription} subscription whose mark of what was processed may have moved */
  #moved(subscription) {
    if (this.#all.get(subscription.name) === subscription) this.#cursors.keep(subscription.name, subscription.processed);
    this.#acks.moved(subscription);
  }

  /**
   * Something is missing: go on after what we have. Where that does not help, not at full speed.
   *
   * @param {Subscription} subscription
   */
  #broken(subscription) {
    subscription.sink.lost();
    const tries = ++subscription.broken - LIMIT.broken;
    if (tries <= 0) this.#ask(subscription);
    else this.#askLater(subscription, tries);
  }

  /**
   * What the reply to a connect says about a subscription. It holds for those that the connect named,
   * and for those that may start at the session's cursor.
   *
   * @param {Subscription} subscription
   * @param {{offset?: number, error?: import('./codec.js').WireError} | undefined} result
   */
  #take(subscription, result) {
    if (result === undefined || (subscription.state !== 'asked' && !subscription.anywhere)) {
      this.#ask(subscription);
      return;
    }
    if (subscription.state !== 'asked') subscription.ask();
    this.#answered(subscription, result, false);
  }

  /**
   * @param {string} name
   * @param {{offset?: number}} result
   */
  #unasked(name, result) {
    const adopted = this.#adopt(name, sink => this.#put(new Subscription(name, sink)));
    const subscription = this.#all.get(name);
    if (adopted && subscription) this.#take(subscription, result);
    else this.#unsubscribe(name);
  }

  /** @param {Subscription} subscription */
  #ask(subscription) {
    const asking = subscription.ask();
    const command = { op: 'subscribe', channel: subscription.name, ...subscription.start };
    this.#connection?.request(command, reply => {
      if (reply !== null && subscription.asking === asking) this.#answered(subscription, reply, true);
    });
  }

  /** @param {Subscription} subscription @param {number} tries */
  #askLater(subscription, tries) {
    subscription.lost();
    subscription.timer = this.#host.setTimeout(() => {
      if (subscription.state === 'new' && this.#connection) this.#ask(subscription);
    }, backoff(tries, this.#host.random));
  }

  /**
   * @param {Subscription} subscription
   * @param {{offset?: number, error?: import('./codec.js').WireError}} result
   * @param {boolean} fresh whether it starts at the result's offset, if it had no start
   */
  #answered(subscription, { offset, error }, fresh) {
    if (error === undefined) {
      subscription.granted(offset, this.#epoch, fresh);
      this.#cursors.keep(subscription.name, subscription.processed);
      this.#acks.moved(subscription);
      subscription.sink.granted(offset, this.#epoch);
    } else if (RETRIED.includes(error.code)) {
      this.#askLater(subscription, ++subscription.refused + 1);
    } else {
      subscription.end();
      subscription.sink.ended(error, false);
    }
  }

  /** @param {string} channel */
  #unsubscribe(channel) {
    this.#connection?.request({ op: 'unsubscribe', channel }, () => {});
  }
}

/**
 * @template T
 * @param {T[]} values
 * @returns {T | undefined}
 */
function mostFrequent(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}
