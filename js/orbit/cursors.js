import { LOCAL } from './constants.js';
import { isOffset } from './codec.js';
import { OrbitError } from './events.js';

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
 * A place is one Orbit's of a page: of two that have no names, or the same, the one that was first keeps it. The
 * other one begins there, too, for that is nearer to where it was than anything else that is known.
 *
 * Tabs that are open at the same time share the place of their browser: it is where the one stands that is furthest.
 *
 * Owned by Orbit.
 */
export class Cursors {
  #storage;
  #url;
  #name;
  #failed;
  /** The channels on which it keeps its place, and what is kept as far as it knows. @type {Map<string, string | null>} */
  #mine = new Map();
  /** That there is no storage, or no room. */
  #told = false;

  /**
   * @param {import('./host.js').Kept | null} storage null: no place is to be kept
   * @param {string} url of the server
   * @param {string} [name] what tells the Orbit from others of its page
   * @param {(error: OrbitError) => void} [failed] a place cannot be kept
   */
  constructor(storage, url, name, failed = () => {}) {
    this.#storage = storage;
    this.#url = url;
    this.#name = name;
    this.#failed = failed;
  }

  /** @param {string} channel @returns {string} no channel has a space in its name */
  #key(channel) {
    return `orbit:cursor:${this.#url}:${channel}${this.#name === undefined ? '' : ` ${this.#name}`}`;
  }

  /** The Orbit reads it from now on. @param {string} channel */
  hold(channel) {
    if (this.#storage === null || this.#mine.has(channel)) return;
    if (this.#storage.hold(this.#key(channel))) {
      this.#mine.set(channel, this.#storage.get(this.#key(channel)));
      return;
    }
    const why = `another Orbit of this page keeps its place on ${channel}, where this one begins, too`;
    this.#failed(new OrbitError(LOCAL.notKept, `${why}: give each a name of its own (option "name")`, channel));
  }

  /** And no more. @param {string} channel */
  release(channel) {
    if (this.#mine.delete(channel)) this.#storage?.release(this.#key(channel));
  }

  /**
   * @param {string} channel
   * @returns {import('./subscription.js').Start | undefined} undefined: nothing that can be used is kept
   */
  recall(channel) {
    const [, epoch, offsets] = FORM.exec(this.#storage?.get(this.#key(channel)) ?? '') ?? [];
    const [after, ...beyond] = (offsets ?? '').split('+').map(Number);
    return epoch !== undefined && isOffset(after) && beyond.every(isOffset) ? { after, epoch, beyond } : undefined;
  }

  /** @param {string} channel @param {import('./subscription.js').Start | undefined} processed */
  keep(channel, processed) {
    if (processed?.epoch === undefined || !this.#mine.has(channel)) return;
    if (this.#storage === null || this.#isBehind(channel, processed)) return;
    const { epoch, after, beyond = [] } = processed;
    const place = `${epoch}-${[after, ...beyond].join('+')}`;
    this.#mine.set(channel, place);
    if (this.#storage.set(this.#key(channel), place) || this.#told) return;
    this.#told = true;
    const why = 'where this page stands is not kept for the next one: the browser has no storage for it, or no room in it';
    this.#failed(new OrbitError(LOCAL.notKept, why, channel));
  }

  /**
   * Whether another tab has kept a place meanwhile that is further. Where that is of another run of the server, it
   * is a later one if this tab has kept nothing yet but of its own run.
   *
   * @param {string} channel
   * @param {import('./subscription.js').Start} place
   */
  #isBehind(channel, { epoch, after = 0 }) {
    const mine = this.#mine.get(channel);
    if (this.#storage?.get(this.#key(channel)) === mine) return false;
    const other = this.recall(channel);
    if (other?.epoch === epoch) return (other?.after ?? 0) > after;
    return other !== undefined && Boolean(mine?.startsWith(`${epoch}-`));
  }
}
