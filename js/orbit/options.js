// What a page can give as options, and whether it does. A mistake is a TypeError at once.
import { isOffset } from './codec.js';

/**
 * @typedef {object} OrbitOptions
 * @property {string | (() => string | undefined | PromiseLike<string | undefined>)} [token] who we
 *   are, or a function that fetches it: called again when the server says it has expired. Without
 *   it: the cookie's user, else anonymous
 * @property {string} [app] the application whose channels it is for, and that the token is for: then it
 *   shares its connection with the other Orbits of the page that have one, each with its own token
 * @property {boolean} [shared] true: one connection for all tabs of the browser; false: one of its own
 * @property {string} [client] the name of a durable session, one a device: it has a connection of its own,
 *   and the token is that of the connection
 * @property {'auto' | 'manual'} [ack] whether a message counts as processed when its handlers are
 *   done, or when the page calls its ack(); each channel may have its own
 * @property {'tab' | 'browser'} [resume] goes on where the page before this one was, in the same tab
 *   (also where that was reloaded, or restored), or in the same browser (which is for one page at a
 *   time), with what it had not processed; and with the publishes without an answer of all pages of this
 *   browser that are gone
 * @property {string} [name] tells it from other Orbits of the same page that resume on the same channels, so that
 *   each goes on where it was itself; where a page is for several users, from those of others
 * @property {readonly import('./constants.js').TransportName[]} [transports] which ones may be used, the
 *   preferred one first; by default all: websocket, stream, sse, poll
 *
 * @typedef {object} ChannelOptions
 * @property {number} [after] start after this offset, 0: with the oldest message there is. Without
 *   it: now, or where a durable session stands
 * @property {string} [epoch] of the offset
 * @property {'auto' | 'manual'} [ack] as of the Orbit, for this channel alone
 */

/**
 * The server's address, in full.
 *
 * @param {string | URL} url
 * @returns {URL}
 */
export function serverOf(url) {
  const server = new URL(url);
  if (!/^(http|ws)s?:$/.test(server.protocol)) throw new TypeError(`${url}: a server's address begins with https:// or http://`);
  return server;
}

/** @param {unknown} ack */
export function isManual(ack) {
  if (ack !== 'auto' && ack !== 'manual') throw new TypeError(`ack is "auto" or "manual", not ${ack}`);
  return ack === 'manual';
}

/** @param {ChannelOptions} options */
export function checkStart({ after, epoch }) {
  if (after === undefined) return;
  if (!isOffset(after)) throw new TypeError(`after is an offset, not ${after}`);
  if (after > 0 && !epoch) throw new TypeError('an offset says nothing without its epoch');
}

/**
 * @param {unknown} resume
 * @returns {resume is 'tab' | 'browser'}
 */
export function isPlace(resume) {
  if (resume !== 'tab' && resume !== 'browser') throw new TypeError(`resume is "tab" or "browser", not ${resume}`);
  return true;
}

/** @param {unknown} name */
export function checkName(name) {
  if (name !== undefined && (typeof name !== 'string' || name === '')) throw new TypeError(`name is a text, not ${JSON.stringify(name)}`);
}

/**
 * The start that an event's `lastEventId` is.
 *
 * @param {string} id
 * @returns {ChannelOptions}
 */
export function startOf(id) {
  const [, epoch, offset] = /^([0-9a-f]{16})-([0-9]{1,16})$/.exec(id) ?? [];
  if (id !== '0' && !isOffset(Number(offset))) throw new TypeError(`${JSON.stringify(id)} is no lastEventId`);
  return id === '0' ? { after: 0 } : { after: Number(offset), epoch };
}
