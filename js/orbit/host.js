// What the library needs from around it, in one place, so that tests can put their own there.
import { CODE, PATH } from './constants.js';
import { OrbitError } from './events.js';
import { openShelf } from './shelf.js';
import { address } from './transport/address.js';
import { errorOf, post } from './transport/http.js';
import { openPoll } from './transport/poll.js';
import { openSSE } from './transport/sse.js';
import { openStream } from './transport/stream.js';
import { openWebSocket } from './transport/websocket.js';

/**
 * The surface of a WebSocket: what every transport has, and all that a session knows of one.
 *
 * @typedef {object} Transport
 * @property {((event: any) => any) | null} onopen
 * @property {((event: any) => any) | null} onmessage its event has the text in `data`
 * @property {((event: any) => any) | null} onclose its event has `code` and `reason`
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close acknowledgements that were sent before go out
 * @property {boolean} [oneWay] what goes up does not show the server that what comes down arrives: it
 *   asks by itself and wants no answer
 */

/**
 * @typedef {object} Host
 * @property {(url: string, name: import('./constants.js').TransportName) => Transport} open opens a
 *   transport to the server at this address
 * @property {(url: string) => Promise<void>} renew renews the cookie of a login; an OrbitError says that
 *   it has ended
 * @property {(name: import('./constants.js').TransportName) => boolean} supports whether there could be one
 * @property {() => number} now milliseconds of a clock that never goes back
 * @property {() => number} date Unix milliseconds, as the machine has them
 * @property {(place: 'tab' | 'browser') => Kept} storage what pages of this tab, or of this browser, keep for each
 *   other; where there is none, nothing is
 * @property {(scope: string) => Promise<import('./shelf.js').Shelf>} shelf what pages of this browser leave
 *   for each other, and any of them takes; it rejects where that cannot be
 * @property {() => number} random at least 0, below 1: for waiting times, not for keys
 * @property {(bytes: Uint8Array<ArrayBuffer>) => Uint8Array} fill fills bytes at random, unguessably
 * @property {(callback: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {(page: Page) => () => void} watch tells what happens to the page, until the returned
 *   function is called
 *
 * @typedef {object} Kept none of it throws: what cannot be kept is not
 * @property {(key: string) => string | null} get
 * @property {(key: string, value: string) => boolean} set false: it is not kept, and what was before it still is
 * @property {(key: string) => boolean} hold false: another Orbit of this page has the key, and has not released it
 * @property {(key: string) => void} release
 *
 * @typedef {object} Page
 * @property {() => void} online the network returned, maybe another one
 * @property {() => void} awake the page is looked at again, when timers may have slept, or the network
 *   is said to be gone: what looks open may be dead
 * @property {() => void} left the page may be frozen (the back/forward cache), or is gone
 * @property {() => void} back it was frozen, and goes on
 */

/** @type {Record<import('./constants.js').TransportName, (url: string) => Transport>} */
const openers = { websocket: openWebSocket, stream: openStream, sse: openSSE, poll: openPoll };

/**
 * Storage may be missing, full or forbidden; the very look at it can throw.
 *
 * @template T
 * @param {() => T} access
 */
function tried(access) {
  try {
    return access();
  } catch {
    return undefined;
  }
}

/** What Orbits of this page hold: a place and a key. @type {Set<string>} */
const held = new Set();

/**
 * A look at Node's storages may warn or throw, so only a page looks.
 *
 * @param {'tab' | 'browser'} place
 * @returns {Kept}
 */
function kept(place) {
  const storage = tried(() => globalThis.document && (place === 'tab' ? globalThis.sessionStorage : globalThis.localStorage));
  return {
    get: key => tried(() => storage?.getItem(key)) ?? null,
    set: (key, value) => tried(() => { storage?.setItem(key, value); return Boolean(storage); }) ?? false,
    hold: key => !held.has(`${place} ${key}`) && Boolean(held.add(`${place} ${key}`)),
    release: key => { held.delete(`${place} ${key}`); },
  };
}

/** @type {Host} */
export const host = {
  open: (url, name) => openers[name](url),
  async renew(url) {
    const response = await post(address(url, PATH.refresh), []);
    if (response.ok) return;
    const { code, message } = await errorOf(response);
    if (code === CODE.unauthorized) throw new OrbitError(code, message);
    throw new Error(message);
  },
  supports: name => typeof (name === 'websocket' ? globalThis.WebSocket : globalThis.fetch) === 'function',
  now: () => performance.now(),
  date: () => Date.now(),
  storage: kept,
  shelf: openShelf,
  random: () => Math.random(),
  fill: bytes => crypto.getRandomValues(bytes),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: timer => clearTimeout(timer),
  watch({ online, awake, left, back }) {
    const target = /** @type {EventTarget} */ (globalThis);
    if (typeof target.addEventListener !== 'function') return () => {};
    const listening = new AbortController();
    /** @param {string} type @param {(event: any) => void} listener */
    const on = (type, listener) => target.addEventListener(type, listener, { signal: listening.signal });
    on('online', online);
    on('offline', awake);
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
