import { isOffset } from './codec.js';

/** `epoch-offset`, and `+offset` for each message above it that has been processed before the one below. */
const FORM = /^([0-9a-f]{16})-([0-9]{1,16}(?:\+[0-9]{1,16})*)$/;

/**
 * Where the page stands on each channel, kept for the page that comes after it: what was processed, so
 * a page that is killed in the middle of a handler sees that message again, and one that has finished
 * does not.
 *
 * In sessionStorage or localStorage rather than IndexedDB: it is read before the first subscription, which
 * must not wait; the write of one finished message replaces the one before it; and a tab's is the tab's own,
 * also where two tabs show the same page. It is written when the handler has finished and before anything
 * else of the page runs.
 *
 * Owned by Orbit.
 */
export class Cursors {
  #storage;
  #prefix;

  /** @param {import('./host.js').Kept | null} storage @param {string} url of the server */
  constructor(storage, url) {
    this.#storage = storage;
    this.#prefix = `orbit:cursor:${url}:`;
  }

  /**
   * @param {string} channel
   * @returns {import('./subscription.js').Start | undefined} undefined: nothing that can be used is kept
   */
  recall(channel) {
    const [, epoch, offsets] = FORM.exec(this.#storage?.get(this.#prefix + channel) ?? '') ?? [];
    const [after, ...beyond] = (offsets ?? '').split('+').map(Number);
    return epoch !== undefined && isOffset(after) && beyond.every(isOffset) ? { after, epoch, beyond } : undefined;
  }

  /** @param {string} channel @param {import('./subscription.js').Start | undefined} processed */
  keep(channel, processed) {
    if (processed?.epoch === undefined) return;
    const { epoch, after, beyond = [] } = processed;
    this.#storage?.set(this.#prefix + channel, `${epoch}-${[after, ...beyond].join('+')}`);
  }
}
