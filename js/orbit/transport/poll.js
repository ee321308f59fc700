import { LIMIT, PATH } from '../constants.js';
import { address } from './address.js';
import { ABNORMAL, errorOf, farewell, leftOut, naming, post, refusal, takeBody } from './http.js';
import { Positions } from './positions.js';

/** The id of our own commands, which the session's never reach. */
const OWN = LIMIT.offset;

/** How long an answer may take, in seconds: less than the server's ping, so that it is heard in time. */
const WAIT = 20;
const SHORTEST = 4;

/**
 * @typedef {object} Call a poll without its answer yet
 * @property {number} number
 * @property {number} begun milliseconds
 * @property {boolean} answered whether it has commands whose answers it brings, and nothing else does
 * @property {string[]} commands that it takes to the server
 * @property {string[]} acks among them, or beside those that are answered
 * @property {boolean} alone there was no other one that may still have been on its way when it was begun
 */

/**
 * Opens a transport made of polls.
 *
 * @param {string} server
 * @returns {Poll}
 */
export function openPoll(server) {
  return new Poll(server);
}

/**
 * Polls with the WebSocket's surface. To the server each poll is a connection that ends with its
 * answer; so each takes the session up again and says where it stands. What that needs is read from
 * what passes by: the session's connect, which is sent again, and positions (received, not
 * processed, which is why these connects say that acks are apart: `manual`).
 *
 * One poll waits for news. What is to be sent ends it by a newer one; one that has to bring answers
 * is waited for.
 */
class Poll {
  /** @type {((event: any) => any) | null} */ onopen = null;
  /** @type {((event: any) => any) | null} */ onmessage = null;
  /** @type {((event: any) => any) | null} */ onclose = null;
  /** The server asks for no answer to its pings. */
  oneWay = true;

  #server;
  #positions = new Positions();
  /** The session's connect, without positions. @type {Record<string, any>} */
  #connect = {};
  #accepted = false;
  #named = false;
  #epoch = '';
  /** @type {number} */
  #window = LIMIT.window;

  /** @type {string[]} */
  #queue = [];
  /** Acks of polls that were not answered: the server may not have had them. @type {string[]} */
  #unheard = [];
  /** @type {Set<Call>} */
  #calls = new Set();
  /** @type {Call | null} */
  #newest = null;
  /** How many there were: the number of the newest. */
  #begun = 0;
  /** @type {number} */
  #wait = WAIT;
  #failures = 0;
  #ended = false;

  /** @param {string} server */
  constructor(server) {
    this.#server = server;
    queueMicrotask(() => this.onopen?.({}));
  }

  /** @param {string} text */
  send(text) {
    if (this.#ended) return;
    const command = JSON.parse(text);
    if (command.op === 'connect') {
      const { last, epoch, ...rest } = command;
      this.#connect = rest;
      this.#named = rest.client !== undefined;
    }
    this.#positions.sent(command);
    this.#queue.push(text);
    if (this.#queue.length === 1) queueMicrotask(() => this.#pump());
  }

  /** What was acknowledged before goes out: not by a poll, which would take the session. */
  close() {
    if (this.#ended) return;
    this.#ended = true;
    const { session, secret, token } = this.#connect;
    const rest = this.#positions.acks([...this.#unheard, ...farewell(this.#queue)]);
    if (session && rest.length > 0) {
      post(address(this.#server, PATH.send), rest, { headers: naming({ session, secret }, token), keepalive: true }).catch(() => {});
    }
    this.#queue = [];
  }

  #pump() {
    if (this.#ended || this.#newest?.answered) return;
    if (this.#queue.length > 0) this.#begin(takeBody(this.#queue));
    else if (this.#accepted && this.#newest === null && this.#wanted) this.#begin([]);
  }

  /** Whether a poll is of use that has nothing to send. */
  get #wanted() {
    return this.#unheard.length > 0 || !this.#positions.full(this.#window);
  }

  /** @param {string[]} commands */
  async #begin(commands) {
    const number = ++this.#begun;
    const answered = farewell(commands).length < commands.length;
    const again = this.#positions.acks(this.#unheard.splice(0));
    const acks = answered ? again : [...again, ...commands];
    const alone = this.#calls.size === 0 && this.#failures === 0;
    const call = this.#newest = { number, begun: performance.now(), answered, commands, acks, alone };
    this.#calls.add(call);
    try {
      const response = await this.#post([...again, ...commands], this.#accepted ? this.#wait : 0);
      const text = response.ok ? await response.text() : '';
      const error = response.ok ? null : await errorOf(response);
      this.#over(call);
      if (error) this.#refused(call, error);
      else if (!this.#ended) this.#answer(call, text.split('\n').filter(line => line !== ''));
    } catch (error) {
      this.#over(call);
      this.#failed(call, /** @type {Error} */ (error).message);
    }
  }

  /** @param {string[]} commands @param {number} wait */
  #post(commands, wait) {
    const url = address(this.#server, PATH.poll);
    url.searchParams.set('wait', String(wait));
    const head = this.#accepted ? this.#positions.head(OWN, this.#connect, this.#epoch) : [];
    return post(url, [...head, ...commands]);
  }

  /** @param {Call} call */
  #over(call) {
    this.#calls.delete(call);
    if (this.#newest === call) this.#newest = null;
  }

  /** Whether no other poll of ours can have come to the server since this one. @param {Call} call */
  #undisturbed({ alone, number }) {
    return alone && number === this.#begun;
  }

  /** @param {Call} call @param {string[]} lines */
  #answer(call, lines) {
    if (lines.length === 0) {
      this.#empty(call);
      return;
    }
    this.#failures = 0;
    const frames = lines.map(line => JSON.parse(line));
    const ours = this.#accepted ? OWN : this.#connect.id;
    const reply = frames.find(frame => frame.re === ours);
    if (reply?.session && !this.#takes(call, reply)) return;
    const again = leftOut(call.commands, frames);
    this.#queue.unshift(...again.map(({ text }) => text));
    this.#say(frames.flatMap((frame, i) => again.some(({ id }) => id === frame.re) ? [] : this.#pass(frame, lines[i])));
    queueMicrotask(() => this.#pump());
  }

  /**
   * Another poll has ended this one: a newer one of ours, or one that was begun before it and came to the server
   * behind it. What it had to send goes again, for nobody knows how far it got: publishes have keys, and to ask
   * twice does no harm. Where there is none of ours, another client has the session.
   *
   * @param {Call} call
   */
  #empty(call) {
    if (this.#undisturbed(call)) {
      this.#say(['{"bye":{"code":"displaced"}}']);
      return;
    }
    this.#unheard.push(...call.acks);
    if (call.answered) this.#queue.unshift(...call.commands);
    this.#pump();
  }

  /**
   * The answer to our connect: whether it is still the same session, of the same history. Where it
   * is not, the answer is as good as lost: nothing is delivered by being sent.
   *
   * @param {Call} call
   * @param {import('../codec.js').Reply} reply
   */
  #takes(call, reply) {
    if (!this.#accepted) {
      this.#accepted = true;
      this.#epoch = reply.epoch ?? '';
      this.#window = reply.window ?? LIMIT.window;
      this.#positions.accepted(this.#epoch);
      for (const [channel, { error }] of Object.entries(reply.subs ?? {})) if (error) this.#positions.drop(channel);
    } else if (!reply.resumed && this.#named) {
      this.#say(['{"bye":{"code":"displaced"}}']);
      return false;
    } else if (!reply.resumed || reply.epoch !== this.#epoch) {
      this.#end('the server does not know the session any more');
      return false;
    }
    if (this.#undisturbed(call)) this.#adopt(reply);
    return true;
  }

  /**
   * Of secrets the server keeps the newest, and the one that was used. So one is taken over only where no other
   * poll has used the old one meanwhile, or will: that makes it void. Until then the old one stays good.
   *
   * @param {import('../codec.js').Reply} reply
   */
  #adopt({ session, secret }) {
    const { client, ...rest } = this.#connect; // which the session has: it is selected by its secret
    this.#connect = { ...rest, id: OWN, ack: 'manual', session, secret };
  }

  /**
   * What the session is to hear of a frame.
   *
   * @param {any} frame
   * @param {string} line
   * @returns {string[]}
   */
  #pass(frame, line) {
    if (frame.re !== OWN) {
      const auth = this.#positions.received(frame, this.#window);
      if (auth === null) return [];
      if (auth) this.#identify(auth);
      return [line];
    }
    const { session, secret, error, subs = {} } = frame;
    const lost = Object.entries(subs).filter(([, result]) => result.error);
    for (const [channel] of lost) this.#positions.drop(channel);
    return [
      ...(session && secret === this.#connect.secret ? [JSON.stringify({ session, secret })] : []),
      ...(error ? [JSON.stringify({ error })] : []),
      ...lost.map(([ch, result]) => JSON.stringify({ ch, revoked: result.error })),
    ];
  }

  /** An identity was added: each poll has to name it. @param {{app: string, token: string}} auth */
  #identify(auth) {
    const others = (this.#connect.auth ?? []).filter((/** @type {any} */ other) => other.app !== auth.app);
    this.#connect.auth = [...others, auth];
  }

  /** @param {Call} call @param {{code?: string, message: string}} error */
  #refused(call, error) {
    const lines = refusal(error, this.#accepted ? OWN : this.#connect.id);
    if (lines) this.#say(lines);
    this.#failed(call, error.message);
  }

  /**
   * Something in between may not let a call wait so long: the next one is shorter. What has commands
   * may or may not have been carried out, which a new connection settles.
   *
   * @param {Call} call
   * @param {string} message
   */
  #failed(call, message) {
    if (call.answered || ++this.#failures > 1) {
      this.#end(`no answer to a poll: ${message}`);
      return;
    }
    this.#unheard.push(...call.acks);
    const held = (performance.now() - call.begun) / 1000;
    this.#wait = Math.max(SHORTEST, Math.min(this.#wait, Math.floor(held * 0.75)));
    this.#pump();
  }

  /** @param {string[]} lines none: it is heard that the server is there */
  #say(lines) {
    if (!this.#ended) this.onmessage?.({ data: lines.join('\n') });
  }

  /** @param {string} reason */
  #end(reason) {
    if (this.#ended) return;
    this.#ended = true;
    this.onclose?.({ code: ABNORMAL, reason });
  }
}
