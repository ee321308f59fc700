import { LIMIT, TIME, TRANSPORTS } from './constants.js';

/** @typedef {import('./constants.js').TransportName} TransportName */

/**
 * Chooses the transport of each attempt. Rounds go through them, the best first, but what has worked
 * before all others: in this page, or in an earlier one, which is remembered for a day. One works when
 * the server's answer to the connect came through it, in time; so a proxy that lets bytes go up and
 * keeps back what comes down is noticed like one that refuses.
 *
 * What fails may fail because the server is away, and then all the others do. So what has worked is
 * given a moment alone, that a restart of the server does not send its clients to worse transports;
 * and where one of these is in use, Upgrade tries the better ones again.
 *
 * Owned by Session.
 */
export class Transports {
  /** Nobody else's. */
  shared = false;

  #host;
  #key;
  #storage;
  /** @type {TransportName[]} */
  #names = [];
  /** What the last connection was opened with. @type {TransportName | undefined} */
  current;
  /** What has worked. @type {TransportName | undefined} */
  #preferred;
  /** What takes connections and does not keep them. @type {Set<TransportName>} */
  #bad = new Set();

  /** What this round has left. @type {TransportName[]} */
  #left = [];
  #rounds = 0;
  /** How often what has worked is still tried alone. */
  #alone = 0;
  #strikes = 0;
  #since = 0;

  /**
   * @param {import('./host.js').Host} host
   * @param {string} url of the server
   * @param {readonly string[]} [names] those to use, in their order
   */
  constructor(host, url, names) {
    this.#host = host;
    this.#key = `orbit:transport:${url}`;
    this.#storage = host.storage('browser');
    this.use(names);
    this.#preferred = this.#recall();
  }

  /**
   * From now on these, in this order.
   *
   * @param {readonly string[]} [names]
   */
  use(names) {
    this.#names = check(names, this.#host.supports);
    this.refresh();
    if (this.#preferred && !this.#names.includes(this.#preferred)) this.#preferred = undefined;
  }

  /** What may be used. */
  get names() {
    return [...this.#names];
  }

  /** The page is someone else: what was learnt of the way holds all the same. */
  anew() {}

  /** The network may be another one: what did not work before may do now. */
  refresh() {
    this.#bad.clear();
    this.#left = [];
    this.#rounds = this.#strikes = 0;
  }

  /**
   * Opens what to try now, and says how long to wait for the server's answer.
   *
   * @param {string} url of the server
   * @returns {{transport: import('./host.js').Transport, patience: number}}
   */
  open(url) {
    const { name, patience } = this.#next();
    return { transport: this.#host.open(url, name), patience };
  }

  /** @returns {{name: TransportName, patience: number}} */
  #next() {
    if (this.#left.length === 0) this.#left = this.#order();
    const name = this.current = /** @type {TransportName} */ (this.#left.shift());
    const last = this.#left.length === 0 && (this.#alone === 0 || this.#names.length === 1);
    return { name, patience: last ? TIME.open : Math.min(TIME.open, TIME.pick * 2 ** this.#rounds) };
  }

  /**
   * There was no answer.
   *
   * @param {boolean} late the other side did not even refuse
   * @returns {boolean} whether there is another one to be tried at once
   */
  failed(late) {
    if (this.#alone > 0 && !late) {
      this.#alone--;
      this.#left = [];
      return false;
    }
    if (this.#alone > 0) {
      this.#alone = 0;
      this.#left = this.#order().filter(name => name !== this.current);
    }
    if (this.#left.length > 0) return true;
    this.#rounds++;
    return false;
  }

  /** The server has answered, whatever. */
  answered() {
    this.#left = [];
    this.#rounds = 0;
  }

  /** It has accepted us. */
  worked() {
    this.answered();
    this.#preferred = this.current;
    this.#alone = LIMIT.alone;
    this.#since = this.#host.now();
    this.#storage.set(this.#key, JSON.stringify({ transport: this.current, at: this.#host.date() }));
  }

  /**
   * A connection that worked has ended without a bye. One that was silent from the start, or that is
   * short again and again, has something in its way that knows how to open and not how to carry on.
   *
   * @param {boolean} mute
   */
  lost(mute) {
    this.#strikes = this.#host.now() - this.#since < TIME.short ? this.#strikes + 1 : 0;
    if (!mute && this.#strikes < LIMIT.strikes) return;
    this.#strikes = this.#alone = 0;
    this.#preferred = undefined;
    if (this.current) this.#bad.add(this.current);
    if (this.#bad.size === this.#names.length) this.#bad.clear();
  }

  /** What is better than the one in use, the best first. */
  get better() {
    return this.current ? this.#names.slice(0, this.#names.indexOf(this.current)) : [];
  }

  /** It works, as an attempt beside the connection has shown. @param {TransportName} name */
  found(name) {
    this.refresh();
    this.#preferred = name;
  }

  /** @returns {TransportName[]} */
  #order() {
    const first = this.#preferred;
    if (first && this.#alone > 0) return [first];
    const rest = this.#names.filter(name => name !== first);
    return [
      ...(first ? [first] : []),
      ...rest.filter(name => !this.#bad.has(name)),
      ...rest.filter(name => this.#bad.has(name)),
    ];
  }

  /** @returns {TransportName | undefined} */
  #recall() {
    try {
      const { transport, at } = JSON.parse(this.#storage.get(this.#key) ?? '{}');
      const age = this.#host.date() - at;
      return age >= 0 && age < TIME.remember && this.#names.includes(transport) ? transport : undefined;
    } catch {
      return undefined;
    }
  }
}

/**
 * @param {readonly string[] | undefined} names
 * @param {(name: TransportName) => boolean} supports
 * @returns {TransportName[]}
 */
function check(names = TRANSPORTS, supports) {
  for (const name of names) {
    if (!TRANSPORTS.includes(/** @type {any} */ (name))) {
      throw new TypeError(`transports are ${TRANSPORTS.join(', ')}; ${JSON.stringify(name)} is none`);
    }
  }
  const usable = [...new Set(/** @type {TransportName[]} */ (names))].filter(supports);
  if (usable.length === 0) throw new TypeError(`nothing here can open ${names.join(', ') || 'no transport'}`);
  return usable;
}
