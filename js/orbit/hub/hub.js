import { CODE, LIMIT, LOCAL, TIME } from '../constants.js';
import { encode, size } from '../codec.js';
import { Credentials } from '../credentials.js';
import { Cursors } from '../cursors.js';
import { Session } from '../session.js';
import { Subscriptions } from '../subscriptions.js';
import { Transports } from '../transports.js';
import { sameBearer } from './bearer.js';
import { Feed } from './feed.js';
import { Logins } from './logins.js';
import { vouch } from './vouch.js';

/** @typedef {import('./port.js').Port} Port */
/** @typedef {import('./reader.js').Reader} Reader */

/**
 * One connection to a server, shared by the ports of Orbits that have no identity in common which they
 * ought not to have: all of them the same token, or each application one of its own.
 *
 * It delivers nothing by itself: every Orbit knows where it stands. So what the connection was is over
 * with it: each port's connection ends when the hub's does, and comes back with it.
 *
 * Owned by Registry, made for a port; ends with its last member.
 */
export class Hub {
  #host;
  #limits;
  #gone;
  #url;
  #names;
  #whole;
  #token;
  /** Other tokens of the same bearer, as the server has said. @type {Set<string | undefined>} */
  #vouched = new Set();
  #outdated = false;
  /** @type {Set<Port>} */
  #members = new Set();
  /** Those of them that are connected or want to be. @type {Set<Port>} */
  #ports = new Set();

  #session;
  #subscriptions;

  // What follows is one connection's.
  /** @type {import('../connection.js').Connection | null} */
  #connection = null;
  #logins;
  /** @type {Map<string, Feed>} */
  #feeds = new Map();
  /** Up to where the server has an epoch's history. @type {Map<string, number>} */
  #known = new Map();
  /** @type {{epoch: string, user?: string, transport?: string}} */
  #server = { epoch: '' };
  #max = 0;
  /** The server's clock. */
  #clock = { now: 0, at: 0 };

  /**
   * @param {import('../host.js').Host} host
   * @param {import('../constants.js').Limits} limits
   * @param {Port} port
   * @param {() => void} gone it has ended
   */
  constructor(host, limits, port, gone) {
    const { url, names, app } = port.hello;
    this.#host = host;
    this.#limits = limits;
    this.#gone = gone;
    this.#url = url;
    this.#names = names.join();
    this.#whole = app === undefined;
    this.#token = this.#whole ? port.token : undefined;
    this.#logins = new Logins();
    this.#subscriptions = new Subscriptions(host, new Cursors(null, url), () => false);
    this.#session = new Session({ url, manual: () => false }, {
      host,
      transports: new Transports(host, url, names),
      credentials: new Credentials(this.#token, host.now, () => host.renew(url)),
      subscriptions: this.#subscriptions,
      outbox: {
        opened: (connection, server) => this.#opened(connection, server),
        lost: () => { this.#connection = null; },
        close: () => {},
      },
      tell: (type, detail) => this.#told(type, detail),
    });
  }

  get members() {
    return this.#members.size;
  }

  /** Whether a port may share this connection. @param {Port} port */
  fits(port) {
    const { hello: { url, names, app }, token } = port;
    if (this.#outdated || url !== this.#url || names.join() !== this.#names || (app === undefined) !== this.#whole) return false;
    if (app === undefined) return sameBearer(token, this.#token);
    // Those who wait for the connection have not logged in so far.
    const beside = [...this.#ports].filter(other => other !== port && other.hello.app === app);
    return beside.every(other => sameBearer(token, other.token)) && this.#logins.fits(app, token);
  }

  /** No more ports: who we are has changed. */
  outdate() {
    this.#outdated = true;
  }

  /** @param {Port} port which wants to connect */
  join(port) {
    this.#members.add(port);
    this.#ports.add(port);
    if (this.#connection) this.#admit(port);
    else this.#session.start();
  }

  /** @param {Port} port whose connection has ended */
  disconnected(port) {
    this.#ports.delete(port);
    this.#logins.leave(port);
  }

  /** @param {Port} port which will not come back */
  leave(port) {
    this.disconnected(port);
    this.#members.delete(port);
    if (this.#members.size === 0) this.close();
  }

  /** For good. */
  close() {
    this.#gone();
    this.#session.close();
  }

  /**
   * @param {import('../connection.js').Connection} connection
   * @param {{max: number, now: number}} server
   */
  #opened(connection, { max, now }) {
    this.#connection = connection;
    this.#max = max;
    this.#clock = { now, at: this.#host.now() };
    for (const port of this.#ports) this.#admit(port);
  }

  /** @param {string} type @param {import('../events.js').Detail} detail */
  #told(type, { epoch = '', user, transport, code = LOCAL.lost, message, retry }) {
    if (type === 'open') {
      this.#server = { epoch, user, transport };
      this.#known = new Map();
    } else if (type === 'close') {
      this.#closed(code, message, retry);
    }
  }

  /** @param {string} code @param {string} [message] @param {number} [retry] */
  #closed(code, message, retry) {
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
    this.#logins = new Logins();
    const stopped = this.#session.state === 'closed';
    if (stopped) this.#gone();
    // What was refused is the hub's own, which it has renewed: the ports have theirs.
    const again = code === CODE.unauthorized ? LOCAL.lost : code;
    for (const port of [...this.#ports]) {
      // Another token may be good where the one that the connection was made with is not.
      const ends = stopped && (code !== CODE.unauthorized || port.token === this.#token || !this.#whole);
      port.end(ends ? { code, message } : { code: again, message, retry: retry ?? 0 });
    }
  }

  /** @param {Port} port */
  async #admit(port) {
    const connection = /** @type {import('../connection.js').Connection} */ (this.#connection);
    const { hello } = port;
    const reply = await this.#identify(port, connection);
    if (this.#connection !== connection || !this.#ports.has(port) || port.hello !== hello) return;
    if (reply.error) {
      port.end(reply.error.code === LOCAL.lost ? { ...reply.error, retry: TIME.rate } : reply.error, reply.error);
      return;
    }
    const { now, at } = this.#clock;
    port.accept({
      ...this.#server, user: reply.user, max: this.#max, ping: TIME.ping / 1000,
      now: Math.floor(now + this.#host.now() - at),
    });
  }

  /**
   * Who a port is; an error: not who its token says.
   *
   * @param {Port} port
   * @param {import('../connection.js').Connection} connection
   * @returns {Promise<{user?: string, error?: import('../codec.js').WireError}>}
   */
  async #identify(port, connection) {
    const { hello: { app }, token } = port;
    const { user, transport } = this.#server;
    if (app !== undefined) {
      const reply = await this.#logins.join(app, port, connection);
      return token === undefined ? { user } : reply;
    }
    if (token === this.#token || this.#vouched.has(token)) return { user };
    const who = await vouch(this.#host, this.#url, /** @type {import('../constants.js').TransportName} */ (transport), token);
    if (who.error) return who;
    if (this.#vouched.size >= this.#limits.ports) this.#vouched.clear();
    this.#vouched.add(token);
    return who;
  }

  /**
   * Sends a port's command to the server.
   *
   * @param {Port} port
   * @param {import('../codec.js').Command} command
   * @param {(reply: object) => void} answered
   * @returns {boolean} false: it is too large
   */
  call(port, command, answered) {
    const room = this.#max + LIMIT.commandBytes - '{"id":9007199254740991,'.length;
    if (size(encode(command)) > room) return false;
    this.#connection?.request(command, reply => {
      if (reply === null) return;
      const { re, ...result } = reply;
      if (!this.#expired(port.hello.app, result.error)) answered(result);
    });
    return true;
  }

  /**
   * Whether an error says that an application's token has ended: then all who use it come back with
   * another, if they can get one.
   *
   * @param {string | undefined} app
   * @param {import('../codec.js').WireError} [error]
   */
  #expired(app, error) {
    if (app === undefined || error?.code !== CODE.unauthorized) return false;
    const ports = this.#logins.expire(app);
    for (const port of ports) port.end(error);
    return ports.length > 0;
  }

  /** @param {string} channel @param {Reader} reader */
  read(channel, reader) {
    const { port } = reader;
    let feed = this.#feeds.get(channel);
    if (feed === undefined && this.#feeds.size >= this.#limits.hubChannels) {
      port.dismiss('the shared connection has no more channels');
      return;
    }
    if (feed === undefined) this.#feeds.set(channel, feed = this.#feed(channel, port.hello.app));
    feed.add(reader);
  }

  /** @param {string} channel @param {Reader} reader */
  unread(channel, reader) {
    const feed = this.#feeds.get(channel);
    feed?.remove(reader);
    if (feed?.empty) this.#feeds.delete(channel);
  }

  /** A port has acknowledged something there. @param {string} channel */
  moved(channel) {
    this.#feeds.get(channel)?.moved();
  }

  /** @param {string} channel @param {string} [app] @returns {Feed} */
  #feed(channel, app) {
    return new Feed(channel, this.#server.epoch, this.#limits, {
      subscribe: (sink, start) => this.#subscriptions.add(channel, sink, start),
      unsubscribe: subscription => this.#subscriptions.remove(subscription),
      knows: (position, epoch) => position <= (this.#known.get(epoch) ?? -1),
      wait: callback => {
        const timer = this.#host.setTimeout(callback, TIME.ack);
        return () => this.#host.clearTimeout(timer);
      },
      learn: (position, epoch) => this.#learn(position, epoch),
      ended: (error, readers) => {
        this.#feeds.delete(channel);
        if (this.#expired(app, error)) return;
        for (const reader of readers) this.#refuse(channel, reader, error);
      },
    });
  }

  /** @param {string} channel @param {Reader} reader @param {import('../codec.js').WireError} error */
  #refuse(channel, reader, error) {
    if (error.code === CODE.tooLarge && this.#members.size > 1) reader.port.dismiss(error.message);
    else reader.port.ended(channel, reader, error);
  }

  /** @param {number} position @param {string} epoch */
  #learn(position, epoch) {
    this.#known.set(epoch, Math.max(position, this.#known.get(epoch) ?? 0));
    if (this.#known.size > this.#limits.epochs) this.#known.delete(/** @type {string} */ (this.#known.keys().next().value));
  }
}
