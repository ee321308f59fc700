import { toBase64 } from '../codec.js';
import { fire } from '../events.js';
import { textOf } from './text.js';

/**
 * A channel with the interface of a browser's EventSource, for code that is written against that. An
 * event's name is the header `event` of its message. A gap is an event of that name, as over /v1/sse.
 */
export class ChannelSource extends EventTarget {
  static CONNECTING = /** @type {const} */ (0);
  static OPEN = /** @type {const} */ (1);
  static CLOSED = /** @type {const} */ (2);
  CONNECTING = ChannelSource.CONNECTING;
  OPEN = ChannelSource.OPEN;
  CLOSED = ChannelSource.CLOSED;

  /** @type {((event: Event) => any) | null} */ onopen = null;
  /** @type {((event: MessageEvent) => any) | null} */ onmessage = null;
  /** @type {((event: Event) => any) | null} */ onerror = null;
  url;
  withCredentials = true;

  /** @type {0 | 1 | 2} */
  #state = ChannelSource.CONNECTING;
  #loan;
  #listening = new AbortController();

  /**
   * Pages get theirs from Orbit.eventSource.
   *
   * @param {EventTarget} orbit
   * @param {import('./lending.js').Loan} loan
   * @param {string} url to tell
   */
  constructor(orbit, loan, url) {
    super();
    this.url = url;
    this.#loan = loan;
    const { channel } = loan;
    /** @type {(target: EventTarget, type: string, listener: (event: any) => void) => void} */
    const on = (target, type, listener) => target.addEventListener(type, listener, { signal: this.#listening.signal });
    on(channel, 'open', () => this.#open());
    on(channel, 'close', () => this.#lost());
    on(channel, 'gap', ({ after, to, reason }) => this.#gap({ after, to, reason }));
    on(channel, 'error', () => channel.state === 'ended' && this.#fail());
    on(channel, 'revoked', () => this.#fail());
    on(channel, 'state', ({ state }) => state === 'closed' && this.#fail());
    on(orbit, 'state', ({ channel, state }) => !channel && state === 'closed' && this.#fail());
    on(channel, 'message', message => this.#receive(message));
    if (channel.state === 'open') queueMicrotask(() => this.#open());
    if (channel.state === 'ended') queueMicrotask(() => this.#fail());
  }

  get readyState() {
    return this.#state;
  }

  close() {
    if (this.#state === ChannelSource.CLOSED) return;
    this.#state = ChannelSource.CLOSED;
    this.#listening.abort();
    this.#loan.done();
  }

  #open() {
    if (this.#state !== ChannelSource.CONNECTING) return;
    this.#state = ChannelSource.OPEN;
    fire(this, new Event('open'), this.onopen);
  }

  #lost() {
    if (this.#state !== ChannelSource.OPEN) return;
    this.#state = ChannelSource.CONNECTING;
    fire(this, new Event('error'), this.onerror);
  }

  /** @param {import('../events.js').OrbitMessage} message */
  #receive(message) {
    this.#open();
    const type = message.headers.event || 'message';
    const text = textOf(message);
    const data = typeof text === 'string' ? text : toBase64(text);
    const { origin, lastEventId } = message;
    const event = new MessageEvent(type, { data, origin, lastEventId });
    message.waitUntil(/** @type {any} */ (fire(this, event, type === 'message' ? this.onmessage : null)));
  }

  /** @param {{after: number, to: number, reason: string}} gap */
  #gap(gap) {
    this.#open();
    const { epoch } = this.#loan.channel;
    fire(this, new MessageEvent('gap', { data: JSON.stringify(gap), lastEventId: `${epoch}-${gap.to}` }), null);
  }

  #fail() {
    if (this.#state === ChannelSource.CLOSED) return;
    this.close();
    fire(this, new Event('error'), this.onerror);
  }
}
