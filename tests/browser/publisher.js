// Publishes over HTTP, several at a time, until each is accepted: a channel's messages in their
// order, by naming the one before (Orbit-Previous-Key).
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const WINDOW = 6; // of one channel in flight
const AGAIN = 15; // milliseconds before a retry

const passing = new Set(['unavailable', 'unknown', 'internal', 'rate_limited', 'out_of_order']);

export class Publisher {
  /** What was accepted: channel, number, offset. */
  accepted = [];
  duplicates = 0;
  #url;
  #listener;

  /** @param {string} url @param {() => void} [accepted] called after each */
  constructor(url, accepted = () => {}) {
    this.#url = url;
    this.#listener = accepted;
  }

  /** Publishes {"n": n} for each number, in this order. */
  async publish(channel, numbers) {
    const waiting = numbers.map(n => ({ n, key: randomBytes(16).toString('hex'), first: 0 }));
    waiting.forEach((message, i) => { message.prev = waiting[i - 1]; });
    const one = async () => {
      for (let message = waiting.shift(); message; message = waiting.shift()) {
        await (message.done = this.#until(channel, message));
        message.prev = null; // what is stored needs no history
      }
    };
    await Promise.all(Array.from({ length: WINDOW }, one));
  }

  async #until(channel, message) {
    message.first = Date.now();
    for (;;) {
      const answer = await this.#try(channel, message);
      if (answer?.offset !== undefined) {
        this.accepted.push({ ch: channel, n: message.n, o: answer.offset });
        if (answer.duplicate) this.duplicates++;
        this.#listener();
        return;
      }
      if (answer && !passing.has(answer.error.code)) throw new Error(`${channel} ${message.n}: ${JSON.stringify(answer)}`);
      // Another connection was quicker: the one before is on its way.
      if (answer?.error.code === 'out_of_order' && message.prev) await message.prev.done;
      else await sleep(AGAIN);
    }
  }

  /** The answer; null: none arrived, and nobody knows whether it is stored. */
  async #try(channel, { n, key, prev, first }) {
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': key, 'Orbit-First': String(first) };
    if (prev) headers['Orbit-Previous-Key'] = prev.key;
    try {
      const response = await fetch(`${this.#url}/v1/publish${channel}`, { method: 'POST', headers, body: JSON.stringify({ n }) });
      return await response.json();
    } catch {
      return null;
    }
  }
}
