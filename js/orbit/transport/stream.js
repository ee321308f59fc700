import { PATH } from '../constants.js';
import { Downstream } from './downstream.js';

/**
 * Opens a stream: NDJSON in the answer to a POST that never ends.
 *
 * @param {string} server
 * @returns {Downstream}
 */
export function openStream(server) {
  return new Downstream(server, PATH.stream, 'application/x-ndjson', line => line);
}
