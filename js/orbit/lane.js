import { LIMIT } from './constants.js';

/** @typedef {import('./events.js').OrbitError} OrbitError */

/**
 * A publish that waits for its answer.
 *
 * @typedef {object} Item
 * @property {string} key
 * @property {Record<string, unknown>} fields payload and headers, as they are sent
 * @property {number} size of the fields, about as many bytes
 * @property {number} made when publish was called, Unix milliseconds of this machine
 * @property {number} [first] when it was first sent, by the server's clock
 * @property {string} [by] and as whom; undefined: anonymously
 * @property {import('./unsent.js').Place} place where it is kept
 * @property {boolean} left by an earlier page
 * @property {boolean} sent on this connection, and not answered yet
 * @property {boolean} behind refused because its predecessor is not stored: that one goes first
 * @property {(result: {offset: number, epoch: string, duplicate: boolean}) => void} resolve
 * @property {(error: OrbitError) => void} reject
 */

/**
 * @param {Pick<Item, 'key' | 'fields' | 'made' | 'first' | 'by' | 'place' | 'left' | 'resolve' | 'reject'>} publish
 * @returns {Item}
 */
export function makeItem(publish) {
  return { ...publish, size: JSON.stringify(publish.fields).length, sent: false, behind: false };
}

/**
 * The publishes of one channel that are not answered yet, in their order. Each names the one before
 * it (`prev`) as long as that one is here: so the server refuses what would overtake it.
 *
 * Owned by Outbox.
 */
export class Lane {
  /** @type {Item[]} */
  items = [];
  /** Passing failures in a row. */
  failures = 0;
  /** @type {any} nothing is sent while it runs */
  timer = null;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  /**
   * What may be sent now, in order: all up to the window's end, or to one that was refused and has
   * a predecessor here, whose answer it waits for.
   *
   * @returns {{item: Item, prev: string | undefined}[]}
   */
  ready() {
    const ready = [];
    for (let i = 0; i < Math.min(this.items.length, LIMIT.outstanding); i++) {
      const item = this.items[i];
      if (item.behind && i > 0) break;
      if (!item.sent) ready.push({ item, prev: this.items[i - 1]?.key });
    }
    return ready;
  }

  /** @param {Item} item */
  isFirst(item) {
    return this.items[0] === item;
  }

  /** @param {Item} item which has its answer: those behind it may go */
  remove(item) {
    this.items.splice(this.items.indexOf(item), 1);
    for (const other of this.items.slice(0, LIMIT.outstanding)) other.behind = false;
  }

  /** The connection ended: everything is to be sent again. */
  lost() {
    for (const item of this.items) item.sent = item.behind = false;
  }
}
