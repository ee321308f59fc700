import { CODE, LIMIT, PATH, TIME } from '../constants.js';
import { address } from './address.js';
import { ABNORMAL, errorOf, farewell, naming, post, refusal, takeBody } from './http.js';

/**
 * A stream or sse with the WebSocket's surface: what the server says comes in the answer to one call,
 * which has the connect in its body; everything later goes out by calls to /v1/send, one at a time,
 * which keeps the order.
 *
 * It is open at once, for the connect has to be there before there can be an answer. Whether what
 * comes passes through whatever stands in between is known once the answer to the connect is there.
 */
export class Downstream {
  /** @type {((event: any) => any) | null} */ onopen = null;
  /** @type {((event: any) => any) | null} */ onmessage = null;
  /** @type {((event: any) => any) | null} */ onclose = null;
  /** The server asks for no answer to its pings. */
  oneWay = true;

  #server;
  #path;
  #type;
  #unwrap;
  #call = new AbortController();
  #begun = false;
  #sending = false;
  /** The last call to /v1/send. @type {Promise<unknown>} */
  #sent = Promise.resolve();
  #ended = false;
  /** @type {string[]} */
  #queue = [];
  /** Of the connect. @type {string | undefined} */
  #token;
  /** What names the session, from the answer to the connect. @type {Record<string, string> | null} */
  #names = null;
  /** The beginning of a line that is not complete. */
  #rest = '';

  /**
   * @param {string} server
   * @param {string} path
   * @param {string} type media type of the answer
   * @param {(line: string) => string} unwrap the object in a line of the answer; '' where there is none
   */
  constructor(server, path, type, unwrap) {
    this.#server = server;
    this.#path = path;
    this.#type = type;
    this.#unwrap = unwrap;
    queueMicrotask(() => this.onopen?.({}));
  }

  /** @param {string} text */
  send(text) {
    if (this.#ended) return;
    this.#queue.push(text);
    if (this.#queue.length === 1) queueMicrotask(() => this.#pump());
  }

  /** What was acknowledged before goes out, and what is on its way arrives: the session has a connection until then. */
  close() {
    if (this.#ended) return;
    this.#ended = true;
    const rest = this.#names ? farewell(this.#queue) : [];
    if (rest.length === 0 && !this.#sending) {
      this.#call.abort();
      return;
    }
    const before = this.#sent;
    const last = rest.length > 0 ? this.#deliver(rest, { keepalive: true }) : before;
    Promise.allSettled([before, last]).then(() => this.#call.abort());
  }

  #pump() {
    if (this.#ended || this.#queue.length === 0) return;
    if (!this.#begun) {
      this.#begun = true;
      this.#receive(takeBody(this.#queue)).catch(error => this.#end(`no connection: ${error.message}`));
    } else if (this.#names !== null && !this.#sending) {
      this.#sending = true;
      this.#send(takeBody(this.#queue)).catch(error => this.#end(`what was sent got no answer: ${error.message}`));
    }
  }

  /** @param {string[]} commands the connect first */
  async #receive(commands) {
    const { id, token } = JSON.parse(commands[0]);
    this.#token = token;
    const response = await post(address(this.#server, this.#path), commands, { signal: this.#call.signal });
    if (!response.ok || !response.headers.get('Content-Type')?.startsWith(this.#type) || !response.body) {
      this.#refused(await errorOf(response), id);
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      this.#heard(value);
    }
    this.#end('the server has ended the stream');
  }

  /** @param {string} text */
  #heard(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LIMIT.lineLength) {
      this.#end('a line without an end');
      return;
    }
    const objects = lines.map(this.#unwrap).filter(line => line !== '');
    for (const line of this.#names ? [] : objects) this.#learn(line);
    if (objects.length > 0) this.onmessage?.({ data: objects.join('\n') });
  }

  /** @param {string} line */
  #learn(line) {
    const { session, secret } = JSON.parse(line);
    if (!session || !secret) return;
    this.#names = naming({ session, secret }, this.#token);
    queueMicrotask(() => this.#pump());
  }

  /** @param {string[]} commands */
  async #send(commands) {
    const response = await this.#deliver(commands, { signal: AbortSignal.timeout(TIME.send) });
    if (!response.ok) {
      const error = await errorOf(response);
      if (error.code !== CODE.rateLimited) throw error;
      await new Promise(resolve => setTimeout(resolve, TIME.rate));
      this.#queue.unshift(...commands);
    }
    this.#sending = false;
    this.#pump();
  }

  /** @param {string[]} commands @param {RequestInit} more */
  #deliver(commands, more) {
    const sent = post(address(this.#server, PATH.send), commands, { headers: this.#names ?? {}, ...more });
    this.#sent = sent;
    return sent;
  }

  /** @param {{code?: string, message: string}} error @param {number} id of the connect */
  #refused(error, id) {
    const lines = refusal(error, id);
    if (lines) this.onmessage?.({ data: lines.join('\n') });
    this.#end(error.message);
  }

  /** @param {string} reason */
  #end(reason) {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.abort();
    this.onclose?.({ code: ABNORMAL, reason });
  }
}
