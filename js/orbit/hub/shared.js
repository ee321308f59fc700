import { TIME } from '../constants.js';
import { Line } from './line.js';

/**
 * Makes an Orbit's connections over hubs, where these can be: with the surface of Transports. Picking a
 * transport, and what is learnt of them, is the hub's there. Where the Orbit needs a connection of its own
 * (it has a durable session, has called auth, or wants more than its share), Transports makes that.
 *
 * Owned by Orbit.
 */
export class Shared {
  #own;
  #app;
  #dial;
  /** @type {Line | null} */
  #line = null;
  /** Whether the connection is over a hub. */
  #through = false;
  /** It may not be any more. */
  #alone = false;
  #anew = false;
  /** Over what the hub is connected. @type {import('../constants.js').TransportName | undefined} */
  #via;

  /**
   * @param {import('../transports.js').Transports} own
   * @param {string | undefined} app
   * @param {() => import('./pipe.js').Pipe} dial makes a pipe to a registry
   */
  constructor(own, app, dial) {
    this.#own = own;
    this.#app = app;
    this.#dial = dial;
  }

  /** @param {readonly string[]} [names] */
  use(names) {
    this.#own.use(names);
  }

  refresh() {
    this.#own.refresh();
  }

  anew() {
    this.#anew = true;
  }

  get shared() {
    return this.#through;
  }

  get current() {
    return this.#through ? this.#via : this.#own.current;
  }

  get better() {
    return this.#through ? [] : this.#own.better;
  }

  /** @param {string} url of the server @param {boolean} shareable */
  open(url, shareable) {
    this.#alone ||= this.#line?.own === true;
    this.#through = shareable && !this.#alone;
    if (!this.#through) {
      this.close();
      return this.#own.open(url);
    }
    if (this.#line === null || this.#line.dead) this.#line = new Line(this.#dial());
    const hello = { url, names: this.#own.names, app: this.#app, anew: this.#anew };
    this.#anew = false;
    // The hub comes back by itself, and says when it could not: there is nothing to be late for.
    return { transport: this.#line.open(hello), patience: TIME.forever };
  }

  answered() {
    if (!this.#through) this.#own.answered();
  }

  /** @param {import('../codec.js').Reply} reply */
  worked({ transport }) {
    if (this.#through) this.#via = /** @type {import('../constants.js').TransportName} */ (transport);
    else this.#own.worked();
  }

  /** @param {boolean} late */
  failed(late) {
    return !this.#through && this.#own.failed(late);
  }

  /** @param {boolean} mute */
  lost(mute) {
    if (!this.#through) this.#own.lost(mute);
  }

  /** @param {import('../constants.js').TransportName} name */
  found(name) {
    this.#own.found(name);
  }

  /** For good. */
  close() {
    this.#line?.close();
    this.#line = null;
  }
}
