import { CODE, TIME } from '../constants.js';
import { decode, isChannel, isOffset } from '../codec.js';
import { Reader } from './reader.js';
import { Waiting } from './waiting.js';

/** @typedef {import('../codec.js').Command} Command */

/** What is taken over of a command that goes to the server. */
const FIELDS = {
  publish: ['channel', 'data', 'b', 'ct', 'h', 'key', 'first', 'prev'],
  history: ['channel', 'before', 'limit'],
};

/**
 * The registry's end of a pipe: a server of orbit.v1 for one Orbit, over the connection of a hub. It
 * trusts nothing that comes up: commands wait here, only some of a port are on their way at a time, and what asks
 * for more than a port may have ends up with a connection of its own instead of taking what is others'.
 *
 * Made by Registry; ends with its pipe. A member of one hub at most, from its `connect` to that of its next
 * connection: also while it waits for it.
 */
export class Port {
  /** @type {import('./hub.js').Hub | null} */
  hub = null;
  /** @type {import('./pipe.js').Hello} */
  hello = { url: '', names: [] };
  /** Of the connect. @type {string | undefined} */
  token;

  #pipe;
  #host;
  #limits;
  #registry;
  /** The number of the connection; 0: none is open. */
  #n = 0;
  /** @type {'new' | 'connecting' | 'accepted'} */
  #state = 'new';
  #connectId = 0;
  /** @type {Map<string, Reader>} */
  #readers = new Map();
  #waiting;
  /** Commands without an answer. */
  #calls = 0;
  /** @type {any} */
  #timer = null;

  /**
   * @param {import('./pipe.js').Pipe} pipe
   * @param {import('../host.js').Host} host
   * @param {import('../constants.js').Limits} limits
   * @param {{place: () => import('./hub.js').Hub, gone: () => void}} registry
   */
  constructor(pipe, host, limits, registry) {
    this.#pipe = pipe;
    this.#host = host;
    this.#registry = registry;
    this.#limits = limits;
    this.#waiting = new Waiting(limits, host.now());
    pipe.onmessage = message => this.#receive(message);
  }

  /** @param {any} message */
  #receive({ open, hello, n, text, close, gone }) {
    if (gone) this.leave();
    else if (open !== undefined) this.#open(open, hello);
    else if (this.#n !== 0 && close === this.#n) this.#reset();
    else if (this.#n !== 0 && n === this.#n) this.#hear(text);
  }

  /** @param {number} n @param {import('./pipe.js').Hello} hello */
  #open(n, hello) {
    this.#reset();
    this.#n = n;
    this.hello = hello;
    this.#pipe.post({ opened: n });
  }

  /** One of both ends is gone. */
  leave() {
    this.#reset();
    this.#pipe.post({ gone: true });
    this.#pipe.close();
    this.#registry.gone();
    const hub = this.hub;
    this.hub = null;
    hub?.leave(this);
  }

  /** There is no connection any more. */
  #reset() {
    this.#n = 0;
    this.#state = 'new';
    this.#host.clearTimeout(this.#timer);
    this.#timer = null;
    this.#waiting.clear();
    this.#calls = 0;
    for (const [channel, reader] of this.#readers) this.hub?.unread(channel, reader);
    this.#readers.clear();
    this.hub?.disconnected(this);
  }

  /** @param {object} frame */
  #say(frame) {
    this.#post(JSON.stringify(frame));
  }

  /** @param {string} text */
  #post(text) {
    if (this.#n !== 0) this.#pipe.post({ n: this.#n, text });
  }

  /**
   * Ends the connection as a server does, with a bye.
   *
   * @param {{code: string, retry?: number, message?: string}} bye
   * @param {import('../codec.js').WireError} [error] the answer to the connect, where there was none
   */
  end(bye, error) {
    if (this.#n === 0) return;
    if (error && this.#state === 'connecting') this.#say({ re: this.#connectId, error });
    this.#say({ bye });
    this.#reset();
  }

  /** Sends the Orbit to a connection of its own. @param {string} reason */
  dismiss(reason) {
    if (this.#n === 0) return;
    this.#pipe.post({ end: this.#n, reason, own: true });
    this.#reset();
  }

  /** The connect was accepted. @param {object} reply */
  accept(reply) {
    if (this.#state !== 'connecting') return;
    this.#state = 'accepted';
    this.#say({ re: this.#connectId, resumed: false, subs: {}, window: this.#limits.window, ...reply });
  }

  /** @param {unknown} text */
  #hear(text) {
    let incoming;
    try {
      incoming = decode(/** @type {string} */ (text));
    } catch {
      this.#say({ error: { code: CODE.badRequest, message: 'this is not a JSON object' } });
      return;
    }
    const length = /** @type {string} */ (text).length;
    for (const { frame } of incoming) this.#take(frame, length);
  }

  /** @param {Command} command @param {number} length */
  #take(command, length) {
    if (command.op === 'ping') this.#say({ op: 'pong' });
    else if (command.op === 'ack') this.#ack(command.last);
    else if (command.op !== 'pong') this.#queued(command, length);
  }

  /** @param {Command} command @param {number} length */
  #queued(command, length) {
    const { op, id } = command;
    if (!isOffset(id) || id === 0) {
      this.#say({ error: { code: CODE.badRequest, message: 'a command needs an id from 1 to 2^53-1' } });
    } else if (op === 'connect' && this.#state === 'new') {
      this.#connect(command);
    } else if (this.#state !== 'accepted' || !['publish', 'history', 'subscribe', 'unsubscribe'].includes(op)) {
      this.#refuse(id, CODE.badRequest, `${op} is no command that may be given here`);
    } else if (this.#waiting.put(command, length)) {
      this.#pump();
    } else {
      this.dismiss('more commands wait than a shared connection takes');
    }
  }

  /** @param {Command} command */
  #connect({ id, token, auth }) {
    this.#state = 'connecting';
    this.#connectId = id ?? 0;
    this.token = this.hello.app === undefined ? token : auth?.[0]?.token;
    const before = this.hub;
    this.hub = this.#registry.place();
    if (before !== this.hub) before?.leave(this);
    this.hub.join(this);
  }

  /** @param {unknown} last */
  #ack(last) {
    for (const [channel, offset] of Object.entries(last ?? {})) {
      const reader = this.#readers.get(channel);
      if (!reader?.answered) continue;
      if (!isOffset(offset) || !reader.ack(offset)) {
        this.#say({ error: { code: CODE.badRequest, message: `${channel}: this was not sent so far` } });
      } else {
        this.hub?.moved(channel);
      }
    }
  }

  /** Carries out what waits, in its order, as far as it may. */
  #pump() {
    while (this.#state === 'accepted' && this.#calls < this.#limits.portCalls) {
      const command = this.#waiting.next(this.#host.now());
      if (command === null) {
        if (!this.#waiting.isEmpty) this.#slowed();
        return;
      }
      this.#carry(command);
    }
  }

  #slowed() {
    this.#timer ??= this.#host.setTimeout(() => {
      this.#timer = null;
      this.#pump();
    }, TIME.portCall);
  }

  /** @param {Command} command */
  #carry(command) {
    const { op, id = 0, channel } = command;
    const { app } = this.hello;
    if (!isChannel(channel)) {
      this.#refuse(id, CODE.unknownChannel, `${JSON.stringify(channel)} is not a channel's name`);
    } else if (app !== undefined && channel.split('/')[1] !== app) {
      this.#refuse(id, CODE.forbidden, `${channel} is not of ${app}, the application that this Orbit is for`);
    } else if (op === 'subscribe') {
      this.#subscribe(id, channel, command);
    } else if (op === 'unsubscribe') {
      this.#unread(channel);
      this.#say({ re: id });
    } else {
      this.#call(id, /** @type {'publish' | 'history'} */ (op), command);
    }
  }

  /** @param {number} id @param {string} code @param {string} message */
  #refuse(id, code, message) {
    this.#say({ re: id, error: { code, message } });
  }

  /** @param {number} id @param {'publish' | 'history'} op @param {Command} command */
  #call(id, op, command) {
    /** @type {Command} */
    const own = { op };
    for (const field of FIELDS[op]) own[field] = command[field];
    const answered = this.#begun(id);
    if (!this.hub?.call(this, own, answered)) {
      answered({ error: { code: CODE.tooLarge, message: 'the command is larger than session.max_message allows' } });
    }
  }

  /**
   * One more command without an answer.
   *
   * @param {number} id
   * @returns {(reply: object) => void}
   */
  #begun(id) {
    const n = this.#n;
    this.#calls++;
    return reply => {
      if (this.#n !== n) return;
      this.#calls--;
      this.#say({ ...reply, re: id });
      this.#pump();
    };
  }

  /** @param {number} id @param {string} channel @param {Command} command */
  #subscribe(id, channel, { after, epoch }) {
    if (after !== undefined && !isOffset(after) || after > 0 && typeof epoch !== 'string') {
      this.#refuse(id, CODE.badRequest, 'after is an offset, and needs its epoch');
      return;
    }
    this.#unread(channel);
    if (this.#readers.size >= this.#limits.portChannels) {
      this.dismiss('more channels than a shared connection takes');
      return;
    }
    const n = this.#n;
    const reader = new Reader(this, this.#limits, { after, epoch }, line => {
      if (this.#n === n && this.#readers.get(channel) === reader) this.#post(line);
    }, this.#begun(id));
    this.#readers.set(channel, reader);
    this.hub?.read(channel, reader);
  }

  /** @param {string} channel */
  #unread(channel) {
    const reader = this.#readers.get(channel);
    if (reader === undefined) return;
    this.#readers.delete(channel);
    this.hub?.unread(channel, reader);
  }

  /**
   * The server has refused this subscription, or taken it away.
   *
   * @param {string} channel
   * @param {Reader} reader
   * @param {import('../codec.js').WireError} error
   */
  ended(channel, reader, error) {
    if (this.#readers.get(channel) !== reader) return;
    this.#readers.delete(channel);
    if (reader.answered) this.#say({ ch: channel, revoked: error });
    else reader.answer({ error });
  }
}
