// Who lives, as locks tell it: a browser lets go of those of a page or a worker the moment that it ends,
// however that is. They exist in secure contexts alone.

/** @returns {LockManager | undefined} */
export function locks() {
  return globalThis.navigator?.locks;
}

/**
 * Holds a lock of a name that nobody else has.
 *
 * @param {string} name
 * @param {() => void} held
 * @returns {() => void} lets go of it
 */
export function hold(name, held) {
  /** @type {() => void} */
  let release = () => {};
  const released = new Promise(resolve => { release = () => resolve(undefined); });
  locks()?.request(name, () => {
    held();
    return released;
  }).catch(() => {}); // the page is not there any more
  return release;
}

/**
 * Waits for the end of whoever holds a lock.
 *
 * @param {string} name
 * @param {() => void} gone
 * @returns {() => void} waits no more
 */
export function whenGone(name, gone) {
  const waiting = new AbortController();
  locks()?.request(name, { signal: waiting.signal }, () => { if (!waiting.signal.aborted) gone(); }).catch(() => {});
  return () => waiting.abort();
}
