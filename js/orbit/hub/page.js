import { host } from '../host.js';
import { locks } from './alive.js';
import { pipes } from './pipe.js';
import { Registry } from './registry.js';
import { near } from './remote.js';
import { Tabs, tabsLead } from './tabs.js';

/** Of the worker: pages that speak another version have one of their own. */
const NAME = 'orbit:2';

/**
 * Where the Orbits of this page find hubs: those of the page, and those of the browser, which are in a
 * SharedWorker, or else in one of its tabs. A worker there can be where the library comes from the
 * page's own origin. From one that is stuck pages go to the tabs, and so does who comes while tabs have hubs.
 * One for a page, so that scripts that know nothing of each other find each other by it.
 */
class Page {
  #registry = new Registry(host);
  #tabs = new Tabs();
  #worker = typeof globalThis.SharedWorker === 'function' && new URL(import.meta.url).origin === globalThis.location?.origin;

  /** @param {boolean} browser whether to share with other tabs, where that can be @returns {import('./pipe.js').Pipe} */
  dial(browser) {
    if (!browser || !globalThis.document || !locks()) return within(this.#registry);
    return this.#worker ? this.#dialWorker() : this.#tabs.dial();
  }

  #dialWorker() {
    const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name: NAME });
    const leave = () => {
      this.#worker = false;
      pipe.sever();
    };
    const pipe = near(worker.port, { held: alive => worker.port.postMessage({ alive }), stalled: leave });
    worker.onerror = leave; // a policy of the page forbids it, or this browser has none with modules
    tabsLead().then(lead => lead && leave());
    return pipe;
  }
}

/** A pipe to a registry in this page. @param {Registry} registry */
export function within(registry) {
  const [ours, theirs] = pipes();
  registry.attach(theirs);
  return ours;
}

export const page = new Page();
