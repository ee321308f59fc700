// What the transports that are HTTP calls have in common.
import { CODE, LIMIT, RETRIED } from '../constants.js';
import { size } from '../codec.js';

/** As WebSocket has it: the connection was lost (RFC 6455, section 7.1.5). */
export const ABNORMAL = 1006;

/**
 * Sends commands, one a line. A text body without a type of its own is what a page may send to
 * another origin without asking first (Fetch, "CORS-safelisted request-header").
 *
 * @param {URL} url
 * @param {string[]} commands
 * @param {RequestInit} [more]
 * @returns {Promise<Response>}
 */
export function post(url, commands, more) {
  return fetch(url, {
    method: 'POST', body: commands.join('\n'), cache: 'no-store', credentials: 'include', redirect: 'error', ...more,
  });
}

/**
 * The headers of a call to /v1/send: the session, and whose it is where its connect has said so, for each call
 * says it anew.
 *
 * @param {{session: string, secret: string}} names
 * @param {string} [token] of the connect; without it the user is that of the cookie, or nobody
 * @returns {Record<string, string>}
 */
export function naming({ session, secret }, token) {
  const names = { 'Orbit-Session': session, 'Orbit-Secret': secret };
  return token === undefined ? names : { ...names, Authorization: `Bearer ${token}` };
}

/**
 * What an answer other than the one that was hoped for says: an error of the server, or only that
 * something else has answered.
 *
 * @param {Response} response
 * @returns {Promise<{code?: string, message: string}>}
 */
export async function errorOf(response) {
  try {
    const { error } = await response.json();
    if (typeof error.code === 'string') return { code: error.code, message: String(error.message) };
  } catch { /* not the server's */ }
  return { message: `something other than orbitd has answered, with status ${response.status}` };
}

/**
 * A call was refused for good: the lines that say so on a transport that is a connection.
 *
 * @param {{code?: string, message: string}} error
 * @param {number} id of the connect
 * @returns {string[] | null} null: it may be tried again
 */
export function refusal({ code, message }, id) {
  if (code === undefined || RETRIED.includes(code)) return null;
  return [JSON.stringify({ re: id, error: { code, message } }), JSON.stringify({ bye: { code } })];
}

/**
 * What of a queue may still go out when its connection is closed: that may reach the server when the
 * session has the next one, where anything but an acknowledgement would be out of its order.
 *
 * @param {string[]} queue
 * @returns {string[]}
 */
export function farewell(queue) {
  return queue.filter(text => text.startsWith('{"op":"ack"'));
}

/**
 * The histories among commands that an answer had no room for: the next one has.
 *
 * @param {string[]} commands
 * @param {any[]} frames of the answer
 * @returns {{text: string, id: number}[]}
 */
export function leftOut(commands, frames) {
  const refused = new Set(frames.filter(({ error }) => error?.code === CODE.rateLimited).map(({ re }) => re));
  if (refused.size === 0) return [];
  return commands.map(text => ({ text, ...JSON.parse(text) })).filter(({ op, id }) => op === 'history' && refused.has(id));
}

/**
 * Takes from a queue what goes into one body.
 *
 * @param {string[]} queue
 * @returns {string[]}
 */
export function takeBody(queue) {
  let bytes = 0;
  let count = 0;
  while (count < queue.length && (bytes += size(queue[count]) + 1) <= LIMIT.bodyBytes) count++;
  return queue.splice(0, Math.max(count, 1));
}
