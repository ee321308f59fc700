// What the page is handed: errors, events, messages.

/** An error with a code: one of PROTOCOL.md's, or of the library's own (LOCAL in constants.js). */
export class OrbitError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} [channel]
   */
  constructor(code, message, channel) {
    super(message);
    this.name = 'OrbitError';
    this.code = code;
    this.channel = channel;
  }
}

/**
 * What the events open, close, gap, revoked, error and state tell. Each has its own fields; those
 * about one channel are fired on the channel and then on the Orbit.
 *
 * @typedef {object} Detail
 * @property {string} [channel] the channel it is about
 * @property {string} [state] state: the new state
 * @property {string} [code] close, revoked, error: why
 * @property {string} [message] close, revoked, error: why, in words
 * @property {any} [payload] error, of a publish that an earlier page has left: what it was to publish
 * @property {number} [retry] close: milliseconds until the next attempt; absent: there is none
 * @property {number} [after] gap: nothing above this offset …
 * @property {number} [to] gap: … up to this one will ever come
 * @property {string} [reason] gap: expired, epoch, forbidden or lost
 * @property {number} [offset] open, of a channel: where the subscription stood at the server
 * @property {string} [epoch] open: of all offsets on this connection
 * @property {string} [user] open: who the server says we are; absent: anonymous
 * @property {boolean} [resumed] open: whether the server still knew the session
 * @property {string} [transport] open, of the connection: how its bytes get through
 */

/** What happened to a channel or a connection. */
export class OrbitEvent extends Event {
  /**
   * @param {string} type
   * @param {Detail} detail
   */
  constructor(type, detail) {
    super(type);
    this.channel = detail.channel;
    this.state = detail.state;
    this.code = detail.code;
    this.message = detail.message;
    this.payload = detail.payload;
    this.retry = detail.retry;
    this.after = detail.after;
    this.to = detail.to;
    this.reason = detail.reason;
    this.offset = detail.offset;
    this.epoch = detail.epoch;
    this.user = detail.user;
    this.resumed = detail.resumed;
    this.transport = detail.transport;
  }
}

/**
 * A message, as HTML's MessageEvent with what a message of a channel has beyond it.
 *
 * It is finished when every handler and every promise given to waitUntil is, or, where the channel
 * acknowledges manually, by ack(). Only then does the server hear that it was processed.
 *
 * @extends {MessageEvent<any>}
 */
export class OrbitMessage extends MessageEvent {
  #holds = 1;
  #manual;
  #finish;

  /**
   * @param {import('./codec.js').WireMessage} wire
   * @param {{data: any, epoch: string, origin: string, manual: boolean, finish: () => void}} more
   */
  constructor(wire, { data, epoch, origin, manual, finish }) {
    super('message', { data, origin, lastEventId: `${epoch}-${wire.o}` });
    this.channel = wire.ch;
    this.offset = wire.o;
    this.epoch = epoch;
    /** When it was stored, Unix milliseconds. */
    this.time = wire.t;
    /** The publisher's name; undefined: anonymous. */
    this.publisher = wire.by;
    /** Whether an earlier page of this session may have seen it. */
    this.redelivered = wire.r === true;
    /** The media type of a payload that is bytes. */
    this.contentType = wire.ct ?? 'application/json';
    this.headers = wire.h ?? {};
    this.#manual = manual;
    this.#finish = finish;
  }

  /** Says that the page is done with this message. Elsewhere than in manual mode it does nothing. */
  ack() {
    if (this.#manual) this.#finish();
  }

  /**
   * Keeps the message unfinished until the promise is settled. One that rejects settles it too: it
   * would otherwise block all that follow. Whoever wants it again acknowledges manually.
   *
   * @param {PromiseLike<unknown>} promise
   */
  waitUntil(promise) {
    this.hold();
    Promise.resolve(promise).then(() => this.release(), error => {
      this.release();
      report(error);
    });
  }

  /** One more that has to release it. The one who made the message holds it from the start. */
  hold() {
    this.#holds++;
  }

  release() {
    if (--this.#holds === 0 && !this.#manual) this.#finish();
  }
}

/**
 * Tells of a page's own mistake where pages look for them, without disturbing the library.
 *
 * @param {unknown} error
 */
export function report(error) {
  if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
  else console.error(error);
}

/**
 * Calls the `on…` handler of an event and then the listeners.
 *
 * @template {Event} E
 * @param {EventTarget} target
 * @param {E} event
 * @param {((event: E) => unknown) | null} handler
 * @returns {unknown} what the handler returned
 */
export function fire(target, event, handler) {
  let result;
  try {
    result = handler?.call(target, event);
  } catch (error) {
    report(error);
  }
  target.dispatchEvent(event);
  return result;
}
