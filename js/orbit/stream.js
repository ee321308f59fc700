/**
 * One `for await` over a channel's messages. A message counts as processed when the loop asks for
 * the next one, so a slow loop holds its channel's window, and the queue here stays below it: what
 * is not acknowledged keeps the server from sending more.
 *
 * Made by Channel; ends with the loop, or when the channel ends.
 *
 * @implements {AsyncIterableIterator<import('./events.js').OrbitMessage>}
 */
export class Stream {
  /** @type {import('./events.js').OrbitMessage[]} */
  #queue = [];
  /** @type {((result: IteratorResult<import('./events.js').OrbitMessage, undefined>) => void)[]} */
  #waiting = [];
  /** @type {import('./events.js').OrbitMessage | undefined} the loop's body has it */
  #current;
  #ended = false;
  #left;

  /** @param {(stream: Stream, rest: import('./events.js').OrbitMessage[]) => void} left
   *   called when the loop ends by itself, with what it did not take, still held */
  constructor(left) {
    this.#left = left;
  }

  /** @param {import('./events.js').OrbitMessage} message */
  push(message) {
    message.hold();
    this.#queue.push(message);
    this.#serve();
  }

  /** The channel is over: the loop gets what is left, and ends. */
  end() {
    this.#ended = true;
    this.#serve();
  }

  /** @returns {Promise<IteratorResult<import('./events.js').OrbitMessage, undefined>>} */
  next() {
    this.#release();
    return new Promise(resolve => {
      this.#waiting.push(resolve);
      this.#serve();
    });
  }

  /** @returns {Promise<IteratorResult<import('./events.js').OrbitMessage, undefined>>} */
  async return() {
    this.#release();
    this.#left(this, this.#queue.splice(0));
    this.end();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  #serve() {
    while (this.#waiting.length > 0 && this.#queue.length > 0) {
      this.#release();
      this.#current = this.#queue.shift();
      this.#waiting.shift()?.({ value: /** @type {any} */ (this.#current), done: false });
    }
    if (!this.#ended || this.#queue.length > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve({ value: undefined, done: true });
  }

  #release() {
    this.#current?.release();
    this.#current = undefined;
  }
}
