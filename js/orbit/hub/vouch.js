import { LOCAL, TIME } from '../constants.js';
import { Connection } from '../connection.js';

/**
 * Shows the server a token, by a connection that ends with the answer.
 *
 * @param {import('../host.js').Host} host
 * @param {string} url of the server
 * @param {import('../constants.js').TransportName} name of the transport
 * @param {string | undefined} token
 * @returns {Promise<{user?: string, error?: import('../codec.js').WireError}>} who it is of
 */
export function vouch(host, url, name, token) {
  return new Promise(resolve => {
    /** @type {import('../codec.js').WireError | undefined} */
    let refused;
    const trial = new Connection(host.open(url, name), host, {
      opened: () => trial.request({ op: 'connect', token }, reply => {
        refused = reply?.error; // a bye follows
        if (reply === null || refused) return;
        trial.abandon();
        resolve({ user: reply.user });
      }),
      heard: () => {},
      push: () => {},
      ended: ({ message }) => resolve({ error: refused ?? { code: LOCAL.lost, message } }),
    }, { next: 1 }, TIME.open);
  });
}
