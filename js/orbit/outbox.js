import { backoff } from './backoff.js';
import { CODE, LIMIT, LOCAL, RETRIED, TIME } from './constants.js';
import { encode, encodePayload, size } from './codec.js';
import { OrbitError } from './events.js';
import { randomKey } from './host.js';
import { Lane } from './lane.js';

/**
 * What publish resolves to.
 *
 * @typedef {{offset: number, epoch: string, duplicate: boolean}} Stored
 * @typedef {{key?: string, headers?: Record<string, string>, contentType?: string}} PublishOptions
 */

/**
 * Publishes until each has a definite answer, over as many connections as that takes; a channel's in
 * their order. It holds LIMIT.outbox of them in memory; above that publish is refused at once.
 */
export class Outbox {
  #host;
  #unsent;
  #failed;
  /** @type {Map<string, Lane>} those with something in them */
  #lanes = new Map();
  #count = 0;
  /** @type {import('./connection.js').Connection | null} */
  #connection = null;
  #max = 0;
  #server = { now: 0, at: 0 };

  /**
   * @param {import('./host.js').Host} host
   * @param {import('./unsent.js').UnsentPublishes} unsent
   * @param {(error: OrbitError) => void} failed a publish of an earlier page was refused
   */
  constructor(host, unsent, failed) {
    this.#host = host;
    this.#unsent = unsent;
    this.#failed = failed;
  }

  /**
   * Takes over what an earlier page has left.
   *
   * @returns {number} how many
   */
  recall() {
    const left = this.#unsent.recall();
    for (const { place, publish: { channel, key, fields, first } } of left) {
      this.#add(channel, { key, fields, first, place, resolve: () => {}, reject: this.#failed });
    }
    return left.length;
  }

  /**
   * @param {string} channel
   * @param {any} payload
   * @param {PublishOptions} options
   * @returns {Promise<Stored>}
   */
  async publish(channel, payload, { key = randomKey(this.#host), headers, contentType }) {
    const fields = { ...encodePayload(payload, contentType), h: headers };
    if (this.#count >= LIMIT.outbox) {
      throw new OrbitError(LOCAL.outboxFull, `${LIMIT.outbox} publishes wait for an answer`, channel);
    }
    const place = this.#unsent.keep({ channel, key, fields });
    return new Promise((resolve, reject) => {
      this.#add(channel, { key, fields, first: undefined, place, resolve, reject });
    });
  }

  /**
   * @param {string} channel
   * @param {Omit<import('./lane.js').Item, 'sent' | 'behind'>} item
   */
  #add(channel, item) {
    const lane = this.#lanes.get(channel) ?? new Lane(channel);
    this.#lanes.set(channel, lane);
    lane.items.push({ ...item, sent: false, behind: false });
    this.#count++;
    this.#pump(lane);
  }

  /**
   * @param {import('./connection.js').Connection} connection
   * @param {{max: number, now: number}} server its largest payload and its clock
   */
  opened(connection, { max, now }) {
    this.#connection = connection;
    this.#max = max;
    this.#server = { now, at: this.#host.now() };
    for (const lane of this.#lanes.values()) this.#pump(lane);
  }

  lost() {
    this.#connection = null;
    for (const lane of this.#lanes.values()) {
      this.#host.clearTimeout(lane.timer);
      lane.timer = null;
      lane.lost();
    }
  }

  /** @param {OrbitError} error for all that wait */
  close(error) {
    this.lost();
    for (const lane of this.#lanes.values()) for (const item of lane.items) {
      item.reject(error);
      this.#unsent.drop(item.place);
    }
    this.#lanes.clear();
    this.#count = 0;
  }

  /** @param {Lane} lane */
  #pump(lane) {
    if (this.#connection === null || lane.timer !== null) return;
    for (const { item, prev } of lane.ready()) {
      if (!this.#send(lane, item, prev)) break;
    }
  }

  /**
   * @param {Lane} lane
   * @param {import('./lane.js').Item} item
   * @param {string | undefined} prev
   * @returns {boolean} false: it is not sent, and settled, and the lane is pumped again
   */
  #send(lane, item, prev) {
    if (item.first === undefined) {
      item.first = Math.floor(this.#server.now + this.#host.now() - this.#server.at);
      this.#unsent.keep({ channel: lane.name, key: item.key, fields: item.fields, first: item.first }, item.place);
    }
    const { key, first, fields } = item;
    const command = { op: 'publish', channel: lane.name, ...fields, key, first, prev };
    if (size(encode(command)) > this.#max + LIMIT.commandBytes) {
      this.#refuse(lane, item, CODE.tooLarge, `the payload exceeds session.max_message (${this.#max} bytes)`);
      return false;
    }
    item.sent = true;
    this.#connection?.request(command, reply => {
      if (reply !== null && item.sent) this.#answered(lane, item, reply, prev);
    });
    return true;
  }

  /**
   * @param {Lane} lane
   * @param {import('./lane.js').Item} item
   * @param {import('./codec.js').Reply} reply
   * @param {string | undefined} prev
   */
  #answered(lane, item, { error, offset = 0, epoch = '', duplicate = false }, prev) {
    item.sent = false;
    if (error === undefined) {
      lane.failures = 0;
      item.resolve({ offset, epoch, duplicate });
      this.#remove(lane, item);
    } else if (RETRIED.includes(error.code)) {
      this.#pause(lane, error.code);
    } else if (error.code === CODE.outOfOrder && prev !== undefined) {
      item.behind = true;
      if (lane.isFirst(item)) this.#pump(lane);
    } else {
      this.#refuse(lane, item, error.code, error.message);
    }
  }

  /**
   * @param {Lane} lane
   * @param {import('./lane.js').Item} item
   * @param {string} code
   * @param {string} message
   */
  #refuse(lane, item, code, message) {
    item.reject(new OrbitError(code, message, lane.name));
    this.#remove(lane, item);
  }

  /** @param {Lane} lane @param {import('./lane.js').Item} item */
  #remove(lane, item) {
    this.#unsent.drop(item.place);
    lane.remove(item);
    this.#count--;
    if (lane.items.length === 0) this.#lanes.delete(lane.name);
    else this.#pump(lane);
  }

  /** @param {Lane} lane @param {string} code */
  #pause(lane, code) {
    if (lane.timer !== null) return;
    const wait = code === CODE.rateLimited ? TIME.rate : backoff(++lane.failures, this.#host.random);
    lane.timer = this.#host.setTimeout(() => {
      lane.timer = null;
      this.#pump(lane);
    }, wait);
  }
}
