/**
 * What lies between an Orbit and the registry of hubs, wherever that is: in the same page, in a worker or
 * in another tab. It keeps the order, and has the surface of a MessagePort.
 *
 * Up go `{open: n, hello}`, `{n, text}`, `{close: n}` and, at last, `{gone: true}`; down come `{opened: n}`,
 * `{n, text}`, `{end: n, reason, own}` and, where the registry ends first, `{gone: true}`. Each connection of the Orbit has its number n, so that what comes
 * late of one is not taken for the next one's.
 *
 * @typedef {object} Pipe
 * @property {(message: any) => void} post
 * @property {((message: any) => void) | null} onmessage
 * @property {() => void} close nothing comes any more
 *
 * @typedef {object} Hello what a connection is to be
 * @property {string} url of the server
 * @property {readonly string[]} names of the transports that it may use
 * @property {string} [app] the application whose channels it is for; without it: all
 * @property {boolean} [anew] the page is someone else now: not over a connection that is there already
 */

/**
 * The two ends of a pipe within a page. What is posted arrives when the caller is done.
 *
 * @returns {[Pipe, Pipe]}
 */
export function pipes() {
  /** @returns {Pipe} */
  const end = () => ({ post: () => {}, onmessage: null, close() { this.onmessage = null; } });
  const ends = /** @type {[Pipe, Pipe]} */ ([end(), end()]);
  ends[0].post = message => queueMicrotask(() => ends[1].onmessage?.(message));
  ends[1].post = message => queueMicrotask(() => ends[0].onmessage?.(message));
  return ends;
}
