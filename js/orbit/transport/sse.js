import { PATH } from '../constants.js';
import { Downstream } from './downstream.js';

/**
 * Opens a stream of events. It is read by fetch, for an EventSource can send nothing; what it has
 * beyond a stream is its media type, for which some proxies do not buffer. Each object is the one
 * `data` line of its event, and says itself what it is (PROTOCOL.md, section 7).
 *
 * @param {string} server
 * @returns {Downstream}
 */
export function openSSE(server) {
  return new Downstream(server, PATH.sse, 'text/event-stream',
    line => line.startsWith('data:') ? line.slice('data:'.length) : '');
}
