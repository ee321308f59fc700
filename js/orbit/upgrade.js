import { TIME } from './constants.js';
import { Connection } from './connection.js';

/**
 * Looks for a better transport while a worse one works: from time to time it opens the better ones
 * beside it, each with a session of its own that has no channels, and sees whether the server's answer
 * comes through. Only then the session moves. Owned by Session.
 */
export class Upgrade {
  #host;
  #transports;
  #url;
  #found;
  /** @type {number} */
  #wait = TIME.better;
  /** @type {any} */
  #timer = null;
  /** @type {Connection | null} */
  #trial = null;

  /**
   * @param {import('./host.js').Host} host
   * @param {Pick<import('./transports.js').Transports, 'better' | 'found'>} transports
   * @param {string} url of the server
   * @param {() => void} found a better one works: Transports knows which
   */
  constructor(host, transports, url, found) {
    this.#host = host;
    this.#transports = transports;
    this.#url = url;
    this.#found = found;
  }

  /** A connection works. @param {string | undefined} token */
  start(token) {
    this.stop();
    if (this.#transports.better.length === 0) this.#wait = TIME.better;
    else this.#later(token, this.#wait);
  }

  /** The network may be another one: soon. @param {string | undefined} token */
  hurry(token) {
    this.#wait = TIME.better;
    if (this.#timer === null) return;
    this.stop();
    this.#later(token, TIME.rate);
  }

  /** There is no connection any more. */
  stop() {
    this.#host.clearTimeout(this.#timer);
    this.#timer = null;
    this.#trial?.abandon();
    this.#trial = null;
  }

  /**
   * From half of it on at random: what was restarted is not asked by all at once.
   *
   * @param {string | undefined} token
   * @param {number} wait
   */
  #later(token, wait) {
    this.#timer = this.#host.setTimeout(() => {
      this.#timer = null;
      this.#wait = Math.min(this.#wait * 2, TIME.betterCap);
      this.#try(token, this.#transports.better);
    }, wait * (0.5 + this.#host.random() / 2));
  }

  /** @param {string | undefined} token @param {import('./constants.js').TransportName[]} names */
  #try(token, [name, ...others]) {
    if (name === undefined) {
      this.#later(token, this.#wait);
      return;
    }
    const next = () => {
      this.stop();
      this.#try(token, others);
    };
    try {
      const trial = this.#trial = new Connection(this.#host.open(this.#url, name), this.#host, {
        opened: () => trial.request({ op: 'connect', token }, reply => {
          if (reply?.session) this.#works(name);
        }),
        heard: () => {}, push: () => {}, ended: next,
      }, { next: 1 }, TIME.open);
    } catch {
      next();
    }
  }

  /** @param {import('./constants.js').TransportName} name */
  #works(name) {
    this.stop();
    this.#transports.found(name);
    this.#found();
  }
}
