import { LOCAL, TIME } from './constants.js';
import { decode, encode } from './codec.js';

/**
 * How a connection ended: by the server's bye, or without one.
 *
 * @typedef {object} End
 * @property {{code: string, retry?: number, message?: string}} [bye]
 * @property {string} code
 * @property {string} message
 * @property {boolean} late it was ended for its silence
 * @property {boolean} mute nothing has come that a server says to an idle client
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(incoming: import('./codec.js').Incoming) => void} push
 * @property {(length: number) => void} heard called before the pushes of each text
 * @property {(end: End) => void} ended
 */

/**
 * One transport from its opening to its end: numbers commands, matches replies, and notices when
 * the other side has gone silent. Session makes it; it ends once, and is of no use afterwards.
 */
export class Connection {
  #transport;
  #host;
  #listener;
  #ids;
  /** @type {Map<number, (reply: import('./codec.js').Reply | null) => void>} */
  #waiting = new Map();
  /** @type {End['bye']} */
  #bye;
  #opened = false;
  #ended = false;
  #asked = false;
  /** Nothing has come but what followed the connect at once. */
  #mute = true;

  #heard = 0;
  /** As watch was told; 0: the server has not accepted us yet. */
  #silence = 0;
  /** @type {any} */
  #timer;

  /**
   * @param {import('./host.js').Transport} transport
   * @param {import('./host.js').Host} host
   * @param {Listener} listener
   * @param {{next: number}} ids shared by the connections of a session: what was sent by one may reach
   *   the server late, by a call of its own, and be answered on the next
   * @param {number} patience milliseconds until the connect is answered
   */
  constructor(transport, host, listener, ids, patience) {
    this.#transport = transport;
    this.#host = host;
    this.#listener = listener;
    this.#ids = ids;
    transport.onopen = () => {
      this.#opened = true;
      listener.opened();
    };
    transport.onmessage = event => this.#receive(event.data);
    transport.onclose = event => this.end(event.reason || `${this.#closed} (${event.code})`);
    this.#timer = host.setTimeout(() => this.#late('the server did not answer in time'), patience);
  }

  /**
   * Sends a command that is answered. Without an answer before the end, answered gets null.
   *
   * @param {import('./codec.js').Command} command
   * @param {(reply: import('./codec.js').Reply | null) => void} answered
   */
  request(command, answered) {
    const id = this.#ids.next++;
    this.#waiting.set(id, answered);
    this.send({ id, ...command });
  }

  /** @param {import('./codec.js').Command} command one that is not answered */
  send(command) {
    if (!this.#ended) this.#transport.send(encode(command));
  }

  /** What a browser does not say: why a connection could not be made. */
  get #closed() {
    return this.#opened ? 'the connection was closed'
      : 'no connection: the server is not there, or does not allow pages of this origin (server.origins)';
  }

  /**
   * The server has accepted us: from now on silence is answered by a ping, and a ping that is not
   * answered ends the connection. Timers of a hidden page run late, so the clock decides, not they.
   *
   * @param {number} silence milliseconds
   */
  watch(silence) {
    this.#host.clearTimeout(this.#timer);
    this.#silence = silence;
    this.#asked = false;
    if (this.#transport.oneWay) silence += TIME.grace;
    const wait = silence - (this.#host.now() - this.#heard);
    this.#timer = this.#host.setTimeout(() => this.#check(silence), Math.max(wait, 0));
  }

  /**
   * @param {string} message why, where the server did not say it itself
   * @param {string} [code]
   */
  end(message, code = LOCAL.lost) {
    this.#end(message, code, false);
  }

  /** @param {string} message */
  #late(message) {
    this.#end(message, LOCAL.lost, true);
  }

  /** @param {string} message @param {string} code @param {boolean} late */
  #end(message, code, late) {
    if (this.#ended) return;
    this.abandon();
    const bye = this.#bye;
    this.#listener.ended({ bye, code: bye?.code ?? code, message, late, mute: this.#mute });
  }

  /** Ends it without telling the listener. */
  abandon() {
    this.#ended = true;
    this.#host.clearTimeout(this.#timer);
    const transport = this.#transport;
    transport.onopen = transport.onmessage = transport.onclose = null;
    transport.close();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const answered of waiting) answered(null);
  }

  /** Asks at once whether the server is still there, for what the clock says may be wrong. */
  ask() {
    if (this.#silence === 0 || this.#asked) return;
    this.#host.clearTimeout(this.#timer);
    this.#ping();
  }

  /** @param {number} silence */
  #check(silence) {
    if (this.#host.now() - this.#heard < silence) this.watch(this.#silence);
    else this.#ping();
  }

  #ping() {
    this.#asked = true;
    const asked = this.#host.now();
    this.send({ op: 'ping' });
    this.#timer = this.#host.setTimeout(() => {
      if (this.#heard >= asked) this.watch(this.#silence);
      else this.#late('the server has gone silent');
    }, TIME.pong);
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heard = this.#host.now();
    let incoming;
    try {
      incoming = decode(/** @type {string} */ (data));
    } catch (error) {
      this.end(`the server sent what is not orbit.v1: ${error}`, LOCAL.protocol);
      return;
    }
    this.#listener.heard(/** @type {string} */ (data).length);
    for (const one of incoming) {
      if (this.#ended) return;
      this.#dispatch(one);
    }
  }

  /** @param {import('./codec.js').Incoming} incoming */
  #dispatch(incoming) {
    const { kind, frame } = incoming;
    if (kind === 'ping' || kind === 'pong') this.#mute = false;
    if (kind === 'reply') {
      const answered = this.#waiting.get(frame.re);
      this.#waiting.delete(frame.re);
      answered?.(frame);
    } else if (kind === 'ping') {
      if (!this.#transport.oneWay) this.send({ op: 'pong' });
    } else if (kind === 'bye') {
      this.#bye = frame.bye;
      this.end(frame.bye.message ?? `the server said ${frame.bye.code}`);
    } else if (kind !== 'pong') {
      this.#listener.push(incoming);
    }
  }
}
