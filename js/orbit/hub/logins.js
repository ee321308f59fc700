import { sameBearer } from './bearer.js';

/** @typedef {import('./port.js').Port} Port */
/** @typedef {import('../codec.js').Reply} Reply */

/**
 * Who the ports of one application are.
 *
 * @typedef {object} Login
 * @property {string | undefined} token
 * @property {Promise<Reply>} answer
 * @property {'asked' | 'good' | 'ended'} state
 * @property {Set<Port>} ports
 */

/**
 * Logs in to applications over a hub's connection. The server knows one identity for each application
 * there, and does not forget it. So ports share it whose tokens say the same; the server
 * is shown each of them, and what it refuses takes nothing from the others. Owned by Hub, for one connection.
 */
export class Logins {
  /** By application. @type {Map<string, Login>} */
  #all = new Map();

  /** Whether a token may come beside those that are there. @param {string} app @param {string | undefined} token */
  fits(app, token) {
    const login = this.#all.get(app);
    if (login === undefined || login.token === token) return true;
    return token !== undefined && (login.ports.size === 0 || sameBearer(token, login.token));
  }

  /**
   * @param {string} app
   * @param {Port} port which fits
   * @param {import('../connection.js').Connection} connection
   * @returns {Promise<Reply>} of the server, to `auth`; without a token there is nothing to be asked
   */
  async join(app, port, connection) {
    const before = this.#all.get(app);
    const known = before && before.token === port.token && before.state !== 'ended';
    const login = known ? before : this.#ask(app, port.token, before, connection);
    login.ports.add(port);
    const reply = await login.answer;
    if (reply.error) login.ports.delete(port);
    return reply;
  }

  /**
   * @param {string} app
   * @param {string | undefined} token
   * @param {Login | undefined} before
   * @param {import('../connection.js').Connection} connection
   * @returns {Login}
   */
  #ask(app, token, before, connection) {
    /** @type {Login} */
    const login = { token, state: 'asked', ports: before?.ports ?? new Set(), answer: Promise.resolve({ re: 0 }) };
    this.#all.set(app, login);
    if (token === undefined) return login;
    login.answer = new Promise(resolve => connection.request({ op: 'auth', app, token }, reply => {
      login.state = reply?.error ? 'ended' : 'good';
      if (reply?.error && before && this.#all.get(app) === login) this.#all.set(app, before);
      resolve(reply ?? { re: 0 });
    }));
    return login;
  }

  /** @param {Port} port whose connection has ended */
  leave(port) {
    if (port.hello.app !== undefined) this.#all.get(port.hello.app)?.ports.delete(port);
  }

  /**
   * The server says that the application's identity has ended.
   *
   * @param {string} app
   * @returns {Port[]} those that need another token
   */
  expire(app) {
    const login = this.#all.get(app);
    if (login?.state !== 'good') return []; // said of the one before, or nobody
    login.state = 'ended';
    return [...login.ports];
  }
}
