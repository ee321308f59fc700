// Publishes without an answer, and the end of their page: reloaded over each transport, killed, and with
// its whole browser. Each is stored once and in order.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TRANSPORTS } from '../../js/orbit/constants.js';
import { emptyPage, inEach, openBrowser, openPage } from './browser.js';
import { Daemon } from './daemon.js';
import { check } from './history.js';
import { below, kept, killTab } from './tab.js';

const rules = `
[[channel]]
match     = "/load/**"
subscribe = ["*"]
publish   = ["*"]
`;

async function world(t) {
  const origin = await emptyPage(t);
  return { origin, daemon: await Daemon.start(t, { channels: rules, origins: [origin] }) };
}

/** Runs in the page: as every page of this site begins. */
async function begin({ url, transports }) {
  const { Orbit } = await import(url + '/orbit.js');
  window.errors = [];
  const orbit = new Orbit(undefined, { transports, resume: 'tab' });
  orbit.onerror = ({ code, message }) => window.errors.push(`${code}: ${message}`);
  window.publish = (name, from, to) => {
    const published = [];
    for (let n = from; n <= to; n++) published.push(orbit.channel(name).publish({ n }));
    return Promise.all(published);
  };
}

/** All that is stored of a channel, and what a page that comes late gets of it. */
async function stored(daemon, page, channel) {
  const { messages } = await (await fetch(`${daemon.url}/v1/history${channel}?limit=256`)).json();
  const deliveries = await page.evaluate(async ({ url, channel, count }) => {
    const { Orbit } = await import(url + '/orbit.js');
    const orbit = new Orbit();
    const got = [];
    for await (const event of orbit.channel(channel, { after: 0 })) {
      got.push({ who: 'reader', ch: channel, o: event.offset, n: event.data.n });
      if (got.length === count) break;
    }
    orbit.close();
    return got;
  }, { url: daemon.url, channel, count: messages.length });
  return { accepted: messages.map(({ ch, o, d }) => ({ ch, n: d.n, o })), deliveries };
}

const numbers = count => Array.from({ length: count }, (_, i) => i + 1);

inEach('a page is reloaded with unsent publishes, over each transport', { timeout: 300_000 }, async (t, name) => {
  const { origin, daemon } = await world(t);
  const page = await openPage(await openBrowser(t, name), origin);
  const all = { accepted: [], deliveries: [] };
  for (const transport of TRANSPORTS) {
    const channel = `/load/${transport}`;
    const open = () => page.evaluate(begin, { url: daemon.url, transports: [transport] });
    const publish = (from, to) => page.evaluate((...args) => window.publish(...args), channel, from, to);
    const leave = async (from, to) => {
      const loaded = page.waitForNavigation();
      await page.evaluate((...args) => { window.publish(...args); location.reload(); }, channel, from, to).catch(() => {});
      await loaded;
    };
    await open();
    await publish(1, 10);
    await leave(11, 30); // on their way: the server may have them, or not
    await open();
    await publish(31, 40); // behind those before
    await daemon.kill();
    await page.evaluate((...args) => { window.publish(...args); }, channel, 41, 50);
    await leave(51, 70); // nobody there
    await daemon.start();
    await open();
    await publish(71, 71);
    await kept(page, 0);
    assert.deepEqual(await page.evaluate(() => window.errors), []);
    const history = await stored(daemon, page, channel);
    assert.deepEqual(history.accepted.map(({ n }) => n), numbers(71), transport);
    for (const [what, list] of Object.entries(history)) all[what].push(...list);
  }
  const verdict = check(`reload-${name}`, all);
  t.diagnostic(verdict);
  assert.equal(verdict, 'accepted=284 delivered=284 lost=0 repeated=0 reordered=0');
  assert.deepEqual(page.mistakes, []);
});

inEach('a tab is killed with unsent publishes, and another goes on with them', { timeout: 120_000 }, async (t, name) => {
  const { origin, daemon } = await world(t);
  const browser = await openBrowser(t, name);
  const channel = '/load/killed';
  const options = { url: daemon.url, transports: ['websocket'] };
  const first = await openPage(browser, origin);
  await first.evaluate(begin, options);
  const second = await openPage(browser, origin);
  await second.evaluate(begin, options);
  await first.evaluate(channel => window.publish(channel, 1, 5), channel);
  await second.evaluate(channel => window.publish(channel, 6, 10), channel);
  await daemon.kill();
  const killed = killTab(first);
  await first.evaluate(channel => {
    window.publish(channel, 11, 20);
    setTimeout(() => { // when this call is answered
      console.log('spinning');
      window.publish(channel, 21, 30);
      queueMicrotask(() => { for (;;); });
    }, 200);
  }, channel);
  await killed;
  await daemon.start();
  const [third, fourth] = [await openPage(browser, origin), await openPage(browser, origin)];
  await Promise.all([third, fourth].map(page => page.evaluate(begin, options)));
  await kept(third, 0);
  await third.evaluate(channel => window.publish(channel, 31, 31), channel);
  const history = await stored(daemon, third, channel);
  assert.deepEqual(history.accepted.map(({ n }) => n), numbers(31));
  t.diagnostic(check(`unsent-${name}`, history));
});

inEach('the whole browser is killed with unsent publishes, and started again', { timeout: 120_000 }, async (t, name) => {
  const { origin, daemon } = await world(t);
  const profile = mkdtempSync(join(tmpdir(), 'orbitd-profile-'));
  const channel = '/load/crash';
  const options = { url: daemon.url, transports: ['websocket'] };
  const browser = await openBrowser(t, name, [], profile);
  t.after(() => rmSync(profile, { recursive: true, force: true }));
  const first = await openPage(browser, origin);
  await first.evaluate(begin, options);
  await first.evaluate(channel => window.publish(channel, 1, 5), channel);
  await daemon.kill();
  await first.evaluate(channel => { window.publish(channel, 6, 25); }, channel);
  await kept(first, 20);
  const { pid } = browser.process();
  for (const process of [pid, ...below(pid)]) kill(process);
  await daemon.start();
  const second = await openPage(await openBrowser(t, name, [], profile), origin);
  await second.evaluate(begin, options);
  await kept(second, 0);
  const history = await stored(daemon, second, channel);
  assert.deepEqual(history.accepted.map(({ n }) => n), numbers(25));
  t.diagnostic(check(`crash-${name}`, history));
});

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
