// { shared: true }: all tabs over one connection, in a SharedWorker where the library is of the page's own
// origin, and in a leading tab where it is not. QUICK=1 makes it short.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { emptyPage, inEach, openBrowser, openPage, until } from './browser.js';
import { chaos } from './chaos.js';
import { Daemon } from './daemon.js';
import { check } from './history.js';
import { Publisher } from './publisher.js';

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

const numbers = count => Array.from({ length: count }, (_, i) => i + 1);

/** A daemon, and a page from which the library puts the hubs there. */
async function world(t, name, where) {
  const elsewhere = await emptyPage(t);
  const daemon = await Daemon.start(t, { channels: rules, origins: [elsewhere] });
  const browser = await openBrowser(t, name);
  const address = where === 'worker' ? `${daemon.url}/orbit.js` : elsewhere; // which is a page as any other
  return { daemon, open: () => openPage(browser, address) };
}

/** Waits until the daemon has so many clients. */
async function clients(daemon, count) {
  for (let i = 0; i < 100 && daemon.clients() !== count; i++) await sleep(100);
  assert.equal(daemon.clients(), count);
}

/**
 * Runs in the page: takes channels, and notes every call. One that is stuck never ends a handler, and one that
 * is abrupt is not told that it ends.
 */
async function subscribe({ url, library = url, channels, who, stuck, abrupt, token }) {
  if (abrupt) addEventListener('pagehide', event => event.stopImmediatePropagation(), true);
  const { Orbit } = await import(library + '/orbit.js');
  const orbit = new Orbit(url, { shared: true, token: token && (() => token) });
  const seen = window.seen = { deliveries: [], events: [], orbit };
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
}

/** Runs in the page: whether it is the one that holds the lock. */
async function holds(lock) {
  const mine = `mine ${Math.random()}`;
  const { held } = await navigator.locks.request(mine, () => navigator.locks.query());
  const client = name => held.find(one => one.name === name)?.clientId;
  return client(lock) === client(mine);
}

const opened = page => until(page, () => window.seen.events.some(({ type }) => type === 'open'));

for (const where of ['worker', 'leader']) {
  inEach(`${TABS} tabs, hubs in a ${where}: one connection, once and in order for each`, { timeout: 600_000 }, async (t, name) => {
    const { daemon, open } = await world(t, name, where);
    const tabs = [];
    for (const i of numbers(TABS)) {
      const page = await open();
      await page.evaluate(subscribe, { url: daemon.url, channels, who: `tab ${i}`, stuck: i === STUCK, abrupt: i === 1 });
      await opened(page);
      tabs.push(page);
    }
    await clients(daemon, 1);

    const publisher = new Publisher(daemon.url);
    const all = channels.length * count;
    const progress = () => publisher.accepted.length / all;
    const kill = async () => {
      while (progress() < 0.4) await sleep(5);
      const leads = await Promise.all(tabs.map(page => page.evaluate(holds, 'orbit:tabs:1:leader')));
      assert.equal(leads.filter(Boolean).length, where === 'leader' ? 1 : 0);
      const [killed] = tabs.splice(Math.max(leads.indexOf(true), 0), 1);
      await killed.close();
    };
    await Promise.all([
      chaos(daemon, { kills: 2, progress }), kill(),
      ...channels.map(channel => publisher.publish(channel, numbers(count))),
    ]);
    const stuck = tabs[1]; // of those that are left
    tabs.splice(1, 1);
    const deliveries = [];
    for (const page of tabs) {
      await page.waitForFunction(all => window.seen.deliveries.length >= all, { polling: 50, timeout: 120_000 }, all);
      const seen = await page.evaluate(() => ({ ...window.seen, orbit: null }));
      deliveries.push(...seen.deliveries);
      assert.deepEqual(seen.events.filter(({ type }) => !['open', 'close'].includes(type)), []);
      assert.ok(seen.events.some(({ type }) => type === 'close'), 'a tab noticed no kill');
      assert.deepEqual(page.mistakes, []);
    }
    const verdict = check(`shared-${where}-${name}`, { accepted: publisher.accepted, deliveries });
    t.diagnostic(verdict);
    assert.equal(verdict, `accepted=${all} delivered=${all * tabs.length} lost=0 repeated=0 reordered=0`);
    await clients(daemon, 1);
    for (const page of [...tabs, stuck]) await page.close();
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

for (const where of ['worker', 'leader']) {
  inEach(`each tab has a token of its own, hubs in a ${where}: users do not meet`, { timeout: 120_000 }, async (t, name) => {
    const { daemon, open } = await world(t, name, where);
    const tab = async (who, token) => {
      const page = await open();
      await page.evaluate(subscribe, { url: daemon.url, channels: ['/private/one'], who, token });
      return page;
    };
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
  });
}

/** A page and the library, from an origin of their own, with a policy that forbids workers. */
async function strictPage(t, daemon) {
  const state = { busy: true };
  const server = createServer(async (request, response) => {
    response.setHeader('Content-Security-Policy', "worker-src 'none'");
    if (request.url === '/busy') {
      response.end(String(state.busy));
    } else if (request.url !== '/') {
      const file = await fetch(daemon().url + request.url);
      response.setHeader('Content-Type', file.headers.get('Content-Type'));
      response.end(Buffer.from(await file.arrayBuffer()));
    } else {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!DOCTYPE html><title>test</title><link rel="icon" href="data:,">');
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.close(); server.closeAllConnections(); });
  return Object.assign(state, { origin: `http://localhost:${server.address().port}` });
}

/** Runs in the page, and lets nothing else run there, for as long as its server says. */
function work() {
  for (let busy = 'true'; busy === 'true';) {
    const request = new XMLHttpRequest();
    request.open('GET', '/busy', false);
    request.send();
    busy = request.responseText;
  }
}

inEach('a policy forbids workers, and tabs are left, frozen or busy: the others go on', { timeout: 120_000 }, async (t, name) => {
  let daemon;
  const strict = await strictPage(t, () => daemon);
  const { origin } = strict;
  daemon = await Daemon.start(t, { channels: rules, origins: [origin] });
  const browser = await openBrowser(t, name);
  const tabs = [];
  for (const i of numbers(3)) {
    const page = await openPage(browser, origin);
    await page.evaluate(subscribe, { url: daemon.url, library: origin, channels, who: `tab ${i}` });
    await opened(page);
    tabs.push(page);
  }
  await clients(daemon, 1);
  const publisher = new Publisher(daemon.url);
  let sent = 0;
  const publish = () => publisher.publish(channels[0], [++sent]);
  const got = (page, count) => until(page, count => window.seen.deliveries.length === count, count);
  const leads = page => page.evaluate(holds, 'orbit:tabs:1:leader');

  // What a browser does to a page that it keeps for a return.
  const [first, second, third] = tabs;
  assert.equal(await leads(first), true);
  await first.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
  await publish();
  for (const page of [second, third]) await got(page, 1);
  assert.deepEqual([await leads(first), await first.evaluate(() => window.seen.deliveries.length)], [false, 0]);
  await first.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await got(first, 1);

  if (name === 'chromium') { // which alone has a way to be told so
    const session = await second.createCDPSession();
    assert.equal(await leads(second), true);
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await publish();
    for (const page of [first, third]) await got(page, 2);
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await got(second, 2);
  }

  // A leader whose script does not end; who comes now cannot wait for it.
  const busy = tabs[(await Promise.all(tabs.map(leads))).indexOf(true)];
  const done = busy.evaluate(work);
  const late = await openPage(browser, origin);
  await late.evaluate(subscribe, { url: daemon.url, library: origin, channels, who: 'late' });
  await publish();
  for (const page of [late, ...tabs].filter(page => page !== busy)) await got(page, sent);
  strict.busy = false;
  await done;
  assert.deepEqual([await leads(late), await leads(busy)], [true, false]);
  tabs.push(late);
  await got(busy, sent);

  await clients(daemon, 1);
  const deliveries = (await Promise.all(tabs.map(page => page.evaluate(() => window.seen.deliveries)))).flat();
  assert.equal(check(`left-${name}`, { accepted: publisher.accepted, deliveries }),
    `accepted=${sent} delivered=${4 * sent} lost=0 repeated=0 reordered=0`);
});
