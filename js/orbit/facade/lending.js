/**
 * Channels that stand behind facades. A channel is one subscription however many use it, so it is closed
 * when the last facade has gone, unless the page has asked for it itself.
 *
 * @typedef {import('../channel.js').Channel} Channel
 * @typedef {{channel: Channel, done: () => void}} Loan
 */
export class Lending {
  /** How many facades use it. @type {Map<Channel, number>} */
  #users = new Map();
  /** The page's own. @type {WeakSet<Channel>} */
  #owned = new WeakSet();

  /** @param {Channel} channel that is given to the page @returns {Channel} */
  own(channel) {
    this.#owned.add(channel);
    return channel;
  }

  /** @param {Channel} channel @returns {Loan} done is called once, at the facade's end */
  lend(channel) {
    this.#users.set(channel, (this.#users.get(channel) ?? 0) + 1);
    return {
      channel,
      done: () => {
        const users = (this.#users.get(channel) ?? 0) - 1;
        if (users > 0) {
          this.#users.set(channel, users);
        } else {
          this.#users.delete(channel);
          if (!this.#owned.has(channel)) channel.close();
        }
      },
    };
  }
}
