import { CLOSE, CODE, LIMIT } from '../constants.js';
import { size } from '../codec.js';
import { fire } from '../events.js';
import { textOf } from './text.js';

/**
 * A channel with the interface of a browser's WebSocket, for code that is written against that. What it
 * sends is published; what anybody publishes, itself included, is its messages. It stays open while the
 * connection underneath comes and goes, and nothing is lost or repeated by that. Where it would be (a gap),
 * and where the server refuses, it closes as a WebSocket does, so that its code begins anew.
 *
 * @implements {WebSocket}
 */
export class ChannelSocket extends EventTarget {
  static CONNECTING = /** @type {const} */ (0);
  static OPEN = /** @type {const} */ (1);
  static CLOSING = /** @type {const} */ (2);
  static CLOSED = /** @type {const} */ (3);
  CONNECTING = ChannelSocket.CONNECTING;
  OPEN = ChannelSocket.OPEN;
  CLOSING = ChannelSocket.CLOSING;
  CLOSED = ChannelSocket.CLOSED;

  /** @type {((event: Event) => any) | null} */ onopen = null;
  /** @type {((event: MessageEvent) => any) | null} */ onmessage = null;
  /** @type {((event: CloseEvent) => any) | null} */ onclose = null;
  /** @type {((event: Event) => any) | null} */ onerror = null;
  /** @type {BinaryType} what bytes come as */ binaryType = 'blob';
  bufferedAmount = 0;
  extensions = '';
  protocol = '';
  url;

  /** @type {0 | 1 | 2 | 3} */
  #state = ChannelSocket.CONNECTING;
  #loan;
  #listening = new AbortController();
  /** What was sent before is published, or about to be. */
  #turn = Promise.resolve();
  #unanswered = 0;
  /** How it was closed by its code. @type {{code: number, reason: string} | null} */
  #closing = null;

  /**
   * Pages get theirs from Orbit.webSocket.
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
    on(channel, 'gap', ({ after, to, reason }) => this.#fail(CLOSE.gap, `${after}-${to} ${reason}`));
    on(channel, 'error', ({ code }) => channel.state === 'ended' && this.#fail(CLOSE.refused, code));
    on(channel, 'revoked', ({ code }) => this.#fail(CLOSE.refused, code));
    on(channel, 'state', ({ state }) => state === 'closed' && this.#fail(CLOSE.lost, ''));
    on(orbit, 'state', ({ channel, state }) => !channel && state === 'closed' && this.#fail(CLOSE.lost, ''));
    on(channel, 'message', message => this.#receive(message));
    if (channel.state === 'open') queueMicrotask(() => this.#open());
    if (channel.state === 'ended') queueMicrotask(() => this.#fail(CLOSE.refused, ''));
  }

  get readyState() {
    return this.#state;
  }

  /** @param {string | ArrayBufferLike | ArrayBufferView | Blob} data */
  send(data) {
    if (this.#state === ChannelSocket.CONNECTING) throw new DOMException('it is not open yet', 'InvalidStateError');
    const payload = copy(data);
    const bytes = typeof payload === 'string' ? size(payload) : payload instanceof Blob ? payload.size : payload.byteLength;
    this.bufferedAmount += bytes;
    if (this.#state !== ChannelSocket.OPEN) return; // as the standard has it
    this.#unanswered++;
    this.#turn = this.#turn.then(async () => {
      const [body, type] = payload instanceof Blob ? [await payload.arrayBuffer(), payload.type] : [payload, ''];
      this.#publish(body, type || undefined, bytes);
    }).catch(() => this.#fail(CLOSE.lost, 'a Blob could not be read'));
  }

  /** @param {number} [code] @param {string} [reason] */
  close(code, reason = '') {
    if (code !== undefined && code !== CLOSE.normal && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(`${code} is not for pages`, 'InvalidAccessError');
    }
    if (size(reason) > LIMIT.reason) throw new DOMException('the reason is too long', 'SyntaxError');
    if (this.#state === ChannelSocket.CONNECTING) {
      this.#state = ChannelSocket.CLOSING;
      queueMicrotask(() => this.#fail(CLOSE.lost, ''));
    } else if (this.#state === ChannelSocket.OPEN) {
      this.#state = ChannelSocket.CLOSING;
      this.#closing = { code: code ?? CLOSE.none, reason };
      queueMicrotask(() => this.#close());
    }
  }

  #open() {
    if (this.#state !== ChannelSocket.CONNECTING) return;
    this.#state = ChannelSocket.OPEN;
    fire(this, new Event('open'), this.onopen);
  }

  /** @param {import('../events.js').OrbitMessage} message */
  #receive(message) {
    if (this.#state === ChannelSocket.CONNECTING) this.#open();
    const text = textOf(message);
    let data;
    if (typeof text === 'string') data = text;
    else data = this.binaryType === 'blob' ? new Blob([text], { type: message.contentType }) : text.buffer;
    const { origin } = message;
    message.waitUntil(/** @type {any} */ (fire(this, new MessageEvent('message', { data, origin }), this.onmessage)));
  }

  /** @param {any} body @param {string | undefined} contentType @param {number} bytes */
  async #publish(body, contentType, bytes) {
    try {
      await this.#loan.channel.publish(body, { contentType });
      this.bufferedAmount -= bytes;
      this.#unanswered--;
      this.#close();
    } catch (error) {
      const { code } = /** @type {import('../events.js').OrbitError} */ (error);
      this.#fail(code === CODE.tooLarge ? CLOSE.large : CLOSE.refused, code);
    }
  }

  /** Its code wants it closed: it is when what it has sent is stored. */
  #close() {
    if (this.#closing && this.#unanswered === 0) this.#end(this.#closing.code, this.#closing.reason, true);
  }

  /** @param {number} code @param {string} reason */
  #fail(code, reason) {
    if (this.#state === ChannelSocket.CLOSED) return;
    this.#state = ChannelSocket.CLOSED;
    fire(this, new Event('error'), this.onerror);
    this.#end(code, reason, false);
  }

  /** @param {number} code @param {string} reason @param {boolean} wasClean */
  #end(code, reason, wasClean) {
    this.#state = ChannelSocket.CLOSED;
    this.#closing = null;
    this.#listening.abort();
    this.#loan.done();
    const event = Object.assign(new Event('close'), { code, reason, wasClean }); // Node 20 has no CloseEvent
    fire(this, /** @type {any} */ (event), this.onclose);
  }
}

/**
 * What is changed after send does not change what is sent.
 *
 * @param {any} data
 * @returns {string | Blob | Uint8Array<ArrayBuffer>}
 */
function copy(data) {
  if (data instanceof Blob) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  return data instanceof ArrayBuffer ? new Uint8Array(data.slice(0)) : String(data);
}
