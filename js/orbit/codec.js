// Between the wire's text and objects. Pure: no state, no I/O.
import { LIMIT } from './constants.js';

/**
 * @typedef {{code: string, message: string}} WireError
 * @typedef {{after: number, to: number, reason: string}} Gap
 * @typedef {{ch: string, o: number, p: number, t: number, by?: string, d?: any, b?: string,
 *   ct?: string, h?: Record<string, string>, r?: boolean}} WireMessage
 * @typedef {{re: number, error?: WireError, offset?: number, epoch?: string, duplicate?: boolean,
 *   messages?: WireMessage[], more?: boolean, session?: string, secret?: string,
 *   resumed?: boolean, now?: number, user?: string, ttl?: number, ping?: number, window?: number,
 *   max?: number, transport?: string, subs?: Record<string, {offset?: number, error?: WireError}>}} Reply
 * @typedef {{op: string, id?: number, [field: string]: any}} Command
 * @typedef {{kind: 'reply' | 'message' | 'at' | 'gap' | 'revoked' | 'bye' | 'ping' | 'pong' |
 *   'error' | 'session' | 'other', frame: any}} Incoming
 */

/**
 * Reads one text message: JSON objects, one a line. Throws where a line is not an object.
 *
 * @param {string} text
 * @returns {Incoming[]}
 */
export function decode(text) {
  return text.split('\n').filter(line => line.trim() !== '').map(line => {
    const frame = JSON.parse(line);
    if (frame === null || typeof frame !== 'object' || Array.isArray(frame)) {
      throw new SyntaxError('a line that is not a JSON object');
    }
    return { kind: kindOf(frame), frame };
  });
}

/**
 * What a frame is. A kind that this version does not know is 'other', and is ignored; 'session' is said
 * by a transport of ours that has got a new secret.
 *
 * @param {any} frame
 * @returns {Incoming['kind']}
 */
function kindOf(frame) {
  if ('re' in frame) return 'reply';
  if (typeof frame.ch === 'string') {
    if (isOffset(frame.o)) return 'message';
    if (isOffset(frame.at)) return 'at';
    if (frame.gap && isOffset(frame.gap.to)) return 'gap';
    return frame.revoked ? 'revoked' : 'other';
  }
  if (frame.bye) return 'bye';
  if (frame.op === 'ping' || frame.op === 'pong') return frame.op;
  if (frame.error) return 'error';
  return frame.session && frame.secret ? 'session' : 'other';
}

/**
 * @param {Command} command
 * @returns {string}
 */
export function encode(command) {
  return JSON.stringify(command);
}

/**
 * The bytes of a text in UTF-8.
 *
 * @param {string} text
 * @returns {number}
 */
export function size(text) {
  return new TextEncoder().encode(text).length;
}

/**
 * @param {unknown} n
 * @returns {n is number}
 */
export function isOffset(n) {
  return Number.isSafeInteger(n) && /** @type {number} */ (n) >= 0;
}

const NAME = /^(\/\$?[A-Za-z0-9\-_.~@:+=,!]*)+$/;

/**
 * Whether a name could be a channel's: whether there is one, and for whom, only the server knows.
 * Segments of one or two dots are none: they mean folders to everything else that sees a path.
 *
 * @param {unknown} name
 * @returns {name is string}
 */
export function isChannel(name) {
  return typeof name === 'string' && name.length <= LIMIT.channelBytes && NAME.test(name)
    && !name.split('/').some((segment, i) => segment === '.' || segment === '..' || (segment === '' && i > 0));
}

/**
 * Whether it is one segment, of which applications' names are.
 *
 * @param {unknown} name
 * @returns {name is string}
 */
export function isApp(name) {
  return typeof name === 'string' && isChannel(`/${name}`) && !/[/$]/.test(name);
}

/**
 * The fields of a publish for a payload: `data` for JSON, `b` and `ct` for bytes. They are a copy:
 * what the page changes afterwards does not change what is sent again.
 *
 * @param {any} payload
 * @param {string} [type] the media type of bytes
 * @returns {{data: any} | {b: string, ct: string}}
 */
export function encodePayload(payload, type = 'application/octet-stream') {
  if (payload instanceof ArrayBuffer) return { b: toBase64(new Uint8Array(payload)), ct: type };
  if (ArrayBuffer.isView(payload)) {
    const { buffer, byteOffset, byteLength } = payload;
    return { b: toBase64(new Uint8Array(buffer, byteOffset, byteLength)), ct: type };
  }
  const text = JSON.stringify(payload);
  if (text === undefined) throw new TypeError('the payload is not a JSON value');
  return { data: JSON.parse(text) };
}

/**
 * The payload of a message. Throws where `b` is not base64.
 *
 * @param {WireMessage} message
 * @returns {any}
 */
export function decodePayload(message) {
  if (message.b === undefined) return message.d;
  return Uint8Array.from(atob(message.b), c => c.charCodeAt(0));
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toBase64(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
