import { backoff } from './backoff.js';
import { CODE, LIMIT, LOCAL, RETRIED, TIME } from './constants.js';
import { encode, encodePayload, size } from './codec.js';
import { OrbitError } from './events.js';
import { randomKey } from './host.js';
import { Lane, makeItem } from './lane.js';

/**
 * What publish resolves to.
 *
 * @typedef {object} Stored
 * @property {number} offset of the message: its place on the channel
 * @property {string} epoch of the offset
 * @property {boolean} duplicate a message with this key was stored before: this is its offset
 *
 * @typedef {object} PublishOptions
 * @property {string} [key] what is published twice with one key is stored once; without it: a random one
 * @property {Record<string, string>} [headers] for whoever reads it
 * @property {string} [contentType] of bytes; without it: application/octet-stream
 *
 * @typedef {import('./lane.js').Item} Item
 */

/**
 * Publishes until each has a definite answer, over as many connections as that takes; a channel's in
 * their order, and behind what earlier pages have left of it. It holds LIMIT.outbox of them in memory, and
 * LIMIT.outboxBytes; above that publish is refused at once.
 */
export class Outbox {
  #host;
  #unsent;
  #failed;
  /** @type {Map<string, Lane>} those with something in them */
  #lanes = new Map();
  #count = 0;
  #bytes = 0;
  /** Nothing is sent: what earlier pages have left is not known yet, or who may send what. */
  #holding = false;
  #closed = false;
  /** @type {import('./connection.js').Connection | null} */
  #connection = null;
  #max = 0;
  #server = { now: 0, at: 0 };
  /** Who the server says we are; undefined: anonymous. @type {string | undefined} */
  #user;

  /**
   * @param {import('./host.js').Host} host
   * @param {import('./unsent.js').UnsentPublishes} unsent
   * @param {(error: OrbitError, fields: any) => void} failed a publish of an earlier page was refused
   */
  constructor(host, unsent, failed) {
    this.#host = host;
    this.#unsent = unsent;
    this.#failed = failed;
  }

  /**
   * Takes over what earlier pages have left. Where a browser is longer about it than TIME.recall, this
   * page's own go first.
   *
   * @returns {Promise<number>} how many
   */
  async recall() {
    if (!this.#unsent.keeps) return 0;
    this.#holding = true;
    const timer = this.#host.setTimeout(() => this.#go(), TIME.recall);
    const left = await this.#unsent.recall();
    this.#host.clearTimeout(timer);
    if (this.#closed) return 0;
    /** @type {Map<string, Item[]>} */
    const found = new Map();
    for (const { place, publish: { channel, ...publish } } of left) {
      const reject = (/** @type {OrbitError} */ error) => this.#failed(error, publish.fields);
      const item = makeItem({ ...publish, place, left: true, resolve: () => {}, reject });
      found.get(channel)?.push(item) ?? found.set(channel, [item]);
    }
    for (const [channel, items] of found) this.#join(channel, items, this.#holding);
    this.#go();
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
    return new Promise((resolve, reject) => {
      const item = makeItem({ key, fields, made: this.#host.date(), place: this.#unsent.place(), left: false, resolve, reject });
      if (this.#count >= LIMIT.outbox || (this.#count > 0 && this.#bytes + item.size > LIMIT.outboxBytes)) {
        reject(new OrbitError(LOCAL.outboxFull, `${this.#count} publishes wait for an answer`, channel));
        return;
      }
      this.#keep(channel, item);
      this.#pump(this.#join(channel, [item], false));
    });
  }

  /**
   * @param {string} channel
   * @param {Item[]} items
   * @param {boolean} ahead of those that are there
   * @returns {Lane}
   */
  #join(channel, items, ahead) {
    const lane = this.#lanes.get(channel) ?? new Lane(channel);
    this.#lanes.set(channel, lane);
    if (ahead) lane.items = [...items, ...lane.items];
    else for (const item of items) lane.items.push(item);
    this.#count += items.length;
    for (const { size } of items) this.#bytes += size;
    return lane;
  }

  /** @param {string} channel @param {Item} item */
  #keep(channel, item) {
    const { key, fields, made, first, by } = item;
    this.#unsent.keep(item.place, { channel, key, fields, made, first, by });
  }

  /**
   * @param {import('./connection.js').Connection} connection
   * @param {{max: number, now: number, user?: string}} server its largest payload, its clock, and who it
   *   says we are
   */
  opened(connection, { max, now, user }) {
    this.#connection = connection;
    this.#max = max;
    this.#server = { now, at: this.#host.now() };
    this.#user = user;
    if (!this.#holding) this.#go();
  }

  #go() {
    this.#holding = true;
    if (this.#connection) for (const lane of [...this.#lanes.values()]) this.#sort(lane);
    this.#holding = false;
    for (const lane of this.#lanes.values()) this.#pump(lane);
  }

  /**
   * Takes out what must not be sent: what has become too old to be expected any more, and what was sent
   * as somebody else, for whom the server keeps keys of their own: it might be stored twice.
   *
   * @param {Lane} lane
   */
  #sort(lane) {
    for (const item of [...lane.items]) {
      if (this.#closed) return;
      const old = this.#host.date() - item.made > TIME.unsent;
      if (item.first === undefined) {
        if (old) this.#refuse(lane, item, LOCAL.tooOld, 'it could not be sent for too long, and is not stored');
      } else if (item.by !== this.#user) {
        if (item.left && !old) this.#remove(lane, item); // kept, for a page of its user
        else this.#refuse(lane, item, LOCAL.otherUser, `it was sent as ${item.by ?? 'anonymous'}, and may be stored`);
      }
    }
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
    this.#closed = true;
    this.lost();
    for (const lane of this.#lanes.values()) for (const item of lane.items) {
      if (item.left) continue; // nobody here waits for it: the next page does
      item.reject(error);
      this.#unsent.drop(item.place);
    }
    this.#lanes.clear();
    this.#unsent.close();
  }

  /** @param {Lane} lane */
  #pump(lane) {
    if (this.#connection === null || this.#holding || lane.timer !== null) return;
    for (const { item, prev } of lane.ready()) {
      if (!this.#send(lane, item, prev)) break;
    }
  }

  /**
   * @param {Lane} lane
   * @param {Item} item
   * @param {string | undefined} prev
   * @returns {boolean} false: it is not sent, and settled, and the lane is pumped again
   */
  #send(lane, item, prev) {
    if (item.first === undefined) {
      item.first = Math.floor(this.#server.now + this.#host.now() - this.#server.at);
      item.by = this.#user;
      this.#keep(lane.name, item);
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
   * @param {Item} item
   * @param {import('./codec.js').Reply} reply
   * @param {string | undefined} prev
   */
  #answered(lane, item, { error, offset = 0, epoch = '', duplicate = false }, prev) {
    item.sent = false;
    if (error === undefined) {
      lane.failures = 0;
      item.resolve({ offset, epoch, duplicate });
      this.#settled(lane, item);
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
   * @param {Item} item
   * @param {string} code
   * @param {string} message
   */
  #refuse(lane, item, code, message) {
    item.reject(new OrbitError(code, message, lane.name));
    this.#settled(lane, item);
  }

  /** @param {Lane} lane @param {Item} item */
  #settled(lane, item) {
    this.#unsent.drop(item.place);
    this.#remove(lane, item);
  }

  /** @param {Lane} lane @param {Item} item */
  #remove(lane, item) {
    lane.remove(item);
    this.#count--;
    this.#bytes -= item.size;
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
