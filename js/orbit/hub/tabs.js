import { host, randomKey } from '../host.js';
import { locks } from './alive.js';
import { Registry } from './registry.js';
import { Far, near } from './remote.js';

/** Where tabs find each other. Those that speak another version have a name of their own. */
const NAME = 'orbit:tabs:2';
const LEADER = `${NAME}:leader`;

/** Whether one of the tabs has hubs. */
export async function tabsLead() {
  const all = await locks()?.query().catch(() => null); // the page is not there any more
  return all?.held?.some(({ name }) => name === LEADER) ?? false;
}

/**
 * The tabs of a browser where no worker can have the hubs: the one that holds the leader's lock has them. All
 * others wait for that lock, so when its holder ends, in whatever way, the next one leads, and says so. From
 * one that lives and answers nothing (a dialogue is open there, or a script does not end) it is taken away. A
 * pipe is a BroadcastChannel of its own, so that no tab is woken by what is for another.
 *
 * One for a page. A page that is left, or frozen, leads no more.
 */
export class Tabs {
  /** Where leaders tell of themselves, and pipes are asked for. @type {BroadcastChannel | null} */
  #channel = null;
  /** While this page leads. @type {Far | null} */
  #far = null;
  /** The pipes that it has taken. @type {Set<string>} */
  #taken = new Set();
  /** Ends its part in the election. */
  #left = new AbortController();
  /** The locks of its own pipes that no leader has taken so far. @type {Map<string, string>} */
  #asked = new Map();
  /** Its own pipes that a leader has taken. @type {Set<{sever: () => void}>} */
  #pipes = new Set();

  /** @returns {import('./pipe.js').Pipe} */
  dial() {
    if (!this.#channel) this.#join();
    const name = `orbit:pipe:${randomKey(host)}`;
    const pipe = near(new BroadcastChannel(name), {
      held: lock => {
        this.#asked.set(name, lock);
        this.#ask(name, lock);
      },
      taken: () => {
        this.#asked.delete(name);
        this.#pipes.add(pipe);
      },
      closed: () => {
        this.#asked.delete(name);
        this.#pipes.delete(pipe);
      },
      stalled: () => {
        if (!this.#far) this.#elect({ steal: true });
      },
    });
    return pipe;
  }

  /** @param {string} pipe @param {string} lock */
  #ask(pipe, lock) {
    if (this.#far) this.#take(pipe, lock);
    else this.#channel?.postMessage({ pipe, lock });
  }

  /** Whoever asks again, since there is a new leader, may have been heard the first time. @param {string} pipe @param {string} lock */
  #take(pipe, lock) {
    if (!this.#far || this.#taken.has(pipe)) return;
    this.#taken.add(pipe);
    this.#far.take(new BroadcastChannel(pipe), lock);
  }

  #join() {
    const channel = this.#channel = new BroadcastChannel(NAME);
    channel.onmessage = ({ data: { leads, pipe, lock } }) => {
      if (leads) this.#follow();
      else this.#take(pipe, lock);
    };
    const { signal } = this.#left = new AbortController();
    globalThis.addEventListener('pagehide', () => this.#leave(), { signal });
    globalThis.document?.addEventListener('freeze', () => this.#leave(), { signal });
    this.#elect({ signal });
  }

  /** @param {LockOptions} how */
  #elect(how) {
    const { signal } = this.#left;
    locks()?.request(LEADER, how, () => {
      if (signal.aborted || this.#far) return undefined;
      this.#lead();
      return new Promise(resolve => signal.addEventListener('abort', resolve));
    }).catch(() => {
      if (!signal.aborted) this.#leave(); // another has taken it away
    });
  }

  #lead() {
    this.#far = new Far(new Registry(host));
    this.#channel?.postMessage({ leads: true });
    this.#follow();
  }

  /** There is a new leader, whatever became of the one before. */
  #follow() {
    for (const pipe of [...this.#pipes]) pipe.sever();
    for (const [pipe, lock] of this.#asked) this.#ask(pipe, lock);
  }

  #leave() {
    this.#channel?.close();
    this.#channel = null;
    this.#far?.close();
    this.#far = null;
    this.#taken.clear();
    this.#left.abort();
  }
}
