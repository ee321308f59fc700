/**
 * A port's subscription: where it stands, and what it has been sent and has not acknowledged. It is
 * sent no more than a window, so one that takes nothing costs no memory. Made by Port, owned by Feed.
 */
export class Reader {
  port;
  /** @type {number | undefined} undefined: it starts where the server stands when it is asked */
  position;
  /** Of the position, until it is known to be of the server's history. @type {string | undefined} */
  epoch;
  /** The feed's turn in which it was asked where the server stands. */
  asked = 0;
  /** The feed's last turn that had something for it. */
  served = 0;

  /** It has had little room for a while. */
  waited = false;

  #limits;
  #say;
  #answer;
  #answered = false;
  /** Whether it is to be told the end of its replay. */
  #replays;
  /** @type {{to: number, length: number}[]} */
  #open = [];
  #length = 0;

  /**
   * @param {import('./port.js').Port} port
   * @param {import('../constants.js').Limits} limits
   * @param {{after?: number, epoch?: string}} start
   * @param {(line: string) => void} say
   * @param {(result: {offset?: number, epoch?: string, error?: import('../codec.js').WireError}) => void} answer
   *   called once
   */
  constructor(port, limits, { after, epoch }, say, answer) {
    this.port = port;
    this.#limits = limits;
    this.position = after;
    this.epoch = after === 0 ? undefined : epoch;
    this.#replays = after !== undefined;
    this.#say = say;
    this.#answer = answer;
  }

  get answered() {
    return this.#answered;
  }

  /** @param {{offset?: number, epoch?: string, error?: import('../codec.js').WireError}} result */
  answer(result) {
    if (this.#answered) return;
    this.#answered = true;
    this.#answer(result);
  }

  /** Whether it stands somewhere that can be compared with where the feed is. */
  get placed() {
    return this.position !== undefined && this.epoch === undefined;
  }

  /** Whether it may be sent something. */
  get room() {
    return this.#open.length < this.#limits.window && this.#length < this.#limits.readerLength;
  }

  /** Whether it has room enough to go back to the server for it, or none that it waits for. */
  get hungry() {
    return this.waited && this.room
      || this.#open.length <= this.#limits.window / 2 && this.#length <= this.#limits.readerLength / 2;
  }

  /** @param {import('./ring.js').Step} step */
  send({ to, line }) {
    this.position = to;
    this.epoch = undefined;
    this.#open.push({ to, length: line.length });
    this.#length += line.length;
    this.#say(line);
  }

  /** It has everything up to here. @param {string} channel @param {number} offset */
  reach(channel, offset) {
    this.position = offset;
    if (!this.#replays) return;
    this.#replays = false;
    this.#say(JSON.stringify({ ch: channel, at: offset }));
  }

  /** @param {number} offset @returns {boolean} false: it was not sent so far */
  ack(offset) {
    if (this.position === undefined || offset > this.position) return false;
    while (this.#open.length > 0 && this.#open[0].to <= offset) {
      this.#length -= /** @type {{length: number}} */ (this.#open.shift()).length;
    }
    return true;
  }
}
