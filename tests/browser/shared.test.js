// { shared: true }: all tabs over one connection, in a SharedWorker where the library is of the page's own
// origin, and in a leading tab where it is not. QUICK=1 makes it short.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { emptyPage, inEach, inEachAtOnce, openBrowser, openPage, until } from './browser.js';
import { chaos } from './chaos.js';
import { Daemon } from './daemon.js';
import { check } from './history.js';
import { Publisher } from './publisher.js';
import { openSite, tellWorker, work, workerThatListens } from './site.js';
import { kept, killSpinning } from './tab.js';

const quick = Boolean(process.env.QUICK);
const TABS = 20;
const STUCK = 3; // that tab takes nothing
const count = quick ? 150 : 400; // messages on each channel
const channels = ['/load/one', '/load/two'];
const rules = `
[[channel]]
match     = "/load/**"
subscribe = ["*"]
publish   = ["*"]
[[channel]]
match     = "/private/**"
subscribe = ["user:alice"]
publish   = ["user:alice"]
`;

const LEADER = 'orbit:tabs:2:leader';

const numbers = (to, from = 1) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/**
 * A daemon, and pages from which the library puts the hubs there: in a worker of the daemon's, or of a site
 * (which tellWorker can tell what to do); or in one of the tabs, as the library is from elsewhere or a policy
 * of the site forbids workers.
 */
async function world(t, name, where) {
  let daemon;
  const elsewhere = await emptyPage(t);
  const policy = where === 'forbidden' ? "worker-src 'none'" : undefined;
  const site = await openSite(t, () => daemon, { policy, more: workerThatListens });
  daemon = await Daemon.start(t, { channels: rules, origins: [site.origin, elsewhere] });
  const browser = await openBrowser(t, name);
  const [address, library] = {
    worker: [`${daemon.url}/orbit.js`, daemon.url], // which is a page as any other
    leader: [elsewhere, daemon.url],
  }[where] ?? [site.origin, site.origin];
  return {
    site, daemon, browser,
    tab: async options => {
      const page = await openPage(browser, address);
      await page.evaluate(subscribe, { url: daemon.url, library, ...options });
      return Object.assign(page, { who: options.who });
    },
  };
}

/** Waits until the daemon has so many clients. */
async function clients(daemon, count) {
  for (let i = 0; i < 100 && daemon.clients() !== count; i++) await sleep(100);
  assert.equal(daemon.clients(), count);
}

/**
 * Runs in the page: takes channels, and notes every call. One that is stuck never ends a handler, and one that
 * is abrupt is not told that it ends. It lives as long as it holds the lock of its name.
 */
async function subscribe({ url, library, channels, who, stuck, abrupt, token }) {
  if (abrupt) addEventListener('pagehide', event => event.stopImmediatePropagation(), true);
  navigator.locks.request(who, () => new Promise(() => {}));
  const { Orbit } = await import(library + '/orbit.js');
  const orbit = new Orbit(url, { shared: true, resume: 'tab', token: token && (() => token) });
  const seen = window.seen = { deliveries: [], events: [], published: [], orbit };
  for (const type of ['open', 'close', 'gap', 'revoked', 'error']) {
    orbit.addEventListener(type, ({ channel, code, message, user }) => channel || seen.events.push({ type, code, message, user }));
  }
  for (const name of channels) {
    orbit.channel(name, { after: 0 }).onmessage = event => {
      seen.deliveries.push({ who, ch: event.channel, o: event.offset, n: event.data.n });
      if (stuck) return new Promise(() => {});
      if (event.data.n % 50 === 0) return new Promise(resolve => setTimeout(resolve, Math.random() * 20));
    };
  }
  window.publish = (channel, numbers) => {
    for (const n of numbers) seen.published.push(orbit.channel(channel).publish({ n }));
  };
}

/** Runs in the page: whether it is the one that holds the lock. */
async function holds(lock) {
  const mine = `mine ${Math.random()}`;
  const { held } = await navigator.locks.request(mine, () => navigator.locks.query());
  const client = name => held.find(one => one.name === name)?.clientId;
  return client(lock) === client(mine);
}

/** Which of the tabs holds it, if any. */
async function holder(tabs, lock) {
  const all = await Promise.all(tabs.map(page => page.evaluate(holds, lock)));
  assert.ok(all.filter(Boolean).length <= 1);
  return tabs[all.indexOf(true)];
}

/** Those of the tabs whose process is there. */
async function living(tabs) {
  const locks = async () => (await navigator.locks.query()).held.map(({ name }) => name);
  const held = await Promise.any(tabs.map(page => page.evaluate(locks)));
  return tabs.filter(({ who }) => held.includes(who));
}

/** Runs in the page. */
function spin() {
  setTimeout(() => { for (;;); }, 100); // when this call is answered
}

const opened = page => until(page, () => window.seen.events.some(({ type }) => type === 'open'));

/** What is stored of a channel: its numbers. */
async function stored(daemon, channel) {
  const { messages } = await (await fetch(`${daemon.url}/v1/history${channel}?limit=256`)).json();
  return messages.map(({ d: { n } }) => n);
}

/** The channels on which a tab publishes, both: more at a time than a hub has on their way of one Orbit. */
const own = ({ who }) => ['one', 'two'].map(name => `/load/${who}/${name}`);
const first = 5, last = 40;

/** Publishes on a tab's own channels. */
const publish = (page, numbers) => page.evaluate((channels, numbers) => {
  for (const channel of channels) window.publish(channel, numbers);
}, own(page), numbers);

const answered = page => page.evaluate(async () => { await Promise.all(window.seen.published); });

for (const where of ['listening worker', 'leader']) {
  inEach(`${TABS} tabs, hubs in a ${where}: one connection, once and in order for each`, { timeout: 600_000 }, async (t, name) => {
    const { daemon, browser, tab } = await world(t, name, where);
    let tabs = [];
    for (const i of numbers(TABS)) {
      const page = await tab({ channels, who: `tab${i}`, stuck: i === STUCK, abrupt: i === 1 });
      await opened(page);
      tabs.push(page);
    }
    await clients(daemon, 1);

    const publisher = new Publisher(daemon.url);
    const all = channels.length * count;
    const publishAll = numbers => channels.map(channel => publisher.publish(channel, numbers));
    const progress = () => publisher.accepted.length / all / 0.75;
    const close = async () => {
      while (progress() < 0.4) await sleep(5);
      const leader = await holder(tabs, LEADER);
      assert.equal(leader !== undefined, where === 'leader');
      const [killed] = tabs.splice(leader ? tabs.indexOf(leader) : 0, 1);
      await killed.close();
    };
    await Promise.all([chaos(daemon, { kills: 2, progress }), close(), ...publishAll(numbers(count * 0.75))]);
    const publishers = tabs.slice(0, 6); // the one that leads now has waited longest
    await Promise.all(publishers.map(page => publish(page, numbers(first))));
    await Promise.all(publishers.map(answered));

    // Whoever has the hubs is killed with publishes of tabs that it has sent, and some that it has not.
    daemon.signal('SIGSTOP');
    const rest = publishAll(numbers(count, count * 0.75 + 1));
    await Promise.all(publishers.map(page => publish(page, numbers(last, first + 1))));
    await sleep(500);
    const leader = await holder(tabs, LEADER);
    assert.ok(leader ? publishers.includes(leader) : where !== 'leader');
    if (leader) await leader.evaluate(spin);
    else await tabs[0].evaluate(tellWorker, 'spin');
    await killSpinning(browser);
    daemon.signal('SIGCONT');
    const before = tabs;
    tabs = await living(tabs);
    t.diagnostic(`${before.length - tabs.length} of ${before.length} tabs were killed with it`);
    assert.ok(tabs.length > 1);
    const late = await tab({ channels: [], who: 'late' });
    await Promise.all([...rest, ...tabs.map(answered)]);
    await kept(late, 0);
    for (const channel of publishers.flatMap(own)) assert.deepEqual(await stored(daemon, channel), numbers(last), channel);

    const stuck = tabs.find(({ who }) => who === `tab${STUCK}`);
    const read = tabs.filter(page => page !== stuck);
    const deliveries = [];
    for (const page of read) {
      await page.waitForFunction(all => window.seen.deliveries.length >= all, { polling: 50, timeout: 120_000 }, all);
      const seen = await page.evaluate(() => ({ ...window.seen, published: null, orbit: null }));
      deliveries.push(...seen.deliveries);
      assert.deepEqual(seen.events.filter(({ type }) => !['open', 'close'].includes(type)), []);
      assert.ok(seen.events.some(({ type }) => type === 'close'), 'a tab noticed no kill');
      assert.deepEqual(page.mistakes, []);
    }
    const verdict = check(`shared-${where.split(' ').at(-1)}-${name}`, { accepted: publisher.accepted, deliveries });
    t.diagnostic(verdict);
    assert.equal(verdict, `accepted=${all} delivered=${all * read.length} lost=0 repeated=0 reordered=0`);
    await clients(daemon, 1);
    for (const page of [...tabs, late]) await page.close();
    await clients(daemon, 0);
  });
}

/** A login's tokens, one for each of so many. */
async function tokens(daemon, user, count) {
  const ask = async (path, init) => (await fetch(daemon.url + path, { method: 'POST', ...init })).json();
  const all = [await ask('/v1/login', { headers: { Authorization: `Basic ${btoa(`${user}:demo`)}` } })];
  while (all.length < count) all.push(await ask('/v1/refresh', { body: new URLSearchParams({ refresh: all.at(-1).refresh }) }));
  return all.map(({ token }) => token);
}

/** Each tab has a token of its own, with the hubs there. */
const eachItsOwn = where => async (t, name) => {
  const { daemon, tab: open } = await world(t, name, where);
  const tab = (who, token) => open({ channels: ['/private/one'], who, token });
  const hers = await tokens(daemon, 'alice', 3);
  const alices = [];
  for (const [i, token] of hers.entries()) alices.push(await tab(`alice ${i}`, token));
  const [token] = await tokens(daemon, 'bob', 1);
  const bob = await tab('bob', token);
  const [head, payload] = hers[0].split('.');
  const forged = await tab('mallory', `${head}.${payload}.c2ln`);
  await Promise.all([...alices, bob].map(opened));
  await until(forged, () => window.seen.events.some(({ type }) => type === 'error'));
  await clients(daemon, 2);
  const headers = { Authorization: `Bearer ${hers[1]}`, 'Content-Type': 'application/json' };
  await fetch(`${daemon.url}/v1/publish/private/one`, { method: 'POST', headers, body: '{"n":1}' });
  for (const page of alices) await until(page, () => window.seen.deliveries.length === 1);
  const told = page => page.evaluate(() => ({ n: window.seen.deliveries.length, user: window.seen.orbit.user ?? 'nobody', state: window.seen.orbit.state }));
  assert.deepEqual(await Promise.all([alices[2], bob, forged].map(told)), [
    { n: 1, user: 'alice', state: 'open' }, { n: 0, user: 'bob', state: 'open' }, { n: 0, user: 'nobody', state: 'closed' }]);
};

/** The worker hangs, with publishes that it has not taken, and goes on later. */
async function hangs(t, name) {
  const { site, daemon, tab } = await world(t, name, 'listening worker');
  const tabs = [];
  for (const i of numbers(3)) {
    const page = await tab({ channels, who: `tab${i}` });
    await opened(page);
    tabs.push(page);
  }
  const publisher = new Publisher(daemon.url);
  let sent = 0;
  const all = async () => {
    await publisher.publish(channels[0], [++sent]);
    for (const page of tabs) await until(page, count => window.seen.deliveries.length === count, sent);
  };
  await all();
  await tabs[0].evaluate(tellWorker, 'work');
  await Promise.all(tabs.map(page => publish(page, numbers(first))));
  await all();
  await Promise.all(tabs.map(answered));
  const late = await tab({ channels, who: 'late' }); // which need not find out by itself
  await opened(late);
  assert.notEqual(await holder(tabs, LEADER), undefined);
  tabs.push(late);
  site.busy = false;
  await all();
  await clients(daemon, 1); // the worker had one, too
  for (const channel of tabs.slice(0, 3).flatMap(own)) assert.deepEqual(await stored(daemon, channel), numbers(first), channel);
  const deliveries = (await Promise.all(tabs.map(page => page.evaluate(() => window.seen.deliveries)))).flat();
  assert.equal(check(`hangs-${name}`, { accepted: publisher.accepted, deliveries }),
    `accepted=${sent} delivered=${tabs.length * sent} lost=0 repeated=0 reordered=0`);
}

/** Workers are forbidden, and tabs that lead are left, frozen or busy. */
async function leads(t, name) {
  const { site, daemon, tab } = await world(t, name, 'forbidden');
  const tabs = [];
  for (const i of numbers(3)) {
    const page = await tab({ channels, who: `tab${i}` });
    await opened(page);
    tabs.push(page);
  }
  await clients(daemon, 1);
  const publisher = new Publisher(daemon.url);
  let sent = 0;
  const publish = () => publisher.publish(channels[0], [++sent]);
  const got = (page, count) => until(page, count => window.seen.deliveries.length === count, count);
  const leading = page => page.evaluate(holds, LEADER);

  // What a browser does to a page that it keeps for a return.
  const [first, second, third] = tabs;
  assert.equal(await leading(first), true);
  await first.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
  await publish();
  for (const page of [second, third]) await got(page, 1);
  assert.deepEqual([await leading(first), await first.evaluate(() => window.seen.deliveries.length)], [false, 0]);
  await first.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await got(first, 1);

  if (name === 'chromium') { // which alone has a way to be told so
    const session = await second.createCDPSession();
    assert.equal(await leading(second), true);
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await publish();
    for (const page of [first, third]) await got(page, 2);
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await got(second, 2);
  }

  // A leader whose script does not end; who comes now cannot wait for it.
  const busy = await holder(tabs, LEADER);
  const done = busy.evaluate(work);
  const late = await tab({ channels, who: 'late' });
  await publish();
  for (const page of [late, ...tabs].filter(page => page !== busy)) await got(page, sent);
  site.busy = false;
  await done;
  assert.deepEqual([await leading(late), await leading(busy)], [true, false]);
  tabs.push(late);
  await got(busy, sent);

  await clients(daemon, 1);
  const deliveries = (await Promise.all(tabs.map(page => page.evaluate(() => window.seen.deliveries)))).flat();
  assert.equal(check(`left-${name}`, { accepted: publisher.accepted, deliveries }),
    `accepted=${sent} delivered=${4 * sent} lost=0 repeated=0 reordered=0`);
}

inEachAtOnce('shared', { timeout: 240_000 }, {
  'a worker that hangs is given up, and does no harm when it goes on': hangs,
  'a policy forbids workers, and tabs are left, frozen or busy: the others go on': leads,
  'each tab has a token of its own, hubs in a worker: users do not meet': eachItsOwn('worker'),
  'each tab has a token of its own, hubs in a leader: users do not meet': eachItsOwn('leader'),
});
