// A tab that is killed and opened again, over each transport: what its handler has finished does not come
// again, and what it was at does; and where it has two scripts that resume, each its own.
import assert from 'node:assert/strict';
import { TRANSPORTS } from '../../js/orbit/constants.js';
import { emptyPage, inEach, openBrowser, openPage, until } from './browser.js';
import { Daemon } from './daemon.js';
import { check } from './history.js';
import { Publisher } from './publisher.js';
import { killTab } from './tab.js';

const messages = 120;
const rules = `
[[channel]]
match     = "/load/**"
subscribe = ["*"]
publish   = ["*"]
`;
const numbers = Array.from({ length: messages }, (_, i) => i + 1);

/**
 * Runs in the page: notes, where a killed page cannot take it along, what its handler began and what it
 * finished; some take longer, and finish behind those that come after them. At the one number it spins in
 * the middle, at the other when the handler's promise is settled.
 */
async function follow({ url, transport, channel, within, behind }) {
  const { Orbit } = await import(url + '/orbit.js');
  const spin = async () => {
    console.log('spinning');
    await new Promise(resolve => setTimeout(resolve, 50)); // that is heard, and what was written is with the browser
    for (;;);
  };
  const note = (what, event) => {
    localStorage.log = `${localStorage.log ?? ''}${what} ${event.channel} ${event.offset} ${event.data?.n}\n`;
  };
  const orbit = window.orbit = new Orbit(undefined, { transports: [transport], resume: 'tab' });
  orbit.addEventListener('gap', event => note('gap', event));
  orbit.channel(channel, { after: 0 }).onmessage = async event => {
    note('begun', event);
    if (event.data.n % 10 === 0) await new Promise(resolve => setTimeout(resolve, 5));
    if (event.data.n === within) await spin();
    note('finished', event);
    if (event.data.n === behind) setTimeout(spin);
  };
}

/** Runs in the page: two widgets on one channel; the second one finishes nothing from a number on. */
async function widgets({ url, names, stuck }) {
  const { Orbit } = await import(url + '/orbit.js');
  const seen = window.seen = { got: [[], []], errors: [] };
  for (const i of [0, 1]) {
    const orbit = new Orbit(undefined, { app: 'load', resume: 'tab', name: names?.[i] });
    orbit.onerror = ({ code, channel }) => seen.errors.push(`${code} ${channel}`);
    orbit.channel('/load/widgets', { after: 0 }).onmessage = event => {
      seen.got[i].push(event.data.n);
      if (i === 1 && event.data.n >= stuck) return new Promise(() => {});
    };
  }
}

/** Each goes on where it was itself; and of two without a name one is told that it will not. */
async function twoWidgets(page, daemon) {
  const origin = page.url();
  const publisher = new Publisher(daemon.url);
  const seen = async (options, last) => {
    await page.goto(origin);
    await publisher.publish('/load/widgets', [last]);
    await page.evaluate(widgets, { url: daemon.url, ...options });
    await until(page, last => window.seen.got.every(got => got.at(-1) === last), last);
    return page.evaluate(() => window.seen);
  };
  await publisher.publish('/load/widgets', [1, 2, 3, 4]);
  assert.deepEqual(await seen({ names: ['main', 'side'], stuck: 4 }, 5), { got: [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]], errors: [] });
  assert.deepEqual(await seen({ names: ['main', 'side'] }, 6), { got: [[6], [4, 5, 6]], errors: [] });
  const all = [1, 2, 3, 4, 5, 6, 7];
  assert.deepEqual(await seen({}, 7), { got: [all, all], errors: ['not_kept /load/widgets'] });
  assert.match(page.mistakes.join(), /another Orbit of this page keeps its place on \/load\/widgets/);
}

inEach('a tab that is killed sees again what it was at, and nothing else', { timeout: 300_000 }, async (t, name) => {
  const origin = await emptyPage(t);
  const daemon = await Daemon.start(t, { channels: rules, origins: [origin] });
  const page = await openPage(await openBrowser(t, name), origin);
  const publisher = new Publisher(daemon.url);
  for (const transport of TRANSPORTS) {
    const channel = `/load/${transport}`;
    for (const where of [{ within: 40 }, { behind: 80 }]) {
      const half = numbers.filter(n => n <= 60 === (where.within === 40)); // the first life must not get to 80
      const published = publisher.publish(channel, half);
      const killed = killTab(page);
      await page.evaluate(follow, { url: daemon.url, transport, channel, ...where });
      await Promise.all([killed, published]);
      await page.goto(origin);
    }
    await page.evaluate(follow, { url: daemon.url, transport, channel });
    await until(page, (channel, all) => localStorage.log.split(`finished ${channel} `).length > all, channel, messages);
    await page.evaluate(() => window.orbit.close());
  }
  const { handed, again, gaps } = read(await page.evaluate(() => localStorage.log));
  const verdict = check(`tab-${name}`, { accepted: publisher.accepted, deliveries: handed });
  t.diagnostic(`${verdict}; again, for it was not finished: ${again.length}`);
  assert.equal(verdict, `accepted=${messages * 4} delivered=${messages * 4} lost=0 repeated=0 reordered=0`);
  for (const transport of TRANSPORTS) {
    assert.ok(again.includes(`/load/${transport} 40`), `${transport}: what it was at did not come again`);
    assert.ok(!again.includes(`/load/${transport} 80`));
  }
  assert.equal(gaps, 0);
  await twoWidgets(page, daemon);
});

/** What the handler was handed; and apart what it was handed again because it had not finished it. */
function read(log) {
  const handed = [], again = [], begun = new Set();
  let gaps = 0;
  for (const [what, ch, o, n] of log.trimEnd().split('\n').map(line => line.split(' '))) {
    const message = `${ch} ${n}`;
    if (what === 'gap') gaps++;
    else if (what === 'finished') begun.delete(message);
    else if (begun.has(message)) again.push(message);
    else handed.push({ who: 'tab', ch, o: Number(o), n: Number(n) }) && begun.add(message);
  }
  return { handed, again, gaps };
}
