import { backoff } from './backoff.js';
import { Calls } from './calls.js';
import { BYE, CODE, LIMIT, LOCAL, RETRIED, TIME } from './constants.js';
import { Connection } from './connection.js';
import { OrbitError } from './events.js';
import { Upgrade } from './upgrade.js';

/**
 * @typedef {'idle' | 'connecting' | 'open' | 'waiting' | 'closed'} State
 * @typedef {object} Options
 * @property {string} url of the server
 * @property {string} [client] the name of a durable session
 * @property {string} [app] the application that the token is for; without it: all
 * @property {() => boolean} manual whether the page acknowledges
 *
 * @typedef {object} Parts what a session carries from connection to connection
 * @property {import('./host.js').Host} host
 * @property {Way} transports
 * @property {import('./credentials.js').Credentials} credentials
 * @property {import('./subscriptions.js').Subscriptions} subscriptions
 * @property {Pick<import('./outbox.js').Outbox, 'opened' | 'lost' | 'close'>} outbox
 * @property {(type: string, detail: import('./events.js').Detail) => void} tell
 *
 * @typedef {object} Way how connections are made: by Transports, or by Shared over those of others
 * @property {boolean} shared
 * @property {import('./constants.js').TransportName | undefined} current
 * @property {import('./constants.js').TransportName[]} better
 * @property {(url: string, shareable: boolean) => {transport: import('./host.js').Transport, patience: number}} open
 * @property {() => void} answered
 * @property {(reply: import('./codec.js').Reply) => void} worked
 * @property {(late: boolean) => boolean} failed
 * @property {(mute: boolean) => void} lost
 * @property {(names?: readonly string[]) => void} use
 * @property {() => void} refresh
 * @property {(name: import('./constants.js').TransportName) => void} found
 * @property {() => void} anew the next connection is not to be one that is there
 */

/**
 * One logical client: connects, takes its session up again, comes back when the connection is lost,
 * and knows when it must not. It has one connection at a time.
 */
export class Session {
  /** @type {State} */
  state = 'idle';
  /** @type {string | undefined} */
  user;

  #options;
  #parts;
  /** @type {{session: string, secret: string} | null} */
  #known = null;
  /** @type {Map<string, string>} */
  #auth = new Map();
  #calls = new Calls();
  /** A session of its own after it was displaced: no longer that of the name. */
  #nameless = false;

  /** @type {Connection | null} */
  #connection = null;
  /** @type {import('./codec.js').WireError | null} why the connect was refused */
  #refusal = null;
  #attempt = 0;
  #turn = 0;
  #max = 0;
  /** @type {any} */
  #timer = null;
  #ids = { next: 1 };
  #unwatch;
  #upgrade;
  /** The token that the connection was accepted with. @type {string | undefined} */
  #token;

  /**
   * @param {Options} options
   * @param {Parts} parts
   */
  constructor(options, parts) {
    this.#options = options;
    this.#parts = parts;
    this.#upgrade = new Upgrade(parts.host, parts.transports, options.url, () => this.#move());
    this.#unwatch = parts.host.watch({
      online: () => this.#online(),
      awake: () => this.#awake(),
      left: () => this.#left(),
      back: () => {
        if (this.state === 'waiting') this.start();
      },
    });
  }

  /** Whether it belongs to a name, so that it may have subscriptions that this page knows nothing of. */
  get durable() {
    return this.#options.client !== undefined && !this.#nameless;
  }

  /** The name of the transport in use. */
  get transport() {
    return this.state === 'open' ? this.#parts.transports.current : undefined;
  }

  /** Connects, unless it does already. */
  start() {
    if (this.state === 'connecting' || this.state === 'open') return;
    this.#parts.host.clearTimeout(this.#timer);
    this.#refusal = null;
    this.#calls.begin();
    this.#become('connecting');
    this.#open(++this.#turn);
  }

  /** Connects anew, as whoever the page is now. */
  restart() {
    this.#parts.credentials.reset();
    this.#parts.transports.anew();
    this.#parts.subscriptions.reset();
    this.#attempt = 0;
    this.#abandon('the page asked for a new connection');
    this.start();
  }

  /**
   * From now on over these transports.
   *
   * @param {readonly string[]} names
   */
  use(names) {
    this.#parts.transports.use(names);
    if (this.state !== 'idle' && this.state !== 'closed') this.#move();
  }

  /** To another transport: what is not acknowledged or answered there comes again here. */
  #move() {
    this.#parts.subscriptions.flush();
    this.#attempt = 0;
    this.#abandon('the connection moves to another transport');
    this.start();
  }

  #online() {
    this.#parts.transports.refresh();
    this.#upgrade.hurry(this.#token);
    this.#awake();
  }

  /** Where we wait there may be no reason to any more, and what looks open may long be dead. */
  #awake() {
    if (this.state === 'waiting') this.start();
    else if (this.state === 'open') this.#connection?.ask();
  }

  /**
   * The server hears what was processed, for this page may never run again. A page with a connection
   * is not kept for a return, so it has none meanwhile; one that is not kept has no use for it.
   */
  #left() {
    if (this.state !== 'open' && this.state !== 'connecting') return;
    this.#parts.subscriptions.flush();
    this.#abandon('the page was left');
    this.#become('waiting');
  }

  /** For good. */
  close() {
    this.#unwatch();
    this.#abandon('the page closed the connection');
    this.#become('closed');
    const error = new OrbitError(LOCAL.closed, 'the connection was closed');
    this.#parts.outbox.close(error);
    this.#calls.end(error);
  }

  /**
   * A command that may be sent again, by the next connection if need be.
   *
   * @param {import('./codec.js').Command} command
   * @returns {Promise<import('./codec.js').Reply>}
   */
  call(command) {
    return this.#calls.make(command);
  }

  /**
   * An identity for one application, on this connection and those that follow.
   *
   * @param {string} app
   * @param {string} token
   */
  async auth(app, token) {
    this.#auth.set(app, token);
    this.#parts.subscriptions.reset();
    if (this.#parts.transports.shared && this.state !== 'idle' && this.state !== 'closed') this.#move();
    try {
      return await this.call({ op: 'auth', app, token });
    } catch (error) {
      if (this.#auth.get(app) === token) this.#auth.delete(app);
      throw error;
    }
  }

  /** @param {number} turn tells this attempt from those that the page has abandoned meanwhile */
  async #open(turn) {
    const { host, credentials, transports } = this.#parts;
    try {
      const token = await credentials.get();
      if (turn !== this.#turn) return;
      const { transport, patience } = transports.open(this.#options.url, !this.durable && this.#auth.size === 0);
      const connection = new Connection(transport, host, {
        opened: () => this.#greet(connection, token),
        heard: length => this.#parts.subscriptions.heard(length),
        push: incoming => this.#push(incoming),
        ended: end => this.#ended(end),
      }, this.#ids, patience);
      this.#connection = connection;
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error instanceof OrbitError) this.#stop(error);
      else this.#retry({ code: LOCAL.lost, message: String(error) });
    }
  }

  /**
   * @param {Connection} connection
   * @param {string | undefined} token
   */
  #greet(connection, token) {
    const { client, app } = this.#options;
    const manual = this.#options.manual();
    const auth = [...app !== undefined && token !== undefined ? [[app, token]] : [], ...this.#auth];
    const command = {
      op: 'connect',
      token: app === undefined ? token : undefined,
      auth: auth.length > 0 ? auth.map(([app, token]) => ({ app, token })) : undefined,
      client: this.durable ? client : undefined,
      ack: manual ? 'manual' : undefined,
      ...(this.durable ? {} : this.#known), // a name selects its session by itself
    };
    const used = JSON.stringify(command).length + '"id":1,"epoch":"0123456789abcdef","last":{},'.length;
    const last = this.#parts.subscriptions.last(LIMIT.commandBytes + this.#max - used, !manual);
    connection.request({ ...command, ...last }, reply => {
      if (reply === null) return;
      this.#parts.transports.answered();
      this.#token = command.token;
      if (reply.error) this.#refusal = reply.error; // a bye follows
      else this.#accepted(connection, reply);
    });
  }

  /**
   * @param {Connection} connection
   * @param {import('./codec.js').Reply} reply
   */
  #accepted(connection, reply) {
    const { transports, credentials, subscriptions, outbox } = this.#parts;
    const { session, secret, user, epoch, resumed } = reply;
    this.#known = session && secret ? { session, secret } : null;
    this.#max = reply.max ?? 0;
    this.#attempt = 0;
    this.user = user;
    transports.worked(reply);
    credentials.accepted();
    connection.watch((reply.ping ?? TIME.ping / 1000) * 1000);
    this.#become('open');
    this.#upgrade.start(this.#token);
    this.#parts.tell('open', { user, epoch, resumed, transport: transports.current });
    if (this.#connection !== connection) return; // the page has closed it in its handler
    subscriptions.opened(connection, reply);
    outbox.opened(connection, { max: this.#max, now: reply.now ?? Date.now(), user });
    this.#calls.opened(connection);
  }

  /** @param {import('./codec.js').Incoming} incoming */
  #push(incoming) {
    if (incoming.kind === 'error') {
      const { code, message } = incoming.frame.error;
      this.#parts.tell('error', { code, message });
    } else if (incoming.kind === 'session') {
      this.#known = incoming.frame;
    } else if (this.#options.app !== undefined && incoming.frame.revoked?.code === CODE.unauthorized) {
      this.#connection?.end(incoming.frame.revoked.message, CODE.unauthorized);
    } else if (incoming.kind !== 'other') {
      this.#parts.subscriptions.push(incoming);
    }
  }

  /** @param {import('./connection.js').End} end */
  #ended(end) {
    this.#connection = null;
    this.#lost();
    const again = this.#blame(end);
    const code = this.#refusal?.code ?? end.code;
    const message = this.#refusal?.message ?? end.message;
    this.#forget(code);
    if (this.#returns(code, end)) this.#retry({ code, message }, again ? 0 : end.bye?.retry);
    else this.#stop({ code, message });
  }

  #lost() {
    this.#calls.lost();
    this.#parts.subscriptions.lost();
    this.#parts.outbox.lost();
  }

  /**
   * What the end says about the transport.
   *
   * @param {import('./connection.js').End} end
   * @returns {boolean} whether another one is to be tried at once
   */
  #blame({ bye, late, mute }) {
    const { transports } = this.#parts;
    this.#upgrade.stop();
    if (bye || this.#refusal) return false;
    if (this.state !== 'open') return transports.failed(late);
    transports.lost(late && mute);
    return false;
  }

  /**
   * What must not be named again.
   *
   * @param {string} code
   */
  #forget(code) {
    if (code === BYE.displaced || code === CODE.sessionExpired) this.#known = null;
    if (code === BYE.displaced) this.#nameless = true;
  }

  /**
   * Whether to come back by ourselves (PROTOCOL.md, section 6).
   *
   * @param {string} code
   * @param {import('./connection.js').End} end
   */
  #returns(code, { bye }) {
    if (code === CODE.unauthorized) return this.#parts.credentials.renew();
    if (code === BYE.displaced || code === CODE.sessionExpired) return true;
    if (this.#refusal) return RETRIED.includes(code) || bye?.retry !== undefined;
    return bye === undefined || bye.retry !== undefined;
  }

  /**
   * @param {{code: string, message: string}} why
   * @param {number} [retry] milliseconds, as the server wants it
   */
  #retry(why, retry) {
    const { host, tell } = this.#parts;
    const wait = retry ?? backoff(this.#attempt, host.random);
    if (retry !== 0) this.#attempt++;
    this.#timer = host.setTimeout(() => this.start(), wait);
    this.#become('waiting');
    tell('close', { ...why, retry: wait });
  }

  /** @param {{code: string, message: string}} why */
  #stop(why) {
    this.#calls.end(new OrbitError(why.code, why.message));
    this.#become('closed');
    this.#parts.tell('close', why);
    this.#parts.tell('error', why);
  }

  /** @param {string} why */
  #abandon(why) {
    this.#turn++;
    this.#upgrade.stop();
    this.#parts.host.clearTimeout(this.#timer);
    const connection = this.#connection;
    this.#connection = null;
    connection?.abandon();
    this.#lost();
    if (connection) this.#parts.tell('close', { code: LOCAL.closed, message: why });
    this.state = 'idle';
  }

  /** @param {State} state */
  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#parts.tell('state', { state });
  }
}
