import { OrbitError } from './events.js';

/**
 * @typedef {object} Call
 * @property {import('./codec.js').Command} command
 * @property {(reply: import('./codec.js').Reply) => void} resolve
 * @property {(error: OrbitError) => void} reject
 */

/**
 * Commands other than publishes whose answers the page waits for. They may be sent again, so they outlive a
 * connection that is lost, and wait for the next one.
 *
 * Owned by Session.
 */
export class Calls {
  /** @type {Set<Call>} */
  #all = new Set();
  /** @type {import('./connection.js').Connection | null} */
  #connection = null;
  /** Why no connection is to be expected. @type {OrbitError | null} */
  #ended = null;

  /**
   * @param {import('./codec.js').Command} command
   * @returns {Promise<import('./codec.js').Reply>}
   */
  make(command) {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const call = { command, resolve, reject };
      this.#all.add(call);
      this.#send(call);
    });
  }

  /** A connection is to be expected. */
  begin() {
    this.#ended = null;
  }

  /** @param {import('./connection.js').Connection} connection that was accepted */
  opened(connection) {
    this.#connection = connection;
    for (const call of this.#all) this.#send(call);
  }

  lost() {
    this.#connection = null;
  }

  /** There will be no connection: all reject, for unlike publishes they can be made again. @param {OrbitError} error */
  end(error) {
    this.#ended = error;
    for (const call of this.#all) call.reject(error);
    this.#all.clear();
  }

  /** @param {Call} call */
  #send(call) {
    this.#connection?.request(call.command, reply => {
      if (reply === null || !this.#all.delete(call)) return;
      const { error } = reply;
      if (error) call.reject(new OrbitError(error.code, error.message, call.command.channel));
      else call.resolve(reply);
    });
  }
}
