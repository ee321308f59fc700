// What the library needs from around it, in one place, so that tests can put their own there.
import { openWebSocket } from './transport/websocket.js';

/**
 * The surface of a WebSocket: what every transport has, and all that a session knows of one.
 *
 * @typedef {object} Transport
 * @property {((event: any) => any) | null} onopen
 * @property {((event: any) => any) | null} onmessage its event has the text in `data`
 * @property {((event: any) => any) | null} onclose its event has `code` and `reason`
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 */

/**
 * @typedef {object} Host
 * @property {(url: string) => Transport} open opens a transport to the server at this address
 * @property {() => number} now milliseconds of a clock that never goes back
 * @property {() => number} random at least 0, below 1: for waiting times, not for keys
 * @property {(bytes: Uint8Array<ArrayBuffer>) => Uint8Array} fill fills bytes at random, unguessably
 * @property {(callback: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {(callback: () => void) => () => void} online calls back when the network returned,
 *   until the returned function is called
 */

/** @type {Host} */
export const host = {
  open: openWebSocket,
  now: () => performance.now(),
  random: () => Math.random(),
  fill: bytes => crypto.getRandomValues(bytes),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: timer => clearTimeout(timer),
  online(callback) {
    globalThis.addEventListener?.('online', callback);
    return () => globalThis.removeEventListener?.('online', callback);
  },
};

/**
 * A key of 128 random bits.
 *
 * @param {Host} on
 * @returns {string}
 */
export function randomKey(on) {
  return Array.from(on.fill(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
}
