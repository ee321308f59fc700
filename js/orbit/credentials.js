import { TIME } from './constants.js';

/**
 * The token: a text, or a function that fetches one; without either the cookie of a login, which is
 * renewed. A refused one is never sent again, and a fetched one that is refused as well ends the
 * matter: retries would lock the account out.
 */
export class Credentials {
  #source;
  #now;
  #renewCookie;
  /** The cookie was refused. */
  #stale = false;
  /** @type {string | undefined} */
  #token;
  #fetched = 0;
  #renewed = false;
  #accepted = false;

  /**
   * @param {string | (() => string | undefined | PromiseLike<string | undefined>) | undefined} source
   * @param {() => number} now
   * @param {() => Promise<void>} renewCookie
   */
  constructor(source, now, renewCookie) {
    this.#source = source;
    this.#now = now;
    this.#renewCookie = renewCookie;
  }

  /** @returns {Promise<string | undefined>} undefined: anonymous, or the cookie's user */
  async get() {
    if (this.#stale) {
      await this.#renewCookie();
      this.#stale = false;
      this.#renewedNow();
    }
    if (typeof this.#source !== 'function') return this.#source;
    this.#token ??= await this.#fetch(this.#source);
    return this.#token;
  }

  /** @param {() => string | undefined | PromiseLike<string | undefined>} source */
  async #fetch(source) {
    const token = await source();
    this.#renewedNow();
    return token;
  }

  #renewedNow() {
    this.#fetched = this.#now();
    this.#accepted = false;
  }

  /** The server took it. */
  accepted() {
    this.#accepted = true;
  }

  /**
   * The server refused it.
   *
   * @returns {boolean} whether there may be a better one
   */
  renew() {
    if (typeof this.#source === 'string') return false;
    const lived = this.#accepted && this.#now() - this.#fetched >= TIME.token;
    if (this.#renewed && !lived) return false;
    this.#renewed = true;
    this.#token = undefined;
    this.#stale = this.#source === undefined;
    return true;
  }

  /** Forgets all of it: the page says that it is someone else now. */
  reset() {
    this.#token = undefined;
    this.#renewed = this.#stale = false;
  }
}
