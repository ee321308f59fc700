/**
 * @typedef {import('./events.js').OrbitEvent} OrbitEvent
 * @typedef {(event: OrbitEvent) => unknown} Handler
 */

/** What can be heard of an Orbit and of a channel: what happens on a channel is told there, then on its Orbit. */
export class Target extends EventTarget {
  /** The connection is there, as `user`; or a channel is subscribed, from `offset` and `epoch`. @type {Handler | null} */
  onopen = null;
  /** It is lost. It comes back by itself, unless it is an Orbit's and there is no `retry`. @type {Handler | null} */
  onclose = null;
  /** Messages of a channel are missing for good: those above `after` up to `to`. @type {Handler | null} */
  ongap = null;
  /** A channel may not be read any more. @type {Handler | null} */
  onrevoked = null;
  /** Something has failed that no promise tells: `code` and `message` say what. @type {Handler | null} */
  onerror = null;
  /** The `state` is another one. @type {Handler | null} */
  onstate = null;

  /**
   * @param {string} type
   * @param {((event: any) => void) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @override
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
  }
}
