/**
 * Publishes without an answer, kept for the page that comes after this one: with their keys, so that
 * they are stored once, whatever of them the server has seen already. Each is written before publish
 * returns. What does not fit into the storage is kept by this page alone.
 *
 * Owned by Outbox.
 *
 * @typedef {{channel: string, key: string, fields: Record<string, unknown>, first?: number}} Unsent
 */
export class UnsentPublishes {
  #storage;
  #prefix;
  #next = 0;

  /** @param {import('./host.js').Kept | null} storage @param {string} url of the server */
  constructor(storage, url) {
    this.#storage = storage;
    this.#prefix = `orbit:unsent:${url}:`;
  }

  /**
   * What an earlier page has left, in its order.
   *
   * @returns {{place: number, publish: Unsent}[]}
   */
  recall() {
    const places = (this.#storage?.keys() ?? []).filter(key => key.startsWith(this.#prefix))
      .map(key => Number(key.slice(this.#prefix.length))).filter(Number.isSafeInteger).sort((a, b) => a - b);
    this.#next = (places.at(-1) ?? -1) + 1;
    return places.flatMap(place => {
      const publish = parse(this.#storage?.get(this.#prefix + place));
      return publish ? [{ place, publish }] : [];
    });
  }

  /** @param {Unsent} publish @param {number} [place] of what is kept already @returns {number} its place */
  keep(publish, place = this.#next++) {
    this.#storage?.set(this.#prefix + place, JSON.stringify(publish));
    return place;
  }

  /** It has its answer. @param {number} place */
  drop(place) {
    this.#storage?.remove(this.#prefix + place);
  }
}

/** @param {string | null | undefined} text @returns {Unsent | undefined} */
function parse(text) {
  try {
    const publish = JSON.parse(text ?? '');
    return typeof publish.channel === 'string' && typeof publish.key === 'string' ? publish : undefined;
  } catch {
    return undefined;
  }
}
