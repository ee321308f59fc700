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
 * @property {(page: Page) => () => void} watch tells what happens to the page, until the returned
 *   function is called
 *
 * @typedef {object} Page
 * @property {() => void} awake the network returned, or the page is looked at again: timers may
 *   have slept
 * @property {() => void} left the page may be frozen (the back/forward cache), or is gone
 * @property {() => void} back it was frozen, and goes on
 */

/** @type {Host} */
export const host = {
  open: openWebSocket,
  now: () => performance.now(),
  random: () => Math.random(),
  fill: bytes => crypto.getRandomValues(bytes),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: timer => clearTimeout(timer),
  watch({ awake, left, back }) {
    const target = /** @type {EventTarget} */ (globalThis);
    if (typeof target.addEventListener !== 'function') return () => {};
    const listening = new AbortController();
    /** @param {string} type @param {(event: any) => void} listener */
    const on = (type, listener) => target.addEventListener(type, listener, { signal: listening.signal });
    on('online', awake);
    on('pagehide', left);
    on('pageshow', ({ persisted }) => persisted && back());
    globalThis.document?.addEventListener('visibilitychange',
      () => document.visibilityState === 'visible' && awake(), { signal: listening.signal });
    return () => listening.abort();
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
