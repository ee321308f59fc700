// Pipes to another page or to a worker. Each end tells the other which lock it holds, and so notices at
// once when there is nobody any more. One that lives and is at work answers each `{beat: true}`.
import { TIME } from '../constants.js';
import { host, randomKey } from '../host.js';
import { hold, whenGone } from './alive.js';

/**
 * What a MessagePort and a BroadcastChannel have in common.
 *
 * @typedef {{postMessage: (message: any) => void, onmessage: ((event: MessageEvent) => any) | null, close: () => void}} Wire
 */

/**
 * The Orbit's end. What is posted before there is another end waits for it. A page that is left, and may be
 * frozen, has no end any more.
 *
 * @param {Wire} wire
 * @param {{held: (lock: string) => void, taken?: () => void, closed?: () => void, stalled?: () => void}} on held: the
 *   other end may be told of the lock; taken: it has answered; stalled: it lives, and has answered nothing for
 *   a while (TIME.beat and TIME.stalled)
 * @returns {import('./pipe.js').Pipe & {sever: () => void}} sever ends it as if the other end had
 */
export function near(wire, { held, taken = () => {}, closed = () => {}, stalled = () => {} }) {
  /** @type {any[] | null} */
  let waiting = [];
  let stop = () => {};
  const lock = `orbit:tab:${randomKey(host)}`;
  const release = hold(lock, () => held(lock));
  const left = new AbortController();
  /** @type {any} */
  let timer = null;
  /** @param {number} ms @param {() => void} then unless something is heard before, or asked for later */
  const wait = (ms, then) => {
    host.clearTimeout(timer);
    timer = host.setTimeout(then, ms);
  };
  const expect = () => wait(TIME.stalled * (1 + host.random()), () => wait(TIME.recheck, stalled));
  const ask = () => {
    wire.postMessage({ beat: true });
    expect();
  };
  const pipe = {
    /** @type {((message: any) => void) | null} */ onmessage: null,
    /** @param {any} message */
    post(message) {
      if (left.signal.aborted) return; // a closed BroadcastChannel would throw
      if (waiting) waiting.push(message);
      else wire.postMessage(message);
    },
    close() {
      host.clearTimeout(timer);
      left.abort();
      stop();
      release();
      closed();
      wire.onmessage = pipe.onmessage = null;
      wire.close();
    },
    sever() {
      const tell = pipe.onmessage;
      pipe.post({ gone: true });
      pipe.close();
      tell?.({ gone: true });
    },
  };
  wire.onmessage = ({ data }) => {
    wait(TIME.beat, ask);
    if (data.beat) return;
    if (data.alive === undefined) {
      pipe.onmessage?.(data);
    } else if (waiting !== null) {
      stop = whenGone(data.alive, pipe.sever);
      for (const message of waiting) wire.postMessage(message);
      waiting = null;
      taken();
    }
  };
  globalThis.addEventListener('pagehide', pipe.sever, { signal: left.signal });
  expect();
  return pipe;
}

/**
 * The registry's ends of all pipes to this page or worker.
 */
export class Far {
  #registry;
  #lock = `orbit:hub:${randomKey(host)}`;
  #release = () => {};
  #held;
  #closed = false;

  /** @param {import('./registry.js').Registry} registry */
  constructor(registry) {
    this.#registry = registry;
    this.#held = new Promise(resolve => { this.#release = hold(this.#lock, () => resolve(undefined)); });
  }

  /**
   * @param {Wire} wire
   * @param {string} lock of the other end
   */
  async take(wire, lock) {
    await this.#held;
    if (this.#closed) return;
    let stop = () => {};
    /** @type {import('./pipe.js').Pipe} */
    const pipe = {
      onmessage: null,
      post: message => wire.postMessage(message),
      close() {
        stop();
        wire.onmessage = null;
        wire.close();
      },
    };
    const port = this.#registry.attach(pipe);
    stop = whenGone(lock, () => port.leave());
    wire.onmessage = ({ data }) => {
      if (data.beat) wire.postMessage(data);
      else pipe.onmessage?.(data);
    };
    wire.postMessage({ alive: this.#lock });
  }

  /** Ends them, and the hubs. */
  close() {
    this.#closed = true;
    this.#registry.close();
    this.#release();
  }
}
