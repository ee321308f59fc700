// What the library runs on in the tests: a clock that the test moves, random numbers from a seed, and
// transports that the test holds the other end of.
import { TestShelves } from './shelf.js';

/**
 * Lets everything that is already decided happen: promises and microtasks, not timers.
 */
export const settle = () => new Promise(resolve => setImmediate(resolve));

/** A small generator (mulberry32): the same seed, the same run. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class TestHost {
  time = 1000;
  timers = new Map();
  transports = [];
  nextTimer = 1;
  /** What the library wants to hear of the page; null: nothing any more. */
  page = null;
  /** What there could be: by default one, so that tests need not think of the others. */
  supported = ['websocket'];
  supports = name => this.supported.includes(name);
  /** What pages keep for each other, wherever. */
  kept = new Map();
  /** No more than there is. */
  full = false;
  storage = () => ({
    get: key => this.kept.get(key) ?? null,
    set: (key, value) => !this.full && Boolean(this.kept.set(key, value)),
    hold: key => !this.held.has(key) && Boolean(this.held.add(key)),
    release: key => { this.held.delete(key); },
  });
  /** What its Orbits hold of it. */
  held = new Set();
  /** What they leave for each other; `leaving.end()` is this page's end. */
  shelves = new TestShelves();
  shelf = scope => this.leaving.shelf(scope);
  get leaving() { return this.#leaving ??= this.shelves.page(); }
  #leaving;
  watch = page => { this.page = page; return () => { this.page = null; }; };

  constructor(seed = 1) {
    this.random = randomFrom(seed);
  }

  now = () => this.time;
  date = () => 1790000000000 + this.time;

  fill = bytes => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(this.random() * 256);
    return bytes;
  };

  /** How often the cookie was renewed, and what that says. */
  renewals = 0;
  renewal = undefined;
  renew = async () => {
    this.renewals++;
    if (this.renewal) throw this.renewal;
  };

  setTimeout = (callback, ms) => {
    const id = this.nextTimer++;
    this.timers.set(id, { at: this.time + Math.max(0, ms), callback });
    return id;
  };

  clearTimeout = id => { this.timers.delete(id); };

  open = (url, name) => {
    const transport = new ScriptedTransport(name);
    this.transports.push(transport);
    return transport;
  };

  /** The other end of the newest transport. */
  get last() {
    return this.transports.at(-1);
  }

  /** Runs the next timer at its time; false: there is none up to then. */
  step(until = Infinity) {
    let next;
    for (const [id, timer] of this.timers) {
      if (timer.at <= until && (!next || timer.at < next.timer.at)) next = { id, timer };
    }
    if (!next) return false;
    this.timers.delete(next.id);
    this.time = Math.max(this.time, next.timer.at);
    next.timer.callback();
    return true;
  }

  async advance(ms) {
    const until = this.time + ms;
    await settle();
    while (this.step(until)) await settle();
    this.time = until;
  }
}

export class ScriptedTransport {
  constructor(name) {
    this.name = name;
  }

  sent = [];
  closed = false;
  onopen = null;
  onmessage = null;
  onclose = null;

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  /** Takes what was sent since the last call. */
  take() {
    return this.sent.splice(0);
  }

  /** What the server says. */
  say(...frames) {
    this.onmessage?.({ data: frames.map(frame => JSON.stringify(frame)).join('\n') });
  }

  /** The connection is gone. */
  drop(code = 1006) {
    this.onclose?.({ code, reason: '' });
  }
}

export const EPOCH = '9f86d081884c7d65';
export const OTHER_EPOCH = '60303ae22b998861';

/** An accepted connect. */
export const accepted = more => ({
  session: 'q83vEjRWeJCrze8SNFZ4kA', secret: 'ASNFZ4mrze8BI0VniavN7w', resumed: false,
  epoch: EPOCH, now: 1790000000000, subs: {}, ttl: 120, ping: 25, window: 4, max: 65536, ...more,
});

/** A message push. */
export const message = (ch, o, p, d = o) => ({ ch, o, p, t: 1790000000000 + o, by: 'alice', d });
