import { TIME } from './constants.js';

/**
 * The token: a text, or a function that fetches one. A refused one is never sent again, and a
 * fetched one that is refused as well ends the matter: retries would lock the account out.
 */
export class Credentials {
  #source;
  #now;
  /** @type {string | undefined} */
  #token;
  #fetched = 0;
  #renewed = false;
  #accepted = false;

  /**
   * @param {string | (() => string | undefined | PromiseLike<string | undefined>) | undefined} source
   * @param {() => number} now
   */
  constructor(source, now) {
    this.#source = source;
    this.#now = now;
  }

  /** @returns {Promise<string | undefined>} undefined: anonymous, or the cookie's user */
  async get() {
    if (typeof this.#source !== 'function') return this.#source;
    this.#token ??= await this.#fetch(this.#source);
    return this.#token;
  }

  /** @param {() => string | undefined | PromiseLike<string | undefined>} source */
  async #fetch(source) {
    const token = await source();
    this.#fetched = this.#now();
    this.#accepted = false;
    return token;
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
    if (typeof this.#source !== 'function') return false;
    const lived = this.#accepted && this.#now() - this.#fetched >= TIME.token;
    if (this.#renewed && !lived) return false;
    this.#renewed = true;
    this.#token = undefined;
    return true;
  }

  /** Forgets all of it: the page says that it is someone else now. */
  reset() {
    this.#token = undefined;
    this.#renewed = false;
  }
}
