import { CODE, LOCAL } from './constants.js';
import { decodePayload } from './codec.js';
import { fire, OrbitError, OrbitEvent, OrbitMessage, report } from './events.js';
import { Stream } from './stream.js';
import { Target } from './target.js';

/**
 * What a channel needs from its Orbit.
 *
 * @typedef {object} Owner
 * @property {string} origin of the server
 * @property {(sink: import('./subscription.js').Sink) => import('./subscription.js').Subscription} subscribe
 * @property {(payload: any, options: import('./outbox.js').PublishOptions) => Promise<import('./outbox.js').Stored>} publish
 * @property {(query: {before?: number, limit?: number}) => Promise<import('./codec.js').Reply>} history
 * @property {(subscription: import('./subscription.js').Subscription | null) => void} closed
 * @property {(type: string, detail: import('./events.js').Detail) => void} tell
 *
 * @typedef {'idle' | 'subscribing' | 'open' | 'ended' | 'closed'} ChannelState
 */

/**
 * A channel, with the interface of HTML's BroadcastChannel over the network, and three differences:
 * one's own messages come back too, in the order that all see; publish tells when a message is
 * stored; and messages have an offset.
 *
 * It subscribes with its first consumer (onmessage, addEventListener('message') or a `for await`),
 * so a page that only publishes needs no right to read. Where there is no consumer any more (its
 * onmessage is null again, its loops have ended), messages wait, a window of them; then the server
 * does. Who has once called addEventListener counts as one until close.
 */
export class Channel extends Target {
  /** A message has a payload that cannot be read. @type {((event: MessageEvent) => unknown) | null} */
  onmessageerror = null;

  #name;
  #owner;
  #manual;
  /** @type {ChannelState} */
  #state = 'idle';
  /** @type {import('./subscription.js').Subscription | null} */
  #subscription = null;

  /** @type {((event: OrbitMessage) => unknown) | null} */
  #onmessage = null;
  #listening = false;
  /** @type {Set<Stream>} */
  #streams = new Set();
  /** What came while nobody consumed. @type {OrbitMessage[]} */
  #waiting = [];

  /**
   * Pages get theirs from Orbit.channel.
   *
   * @param {string} name
   * @param {Owner} owner
   * @param {boolean} manual whether the page acknowledges
   */
  constructor(name, owner, manual) {
    super();
    this.#name = name;
    this.#owner = owner;
    this.#manual = manual;
  }

  /** As it was asked for. */
  get name() {
    return this.#name;
  }

  /** idle, subscribing, open, ended (refused or revoked) or closed. */
  get state() {
    return this.#state;
  }

  /** The offset of the last message received; undefined: nothing is known yet. */
  get offset() {
    return this.#subscription?.position;
  }

  /** The epoch of the offset. Both together are a position to start from. */
  get epoch() {
    return this.#subscription?.epoch;
  }

  /** Called with each message, once and in order. */
  get onmessage() {
    return this.#onmessage;
  }

  /** A promise that it returns keeps the message unfinished until it is settled. */
  set onmessage(handler) {
    this.#onmessage = typeof handler === 'function' ? handler : null;
    if (this.#onmessage) this.#begin();
  }

  /**
   * @param {string} type
   * @param {((event: any) => void) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @override
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (type !== 'message' || !listener) return;
    this.#listening = true;
    this.#begin();
  }

  /**
   * Publishes. Resolves once the message is stored for good; rejects with an OrbitError when it is
   * certain that it is not and will not be. Until then it is tried again, also over a new connection;
   * the key makes sure that it is stored once.
   *
   * @param {any} payload a JSON value, or an ArrayBuffer or a view of one
   * @param {import('./outbox.js').PublishOptions} [options]
   * @returns {Promise<import('./outbox.js').Stored>}
   */
  async publish(payload, options = {}) {
    if (this.#state === 'closed') throw new OrbitError(LOCAL.closed, 'the channel is closed', this.#name);
    return this.#owner.publish(payload, options);
  }

  /**
   * Publishes without telling when it is done; a failure is an error event.
   *
   * @param {any} payload
   */
  postMessage(payload) {
    if (this.#state === 'closed') throw new DOMException('the channel is closed', 'InvalidStateError');
    this.publish(payload).catch(error => this.#tell('error', {
      code: error.code ?? CODE.badRequest, message: error.message,
    }));
  }

  /**
   * Older messages, oldest first. It needs no subscription, and moves none.
   *
   * @param {{before?: number, limit?: number}} [query] messages below this offset (absent: the
   *   newest), and at most so many
   * @returns {Promise<{messages: OrbitMessage[], more: boolean, epoch: string}>}
   */
  async history(query = {}) {
    const { messages = [], more = false, epoch = '' } = await this.#owner.history(query);
    return { messages: messages.map(wire => this.#message(wire, epoch, () => {})), more, epoch };
  }

  /** Ends the subscription. Publishes that have begun go on. */
  close() {
    if (this.#state === 'closed') return;
    this.#become('closed');
    this.#waiting = [];
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
    this.#owner.closed(this.#subscription);
  }

  /** @returns {AsyncIterableIterator<OrbitMessage>} */
  [Symbol.asyncIterator]() {
    const stream = new Stream((left, rest) => {
      this.#streams.delete(left);
      if (this.#consumed) for (const message of rest) message.release();
      else this.#waiting.unshift(...rest);
    });
    if (this.#state === 'closed' || this.#state === 'ended') {
      stream.end();
      return stream;
    }
    this.#streams.add(stream);
    this.#begin();
    return stream;
  }

  /**
   * Takes over a subscription that the session had before the page asked: its messages wait here.
   *
   * @param {(sink: import('./subscription.js').Sink) => import('./subscription.js').Subscription} subscribe
   */
  adopt(subscribe) {
    this.#become('subscribing');
    this.#subscription = subscribe(this.#sink());
  }

  get #consumed() {
    return this.#onmessage !== null || this.#listening || this.#streams.size > 0;
  }

  /** There is a consumer: subscribe, or hand out what waits, not before the caller is done. */
  #begin() {
    if (this.#state === 'closed') return;
    if (this.#subscription === null) {
      this.#become('subscribing');
      this.#subscription = this.#owner.subscribe(this.#sink());
    } else {
      queueMicrotask(() => this.#drain());
    }
  }

  #drain() {
    while (this.#consumed && this.#waiting.length > 0) {
      this.#hand(/** @type {OrbitMessage} */ (this.#waiting.shift()));
    }
  }

  /** @returns {import('./subscription.js').Sink} */
  #sink() {
    return {
      deliver: (wire, epoch, finish) => this.#deliver(wire, epoch, finish),
      gap: gap => this.#tell('gap', gap),
      granted: (offset, epoch) => {
        this.#become('open');
        this.#tell('open', { offset, epoch });
      },
      lost: () => {
        this.#become('subscribing');
        this.#tell('close', { code: LOCAL.lost, message: 'the subscription will be taken up again' });
      },
      ended: ({ code, message }, revoked) => this.#end(revoked ? 'revoked' : 'error', code, message),
    };
  }

  /**
   * @param {import('./codec.js').WireMessage} wire
   * @param {string} epoch
   * @param {() => void} finish
   */
  #deliver(wire, epoch, finish) {
    let message;
    try {
      message = this.#message(wire, epoch, finish);
    } catch (error) {
      report(error);
      fire(this, new MessageEvent('messageerror'), this.onmessageerror);
      finish();
      return;
    }
    if (this.#consumed && this.#waiting.length === 0) this.#hand(message);
    else this.#waiting.push(message);
  }

  /**
   * @param {import('./codec.js').WireMessage} wire
   * @param {string} epoch
   * @param {() => void} finish
   */
  #message(wire, epoch, finish) {
    const { origin } = this.#owner;
    return new OrbitMessage(wire, { data: decodePayload(wire), epoch, origin, manual: this.#manual, finish });
  }

  /** @param {OrbitMessage} message */
  #hand(message) {
    for (const stream of this.#streams) stream.push(message);
    const result = fire(this, message, this.#onmessage);
    if (isPromise(result)) message.waitUntil(result);
    message.release();
  }

  /**
   * @param {'revoked' | 'error'} type
   * @param {string} code
   * @param {string} message
   */
  #end(type, code, message) {
    this.#become('ended');
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
    this.#tell(type, { code, message });
  }

  /** @param {ChannelState} state */
  #become(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#tell('state', { state });
  }

  /** @param {string} type @param {import('./events.js').Detail} detail */
  #tell(type, detail) {
    const handler = /** @type {any} */ (this)[`on${type}`];
    fire(this, new OrbitEvent(type, { ...detail, channel: this.#name }), handler);
    this.#owner.tell(type, { ...detail, channel: this.#name });
  }
}

/**
 * @param {unknown} value
 * @returns {value is PromiseLike<unknown>}
 */
function isPromise(value) {
  return typeof (/** @type {any} */ (value)?.then) === 'function';
}
