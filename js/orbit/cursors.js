/**
 * Where the page stands on each channel, kept for the page that comes after it: what was processed, so
 * a page that is killed in the middle of a handler sees that message again, and one that has finished
 * does not. It is written at once and synchronously, for a killed page has no later.
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
   * @returns {{after: number, epoch: string} | undefined} undefined: nothing that can be used is kept
   */
  recall(channel) {
    const [, epoch, offset] = /^([0-9a-f]{16})-([0-9]{1,16})$/.exec(this.#storage?.get(this.#prefix + channel) ?? '') ?? [];
    const after = Number(offset);
    return epoch !== undefined && Number.isSafeInteger(after) ? { after, epoch } : undefined;
  }

  /** @param {string} channel @param {{after: number, epoch?: string} | undefined} start */
  keep(channel, start) {
    if (start?.epoch === undefined) return;
    this.#storage?.set(this.#prefix + channel, `${start.epoch}-${start.after}`);
  }
}
