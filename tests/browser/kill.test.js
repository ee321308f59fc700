// A page and a daemon that is killed: every accepted message reaches the page's handlers once, in
// order. QUICK=1 makes it short; ORBITD_MESSAGES and ORBITD_KILLS set the counts.
import assert from 'node:assert/strict';
import { TRANSPORTS } from '../../js/orbit/constants.js';
import { emptyPage, inEach, openBrowser, openPage } from './browser.js';
import { chaos } from './chaos.js';
import { Daemon } from './daemon.js';
import { check } from './history.js';
import { Publisher } from './publisher.js';

const quick = Boolean(process.env.QUICK);
const messages = Number(process.env.ORBITD_MESSAGES ?? (quick ? 1500 : 5000));
const kills = Number(process.env.ORBITD_KILLS ?? (quick ? 4 : 10));
const channels = ['/load/handler', '/load/promise', '/load/loop'];
const rules = `
[[channel]]
match     = "/load/**"
subscribe = ["*"]
publish   = ["*"]
`;

const numbers = count => Array.from({ length: count }, (_, i) => i + 1);
const share = i => Math.floor(messages / channels.length) + (i < messages % channels.length ? 1 : 0);

/** A daemon and a page of another origin that may use it. */
async function world(t, name) {
  const origin = await emptyPage(t);
  const daemon = await Daemon.start(t, { channels: rules, origins: [origin] });
  const browser = await openBrowser(t, name);
  return { daemon, browser, origin };
}

/**
 * Runs in the page: takes a channel's messages in each of the ways there are, and notes every call.
 * Some handlers take their time, and one acknowledges by itself and late.
 */
async function subscribe({ url, channels, who, transports }) {
  const { Orbit } = await import(url + '/orbit.js');
  const orbit = new Orbit(undefined, { transports }); // talks to where the library is from
  const seen = { deliveries: [], events: [], used: new Set(), orbit };
  Object.assign(window, { seen });
  const note = event => seen.deliveries.push({ who, ch: event.channel, o: event.offset, n: event.data.n });
  const soon = () => new Promise(resolve => setTimeout(resolve, Math.random() * 20));
  orbit.addEventListener('open', event => event.channel || seen.used.add(orbit.transport));
  for (const type of ['open', 'close', 'gap', 'revoked', 'error']) {
    orbit.addEventListener(type, ({ type, channel, code, message, reason }) => {
      if (type !== 'open' && type !== 'close' || !channel) seen.events.push({ type, channel, code, message, reason });
    });
  }
  const [handler, promise, loop] = channels.map((name, i) => orbit.channel(name, { after: 0, ack: i === 1 ? 'manual' : 'auto' }));
  handler.onmessage = event => {
    note(event);
    if (event.data.n % 10 === 0) return soon();
  };
  promise.addEventListener('message', async event => {
    note(event);
    if (event.data.n % 10 === 0) await soon();
    event.ack();
  });
  (async () => {
    for await (const event of loop) {
      note(event);
      if (event.data.n % 50 === 0) await soon();
    }
  })();
}

/** Waits until the page has got so many messages, or gets no more for a while. */
async function settled(page, count) {
  await page.evaluate(async count => {
    let before = -1, quiet = Date.now();
    const { seen } = window;
    while (seen.deliveries.length < count && Date.now() - quiet < 20_000) {
      if (seen.deliveries.length !== before) quiet = Date.now();
      before = seen.deliveries.length;
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    await new Promise(resolve => setTimeout(resolve, 300)); // for what should not come
  }, count);
}

/** How many there are of each type. */
function counts(events) {
  const by = new Map();
  for (const { type } of events) by.set(type, (by.get(type) ?? 0) + 1);
  return [...by].map(([type, count]) => `${count} × ${type}`).join(', ');
}

inEach(`${messages} messages, ${kills} kills: once and in order`, { timeout: 600_000 }, async (t, name) => {
  const { daemon, browser, origin } = await world(t, name);
  const page = await openPage(browser, origin);
  await page.evaluate(subscribe, { url: daemon.url, channels, who: 'browser' });

  const publisher = new Publisher(daemon.url);
  const progress = () => publisher.accepted.length / messages;
  await Promise.all([
    chaos(daemon, { kills, progress }),
    ...channels.map((channel, i) => publisher.publish(channel, numbers(share(i)))),
  ]);
  await settled(page, messages);

  const { deliveries, events } = await page.evaluate(() => ({ deliveries: window.seen.deliveries, events: window.seen.events }));
  const verdict = check(`kill-${name}`, { accepted: publisher.accepted, deliveries });
  t.diagnostic(verdict);
  t.diagnostic(`retries that found their message stored: ${publisher.duplicates}; in the page: ${counts(events)}`);
  assert.equal(verdict, `accepted=${messages} delivered=${messages} lost=0 repeated=0 reordered=0`);
  assert.deepEqual(events.filter(event => !['open', 'close'].includes(event.type)), []);
  assert.ok(kills === 0 || events.some(event => event.type === 'close'), 'the page noticed no kill');
  assert.deepEqual(page.mistakes, []);

  // Who comes late gets the same.
  const late = await openPage(browser, origin);
  await late.evaluate(subscribe, { url: daemon.url, channels, who: 'late' });
  await settled(late, messages);
  const replayed = check(`late-${name}`, { accepted: publisher.accepted, deliveries: await late.evaluate(() => window.seen.deliveries) });
  t.diagnostic(`a late page: ${replayed}`);
  assert.equal(replayed, verdict);
});

/** Runs in the page: publishes, and notes what was accepted. */
async function publishAll({ url, channels, count, by }) {
  const { Orbit } = await import(url + '/orbit.js');
  const orbit = new Orbit();
  const accepted = window.accepted = [];
  await Promise.all(channels.flatMap(name => Array.from({ length: count }, async (_, i) => {
    const { offset } = await orbit.channel(name).publish({ n: i + 1 });
    accepted.push({ ch: name, n: i + 1, o: offset, by });
  })));
}

inEach('what a page publishes is stored once and in order, too', { timeout: 300_000 }, async (t, name) => {
  const { daemon, browser, origin } = await world(t, name);
  const count = quick ? 300 : 1000;
  const reader = await openPage(browser, origin);
  const writer = await openPage(browser, origin);
  await reader.evaluate(subscribe, { url: daemon.url, channels, who: 'reader' });

  let done = 0;
  const poll = setInterval(async () => { done = await writer.evaluate(() => window.accepted?.length ?? 0).catch(() => done); }, 5);
  t.after(() => clearInterval(poll));
  await Promise.all([
    chaos(daemon, { kills: 5, progress: () => done / (channels.length * count) }),
    writer.evaluate(publishAll, { url: daemon.url, channels, count }),
  ]);
  clearInterval(poll);
  await settled(reader, channels.length * count);

  const accepted = await writer.evaluate(() => window.accepted);
  const { deliveries } = await reader.evaluate(() => ({ deliveries: window.seen.deliveries }));
  const verdict = check(`page-${name}`, { accepted, deliveries });
  t.diagnostic(verdict);
  const all = channels.length * count;
  assert.equal(verdict, `accepted=${all} delivered=${all} lost=0 repeated=0 reordered=0`);
  assert.deepEqual([...reader.mistakes, ...writer.mistakes], []);
});

inEach('each transport, forced: once and in order', { timeout: 300_000 }, async (t, name) => {
  const { daemon, browser, origin } = await world(t, name);
  const count = 300; // on each channel
  const pages = [];
  for (const transport of TRANSPORTS) {
    const page = await openPage(browser, origin);
    await page.evaluate(subscribe, { url: daemon.url, channels, who: transport, transports: [transport] });
    await page.waitForFunction(() => window.seen.used.size > 0, { polling: 30 });
    pages.push(page);
  }

  const publisher = new Publisher(daemon.url);
  const all = channels.length * count;
  await Promise.all([
    chaos(daemon, { kills: 3, progress: () => publisher.accepted.length / all }),
    ...channels.map(channel => publisher.publish(channel, numbers(count))),
  ]);
  const deliveries = [];
  for (const [i, page] of pages.entries()) {
    await settled(page, all);
    const seen = await page.evaluate(() => ({ ...window.seen, used: [...window.seen.used], orbit: null }));
    deliveries.push(...seen.deliveries);
    assert.deepEqual(seen.used, [TRANSPORTS[i]]);
    assert.deepEqual(seen.events.filter(event => !['open', 'close'].includes(event.type)), []);
    assert.ok(seen.events.some(event => event.type === 'close'), `${TRANSPORTS[i]} noticed no kill`);
    assert.deepEqual(page.mistakes, []);
  }
  const verdict = check(`transports-${name}`, { accepted: publisher.accepted, deliveries });
  t.diagnostic(verdict);
  assert.equal(verdict, `accepted=${all} delivered=${all * TRANSPORTS.length} lost=0 repeated=0 reordered=0`);
});
