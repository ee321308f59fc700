import { LIMIT, LOCAL } from './constants.js';
import { OrbitError } from './events.js';
import { randomKey } from './host.js';

/**
 * Publishes without an answer, kept in IndexedDB for whichever page comes after this one: with their
 * keys, so that each is stored once, whatever of them the server has seen already. What pages that are
 * gone have left goes to one page that is alive. What is kept and dropped in one turn of the event
 * loop is written at the end of that turn, in one transaction.
 *
 * What cannot be kept (there is no IndexedDB, or no room) is told once, and is then this page's alone.
 *
 * Owned by Outbox.
 *
 * @typedef {object} Unsent
 * @property {string} channel
 * @property {string} key
 * @property {Record<string, unknown>} fields payload and headers, as they are sent
 * @property {number} made when publish was called, Unix milliseconds of this machine
 * @property {number} [first] when it was first sent, by the server's clock
 * @property {string} [by] and as whom; absent: anonymously
 *
 * @typedef {{box: string, number: number}} Place
 */
export class UnsentPublishes {
  #host;
  #scope;
  #failed;
  #box;
  #next = 0;
  /** Nothing is kept any more. */
  #closed = false;
  /** @type {import('./shelf.js').Shelf | null} */
  #shelf = null;
  /** Not written yet; undefined: to be removed. @type {Map<Place, Unsent | undefined>} */
  #changes = new Map();
  #scheduled = false;

  /**
   * @param {import('./host.js').Host} host
   * @param {string | undefined} scope which pages go on with each other's publishes; undefined: none do,
   *   and nothing is kept
   * @param {(error: OrbitError) => void} failed something cannot be kept
   */
  constructor(host, scope, failed) {
    this.#host = host;
    this.#scope = scope;
    this.#failed = failed;
    this.#box = randomKey(host);
  }

  get keeps() {
    return this.#scope !== undefined;
  }

  /**
   * What pages that are gone have left, each page's in its order; it is this page's from now on.
   *
   * @returns {Promise<{place: Place, publish: Unsent}[]>}
   */
  async recall() {
    if (this.#scope === undefined) return [];
    try {
      const shelf = await this.#host.shelf(this.#scope);
      if (this.#closed) {
        shelf.close();
        return [];
      }
      this.#shelf = shelf;
      await shelf.hold(this.#box);
      this.#soon();
      return await this.#left(shelf);
    } catch (error) {
      this.#lose(error);
      return [];
    }
  }

  /**
   * No more than this page may have waiting: the rest is for the next one.
   *
   * @param {import('./shelf.js').Shelf} shelf
   */
  async #left(shelf) {
    const pages = [];
    let count = 0, bytes = 0;
    for (const box of await shelf.boxes()) {
      if (count >= LIMIT.outbox || bytes >= LIMIT.outboxBytes) break;
      if (box === this.#box || !await shelf.hold(box)) continue;
      const left = [];
      for (const [number, publish] of await shelf.read(box)) {
        const place = { box, number };
        if (isUnsent(publish)) left.push({ place, publish });
        else this.drop(place);
        bytes += JSON.stringify(publish ?? '').length;
      }
      count += left.length;
      if (left.length > 0) pages.push(left);
    }
    return pages.sort(([a], [b]) => a.publish.made - b.publish.made).flat();
  }

  /** A place for one more. @returns {Place} */
  place() {
    return { box: this.#box, number: this.#next++ };
  }

  /** @param {Place} place @param {Unsent} publish which replaces what was there */
  keep(place, publish) {
    this.#change(place, publish);
  }

  /** It has its answer. @param {Place} place */
  drop(place) {
    this.#change(place, undefined);
  }

  /** Writes what is to be written, and lets other pages have the rest. */
  close() {
    this.#write();
    this.#closed = true;
    this.#shelf?.close();
    this.#shelf = null;
  }

  /** @param {Place} place @param {Unsent | undefined} publish */
  #change(place, publish) {
    if (this.#scope === undefined || this.#closed) return;
    this.#changes.set(place, publish);
    this.#soon();
  }

  #soon() {
    if (this.#scheduled || this.#shelf === null) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#write());
  }

  #write() {
    this.#scheduled = false;
    if (this.#shelf === null || this.#changes.size === 0) return;
    const changes = [...this.#changes].map(([place, value]) => ({ ...place, value }));
    this.#changes.clear();
    this.#shelf.write(changes).catch(error => this.#lose(error));
  }

  /** @param {unknown} error */
  #lose(error) {
    if (this.#closed) return;
    this.#closed = this.#shelf === null;
    this.#changes.clear();
    const failed = this.#failed;
    this.#failed = () => {};
    failed(new OrbitError(LOCAL.notKept, `publishes without an answer are not kept for the next page: ${error}`));
  }
}

/** @param {any} value @returns {value is Unsent} */
function isUnsent(value) {
  return typeof value?.channel === 'string' && typeof value.key === 'string' && typeof value.made === 'number'
    && typeof value.fields === 'object' && value.fields !== null;
}
