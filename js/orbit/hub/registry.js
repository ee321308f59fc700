import { LIMIT } from '../constants.js';
import { Hub } from './hub.js';
import { Port } from './port.js';

/**
 * The hubs of a page, of a worker or of a leading tab, and the ports to them. Which hub a port's
 * connection goes over is decided when its `connect` has come, for that says who it is.
 */
export class Registry {
  #host;
  #limits;
  /** @type {Set<Hub>} */
  #hubs = new Set();
  /** @type {Set<Port>} */
  #ports = new Set();

  /**
   * @param {import('../host.js').Host} host
   * @param {import('../constants.js').Limits} [limits] for tests
   */
  constructor(host, limits = LIMIT) {
    this.#host = host;
    this.#limits = limits;
  }

  /** A pipe from an Orbit. @param {import('./pipe.js').Pipe} pipe @returns {Port} */
  attach(pipe) {
    const port = new Port(pipe, this.#host, this.#limits, {
      place: () => this.#place(port),
      gone: () => this.#ports.delete(port),
    });
    this.#ports.add(port);
    return port;
  }

  /** @param {Port} port @returns {Hub} */
  #place(port) {
    if (port.hello.anew) port.hub?.outdate();
    if (port.hub && this.#hubs.has(port.hub) && port.hub.fits(port)) return port.hub;
    for (const hub of this.#hubs) {
      if (hub.members < this.#limits.ports && hub.fits(port)) return hub;
    }
    const hub = new Hub(this.#host, this.#limits, port, () => this.#hubs.delete(hub));
    this.#hubs.add(hub);
    return hub;
  }

  /** Ends all ports, and with them the hubs. */
  close() {
    for (const port of [...this.#ports]) port.leave();
  }
}
