// What pages of a browser leave for each other in IndexedDB: a box for each page. Whether a page is
// still there is told by a Web Lock, which the browser takes away when the page ends, however it ends.
// Both are there in secure contexts only (https: or localhost).

const DATABASE = 'orbit';
const STORE = 'unsent';

/**
 * A page's view of what all of them keep in one scope. Entries of a box are numbered by whoever holds
 * it. Whatever fails rejects, and leaves what was kept before as it is.
 *
 * @typedef {object} Shelf
 * @property {() => Promise<string[]>} boxes the names of those that have something in them
 * @property {(box: string) => Promise<boolean>} hold takes a box until this page ends; false: another
 *   page that is alive has it
 * @property {(box: string) => Promise<[number, any][]>} read what is in it, in the order of its numbers
 * @property {(changes: Change[]) => Promise<void>} write all or nothing; it is with the browser when the
 *   call returns, so that a page which is killed then has written it
 * @property {() => void} close lets go of the boxes
 *
 * @typedef {{box: string, number: number, value?: unknown}} Change without a value the entry is removed
 */

/**
 * @param {string} scope
 * @returns {Promise<Shelf>}
 */
export async function openShelf(scope) {
  const { locks } = navigator;
  if (!globalThis.indexedDB || !locks) throw new Error('this page has no IndexedDB or no Web Locks');
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  database.onversionchange = () => database.close(); // another page has a newer library, or clears all
  const holds = new Holds(locks, `${DATABASE}:${STORE}:${scope}:`);
  /** @param {IDBTransactionMode} mode */
  const store = mode => database.transaction(STORE, mode).objectStore(STORE);
  /** @param {IDBValidKey[]} prefix */
  const below = prefix => IDBKeyRange.bound(prefix, [...prefix, []]);
  return {
    async boxes() {
      const keys = /** @type {string[][]} */ (await settled(store('readonly').getAllKeys(below([scope]))));
      return [...new Set(keys.map(([, box]) => box))];
    },
    hold: box => holds.take(box),
    async read(box) {
      const from = store('readonly');
      const range = below([scope, box]);
      const [keys, values] = await Promise.all([settled(from.getAllKeys(range)), settled(from.getAll(range))]);
      return values.map((value, i) => [/** @type {any} */ (keys[i])[2], value]);
    },
    async write(changes) {
      const to = store('readwrite');
      for (const { box, number, value } of changes) {
        const key = [scope, box, number];
        if (value === undefined) to.delete(key);
        else to.put(value, key);
      }
      to.transaction.commit();
      await done(to.transaction);
    },
    close() {
      holds.end();
      database.close(); // when its transactions are done
    },
  };
}

/**
 * The locks of a page. One in the back/forward cache has none, for browsers do not keep a page there
 * that has; when it comes back it takes again what nobody else has taken.
 */
class Holds {
  #locks;
  #prefix;
  /** Those that are held, or were. @type {Set<string>} */
  #names = new Set();
  #release = () => {};
  #released = this.#renew();
  #listening = new AbortController();

  /** @param {LockManager} locks @param {string} prefix of their names */
  constructor(locks, prefix) {
    this.#locks = locks;
    this.#prefix = prefix;
    const { signal } = this.#listening;
    addEventListener('pagehide', () => this.#release(), { signal });
    addEventListener('pageshow', ({ persisted }) => {
      if (!persisted) return;
      this.#released = this.#renew();
      for (const name of this.#names) this.take(name).catch(() => {}); // a box less is no harm
    }, { signal });
  }

  /** @param {string} name @returns {Promise<boolean>} */
  take(name) {
    return new Promise((resolve, reject) => {
      this.#locks.request(this.#prefix + name, { ifAvailable: true }, lock => {
        if (lock) this.#names.add(name);
        resolve(lock !== null);
        return lock ? this.#released : undefined;
      }).catch(reject);
    });
  }

  end() {
    this.#listening.abort();
    this.#release();
  }

  /** @returns {Promise<void>} */
  #renew() {
    return new Promise(resolve => { this.#release = resolve; });
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
function done(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
