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
    /** One of PROTOCOL.md's, section 6, or of the library's own. */
    this.code = code;
    /** The channel that it is about, if any. */
    this.channel = channel;
  }
}

/** What an event tells. @typedef {Partial<Omit<OrbitEvent, keyof Event>>} Detail */

/**
 * What happened to a channel or a connection: open, close, gap, revoked, error or state. Each has its own
 * fields; those about one channel are fired on the channel and then on the Orbit.
 */
export class OrbitEvent extends Event {
  /**
   * @param {string} type
   * @param {Detail} detail
   */
  constructor(type, detail) {
    super(type);
    /** The channel it is about. @type {string | undefined} */
    this.channel = detail.channel;
    /** state: the new one. @type {string | undefined} */
    this.state = detail.state;
    /** close, revoked, error: why. @type {string | undefined} */
    this.code = detail.code;
    /** close, revoked, error: why, in words. @type {string | undefined} */
    this.message = detail.message;
    /** error, of a publish that an earlier page has left: what it was to publish. @type {any} */
    this.payload = detail.payload;
    /** close: milliseconds until the next attempt; absent: there is none. @type {number | undefined} */
    this.retry = detail.retry;
    /** gap: nothing above this offset … @type {number | undefined} */
    this.after = detail.after;
    /** gap: … up to this one will ever come. @type {number | undefined} */
    this.to = detail.to;
    /** gap: expired, epoch, forbidden or lost. @type {string | undefined} */
    this.reason = detail.reason;
    /** open, of a channel: where the subscription stood at the server. @type {number | undefined} */
    this.offset = detail.offset;
    /** open: of all offsets on this connection. @type {string | undefined} */
    this.epoch = detail.epoch;
    /** open: who the server says we are; absent: anonymous. @type {string | undefined} */
    this.user = detail.user;
    /** open: whether the server still knew the session. @type {boolean | undefined} */
    this.resumed = detail.resumed;
    /** open, of the connection: how its bytes get through. @type {string | undefined} */
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
    /** The channel's name. */
    this.channel = wire.ch;
    /** Its place on the channel: the next one has a larger one. */
    this.offset = wire.o;
    /** Of the offset: both together are a position to start from. */
    this.epoch = epoch;
    /** When it was stored, Unix milliseconds. */
    this.time = wire.t;
    /** The publisher's name; undefined: anonymous. */
    this.publisher = wire.by;
    /** Whether an earlier page of this session may have seen it. */
    this.redelivered = wire.r === true;
    /** The media type of a payload that is bytes. */
    this.contentType = wire.ct ?? 'application/json';
    /** As the publisher has set them. */
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

  /** It is done, as far as one of them is concerned. */
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
