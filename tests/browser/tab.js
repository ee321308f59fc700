// The end of a tab, as by the kernel: its process is killed, and with it all that the page had in mind. And
// what it leaves.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './browser.js';

/** The fields of /proc/PID/stat behind the command's name (proc(5)): state, parent, … */
const fields = pid => {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
};

/** Ticks of CPU that a process has had; 0: it is gone. */
function ticks(pid) {
  try {
    const of = fields(pid);
    return Number(of[11]) + Number(of[12]);
  } catch {
    return 0;
  }
}

/** A process's children, theirs and so on. */
export function below(pid) {
  const parents = new Map();
  for (const name of readdirSync('/proc')) {
    try {
      if (/^\d+$/.test(name)) parents.set(Number(name), Number(fields(name)[1]));
    } catch { /* it has ended meanwhile */ }
  }
  const found = [pid];
  for (const one of found) for (const [child, parent] of parents) if (parent === one) found.push(child);
  return found.slice(1);
}

const isPage = pid => {
  try {
    return /--type=renderer|-contentproc/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  } catch {
    return false;
  }
};

/** The process of a page that does nothing but spin: for a while others have next to no CPU beside it. */
async function spinning(pid) {
  let busy, times = 0;
  while (times < 3) {
    const before = new Map(below(pid).filter(isPage).map(child => [child, ticks(child)]));
    await sleep(250);
    const [first, second] = [...before].map(([child, was]) => ({ child, used: ticks(child) - was })).sort((a, b) => b.used - a.used);
    const alone = first?.used > 4 * (second?.used ?? 0);
    times = alone && first.child === busy ? times + 1 : 0;
    busy = first?.child;
  }
  return busy;
}

/**
 * Kills the process of a page when that says "spinning" to the console, and then does. Then the page is
 * empty, but its tab is still there: `page.goto` opens it anew. To be called before the page is told to.
 */
export async function killTab(page) {
  await new Promise(resolve => page.on('console', message => message.text() === 'spinning' && resolve()));
  await killSpinning(page.browser());
}

/**
 * Kills the process of a browser in which a page or a worker spins, with all pages there.
 *
 * @param {import('puppeteer-core').Browser} browser
 */
export async function killSpinning(browser) {
  process.kill(await spinning(browser.process().pid), 'SIGKILL');
  await sleep(1_000); // Firefox tells nobody, and Chromium has yet to make up the tab's mind
}

/** Waits until what the pages of a browser keep without an answer is so much. */
export const kept = (page, count) => until(page, want => new Promise(resolve => {
  const opening = indexedDB.open('orbit');
  opening.onerror = () => resolve(false);
  opening.onsuccess = () => {
    const all = opening.result.transaction('unsent').objectStore('unsent').count();
    all.onsuccess = () => {
      opening.result.close();
      resolve(all.result === want);
    };
  };
}), count);
