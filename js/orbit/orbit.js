import { LOCAL } from './constants.js';
import { Channel } from './channel.js';
import { Cursors } from './cursors.js';
import { UnsentPublishes } from './unsent.js';
import { decodePayload, isApp, isChannel } from './codec.js';
import { Credentials } from './credentials.js';
import { fire, OrbitError, OrbitEvent, report } from './events.js';
import { ChannelSource } from './facade/eventsource.js';
import { Lending } from './facade/lending.js';
import { ChannelSocket } from './facade/websocket.js';
import { host as browser } from './host.js';
import { page } from './hub/page.js';
import { Shared } from './hub/shared.js';
import { checkName, checkStart, isManual, isPlace, serverOf, startOf } from './options.js';
import { Outbox } from './outbox.js';
import { Session } from './session.js';
import { Subscriptions } from './subscriptions.js';
import { Target } from './target.js';
import { Transports } from './transports.js';

/**
 * @typedef {import('./options.js').OrbitOptions} OrbitOptions
 * @typedef {import('./options.js').ChannelOptions} ChannelOptions
 */

/**
 * A connection to an orbitd that comes back by itself, and the channels over it. What happens on a
 * channel is fired on it, and then here with its name in `channel`.
 */
export class Orbit extends Target {
  #manual;
  #origin;
  #app;
  #closed = false;
  /** @type {Map<string, Channel>} those that are not closed */
  #channels = new Map();
  /** Where they start. @type {WeakMap<Channel, import('./subscription.js').Start>} */
  #starts = new WeakMap();
  /** Of channels that the session had before the page asked for them. @type {Set<string>} */
  #unclaimed = new Set();
  /** How many channels acknowledge by the page. */
  #manuals = 0;

  #lending = new Lending();
  #cursors;
  #subscriptions;
  #outbox;
  #own;
  #transports;
  #session;

  /**
   * @param {string | URL} [url] of the server; without it, the one that this library came from
   * @param {OrbitOptions} [options]
   * @param {import('./host.js').Host} [host] for tests
   * @param {{dial: (browser: boolean) => import('./hub/pipe.js').Pipe}} [hubs] for tests
   */
  constructor(url = new URL('..', import.meta.url), options = {}, host = browser, hubs = page) {
    super();
    const { token, app, client, shared = app !== undefined, ack = 'auto', transports, resume, name } = options;
    if (app !== undefined && !isApp(app)) throw new TypeError(`${JSON.stringify(app)} is not an application's name`);
    this.#app = app;
    checkName(name);
    this.#manual = isManual(ack);
    this.#origin = serverOf(url).origin;
    const kept = resume && isPlace(resume) ? host.storage(resume) : null;
    this.#cursors = new Cursors(kept, String(url), name, error => queueMicrotask(() => {
      report(error); // it shows when the page is loaded again, so it is told where pages look for mistakes, too
      this.#fail(error);
    }));
    this.#subscriptions = new Subscriptions(host, this.#cursors, (name, subscribe) => this.#adopt(name, subscribe));
    const scope = app === undefined ? String(url) : `${url} ${app}`;
    const unsent = new UnsentPublishes(host, resume && scope, error => this.#fail(error));
    this.#outbox = new Outbox(host, unsent, (error, fields) => this.#fail(error, fields));
    const own = new Transports(host, String(url), transports);
    this.#transports = shared && client === undefined ? new Shared(own, app, () => hubs.dial(options.shared === true)) : own;
    this.#own = own;
    this.#session = new Session(
      { url: String(url), client, app: client === undefined ? app : undefined, manual: () => this.#manual || this.#manuals > 0 },
      {
        host,
        transports: this.#transports,
        credentials: new Credentials(token, host.now, () => host.renew(String(url))),
        subscriptions: this.#subscriptions,
        outbox: this.#outbox,
        tell: (type, detail) => this.#tell(type, detail),
      });
    this.#outbox.recall().then(left => left > 0 && this.#connectSoon());
  }

  /** idle, connecting, open, waiting (for the next attempt) or closed. */
  get state() {
    return this.#session.state;
  }

  /** The name of the transport in use; undefined: not connected. */
  get transport() {
    return this.#session.transport;
  }

  /** The transports that may be used, the preferred one first. Setting it moves the connection. */
  get transports() {
    return this.#own.names;
  }

  set transports(names) {
    this.#check();
    this.#session.use(names);
  }

  /** Who the server says we are; undefined: anonymous. */
  get user() {
    return this.#session.user;
  }

  /**
   * A channel. A second call with a name gives the same object until it is closed. How it
   * acknowledges is said in the first one; where it starts, before it has a consumer.
   *
   * @param {string} name
   * @param {ChannelOptions} [options]
   * @returns {Channel}
   */
  channel(name, options = {}) {
    return this.#lending.own(this.#channel(name, options));
  }

  /**
   * A channel for code that wants a WebSocket: from now on, and open when the subscription is.
   *
   * @param {string} name
   * @returns {WebSocket}
   */
  webSocket(name) {
    return new ChannelSocket(this, this.#lending.lend(this.#channel(name)), this.#origin.replace(/^http/, 'ws') + name);
  }

  /**
   * A channel for code that wants an EventSource.
   *
   * @param {string} name
   * @param {{lastEventId?: string}} [options] where to start, as an event of either kind of source has it,
   *   or '0': with the oldest message there is. Without it: now
   * @returns {EventSource}
   */
  eventSource(name, { lastEventId } = {}) {
    const channel = this.#channel(name, lastEventId === undefined ? {} : startOf(lastEventId));
    return /** @type {any} */ (new ChannelSource(this, this.#lending.lend(channel), this.#origin + name));
  }

  /**
   * @param {string} name
   * @param {ChannelOptions} [options]
   * @returns {Channel}
   */
  #channel(name, options = {}) {
    if (!isChannel(name)) throw new TypeError(`${JSON.stringify(name)} is not a channel's name`);
    checkStart(options);
    if (this.#app !== undefined && name.split('/')[1] !== this.#app) {
      throw new TypeError(`${name} is not of ${this.#app}, the application that this Orbit is for`);
    }
    this.#check();
    this.#claim(name, options);
    const open = this.#channels.get(name);
    if (open === undefined) return this.#make(name, options);
    if (options.ack !== undefined || (options.after !== undefined && open.state !== 'idle')) {
      throw new TypeError(`${name} is open already: it is too late for options`);
    }
    if (options.after !== undefined) this.#starts.set(open, this.#cursors.recall(name) ?? options);
    return open;
  }

  /** Connects now; channels and publishes do it by themselves. */
  connect() {
    this.#check();
    this.#session.start();
  }

  /** Connects anew, with a token fetched anew: for a page whose user has logged in or out. */
  reconnect() {
    this.#check();
    this.#session.restart();
  }

  /**
   * Adds an identity for one application: below `/app` we are the token's user, from now on.
   *
   * @param {string} app
   * @param {string} token
   * @returns {Promise<string | undefined>} the user's name
   */
  async auth(app, token) {
    this.#check();
    this.#connectSoon();
    return (await this.#session.auth(app, token)).user;
  }

  /**
   * Ends everything of this page. Publishes without an answer reject: they may or may not be stored. A session by
   * name keeps its place and its subscriptions.
   */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const channel of [...this.#channels.values()]) channel.close();
    this.#session.close();
    if (this.#transports instanceof Shared) this.#transports.close();
  }

  #check() {
    if (this.#closed) throw new OrbitError(LOCAL.closed, 'the Orbit is closed');
  }

  /** When the caller is done: all that it opens goes into one connect. */
  #connectSoon() {
    if (this.#session.state !== 'idle') return;
    queueMicrotask(() => {
      if (!this.#closed && this.#session.state === 'idle') this.#session.start();
    });
  }

  /**
   * @param {string} name
   * @param {ChannelOptions} options
   * @returns {Channel}
   */
  #make(name, { after, epoch, ack }) {
    /** @type {Channel} */
    let channel;
    const manual = ack === undefined ? this.#manual : isManual(ack);
    if (manual) this.#manuals++;
    channel = new Channel(name, {
      origin: this.#origin,
      subscribe: sink => {
        this.#connectSoon();
        return this.#subscriptions.add(name, sink, this.#starts.get(channel) ?? {});
      },
      publish: (payload, options) => {
        this.#check();
        this.#connectSoon();
        return this.#outbox.publish(name, payload, options);
      },
      history: ({ before, limit }) => {
        this.#check();
        this.#connectSoon();
        return this.#session.call({ op: 'history', channel: name, before, limit });
      },
      closed: subscription => {
        if (manual) this.#manuals--;
        if (this.#channels.get(name) === channel) this.#channels.delete(name);
        if (subscription) this.#subscriptions.remove(subscription, this.#closed);
      },
      tell: (type, detail) => this.#tell(type, detail),
    }, manual);
    this.#channels.set(name, channel);
    this.#starts.set(channel, this.#cursors.recall(name) ?? { after, epoch });
    return channel;
  }

  /**
   * A durable session has this subscription, and the page has not asked for it yet: what arrives
   * waits for it. Any other session has it only because the page closed the channel meanwhile.
   *
   * @param {string} name
   * @param {(sink: import('./subscription.js').Sink) => import('./subscription.js').Subscription} subscribe
   */
  #adopt(name, subscribe) {
    if (!this.#session.durable) return false;
    const open = this.#channels.get(name); // one that only publishes, so far
    if (open === undefined) this.#unclaimed.add(name);
    (open ?? this.#make(name, {})).adopt(subscribe);
    return true;
  }

  /**
   * The page asks for a channel that waited for it.
   *
   * @param {string} name
   * @param {ChannelOptions} options
   */
  #claim(name, options) {
    if (!this.#unclaimed.delete(name)) return;
    if (options.after !== undefined || options.ack !== undefined) this.#channels.get(name)?.close();
  }

  /**
   * What no call waits for has failed.
   *
   * @param {OrbitError} error
   * @param {any} [fields] of the publish
   */
  #fail({ code, message, channel }, fields) {
    const payload = fields && decodePayload({ ...fields, d: fields.data });
    this.#tell('error', { code, message, channel, payload });
  }

  /** @param {string} type @param {import('./events.js').Detail} detail */
  #tell(type, detail) {
    fire(this, new OrbitEvent(type, detail), /** @type {any} */ (this)[`on${type}`]);
  }
}
