// The library on ways that are not straight: a transport that is cut and refused in the middle, proxies
// that many have, and messages that are compressed.
import assert from 'node:assert/strict';
import { Proxy } from '../../js/test/proxy.js';
import { emptyPage, inEach, openBrowser, openPage, until } from './browser.js';
import { Daemon } from './daemon.js';
import { check } from './history.js';
import { startHAProxy, startNginx } from './proxies.js';
import { Publisher } from './publisher.js';

const rules = `
[[channel]]
match     = "/load/**"
subscribe = ["*"]
publish   = ["*"]
`;
const channel = '/load/ways';

async function world(t, name) {
  const origin = await emptyPage(t);
  const daemon = await Daemon.start(t, { channels: rules, origins: [origin] });
  return { daemon, origin, browser: await openBrowser(t, name), publisher: new Publisher(daemon.url) };
}

/** Runs in the page: notes what its handler gets, and when which transport is in use. */
async function follow({ url, channel, who }) {
  const { Orbit } = await import(url + '/orbit.js');
  const orbit = new Orbit();
  window.seen = { deliveries: [], used: [], odd: [] };
  const begun = performance.now();
  const note = what => window.seen.used.push({ what, at: Math.round(performance.now() - begun) });
  orbit.addEventListener('open', event => event.channel || note(event.transport));
  orbit.addEventListener('close', event => event.channel || note('lost'));
  for (const type of ['gap', 'revoked', 'error']) orbit.addEventListener(type, ({ type, code }) => window.seen.odd.push([type, code]));
  orbit.channel(channel, { after: 0 }).onmessage = event => {
    window.seen.deliveries.push({ who, ch: event.channel, o: event.offset, n: event.data.n });
  };
}

const got = (page, count) => until(page, count => window.seen.deliveries.length >= count, count);
const uses = (page, transport) => until(page, transport => window.seen.used.at(-1)?.what === transport, transport);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

inEach('a transport that is cut and refused in the middle is replaced by the next one', { timeout: 180_000 }, async (t, name) => {
  const { daemon, browser, origin, publisher } = await world(t, name);
  const proxy = await Proxy.start(t, daemon.port);
  const page = await openPage(browser, origin);
  await page.evaluate(follow, { url: proxy.url, channel, who: 'page' });
  await uses(page, 'websocket');
  const refusals = {
    stream: () => { proxy.upgrades = false; },
    sse: () => proxy.buffers.push('/v1/stream'),
    poll: () => proxy.buffers.push('/v1/sse'),
  };
  let last = 0;
  for (const [next, refuse] of Object.entries(refusals)) {
    const published = publisher.publish(channel, range(last + 1, last + 100));
    await got(page, last + 20);
    refuse();
    proxy.cut();
    await uses(page, next);
    await published;
    last += 100;
  }
  await got(page, last);
  const { deliveries, used, odd } = await page.evaluate(() => window.seen);
  const verdict = check(`ways-${name}`, { accepted: publisher.accepted, deliveries });
  t.diagnostic(`${verdict}; ${used.map(({ what, at }) => `${at} ms ${what}`).join(', ')}`);
  assert.equal(verdict, `accepted=${last} delivered=${last} lost=0 repeated=0 reordered=0`);
  const opened = used.map(({ what }) => what).filter(what => what !== 'lost');
  assert.deepEqual(opened.filter((what, i) => what !== opened[i - 1]), ['websocket', 'stream', 'sse', 'poll']);
  assert.deepEqual([odd, page.mistakes], [[], []]);
});

inEach('through nginx and haproxy, and a daemon that is killed behind them', { timeout: 180_000 }, async (t, name) => {
  const { daemon, browser, origin, publisher } = await world(t, name);
  const nginx = await startNginx(t, daemon);
  const ways = [ // what is in front, and the best transport that gets through it
    ['nginx by default', nginx.plain, 'stream'],
    ['nginx as etc/proxies has it', nginx.whole, 'websocket'],
    ['haproxy by default', await startHAProxy(t, daemon), 'websocket'],
  ];
  const pages = [];
  for (const [who, url, transport] of ways) {
    const page = await openPage(browser, origin);
    await page.evaluate(follow, { url, channel, who });
    await uses(page, transport);
    pages.push(page);
  }
  const count = 300;
  const published = publisher.publish(channel, range(1, count));
  await Promise.all(pages.map(page => got(page, 100)));
  assert.deepEqual(pages.map(page => page.mistakes), ways.map(() => []));
  await daemon.kill();
  await daemon.start();
  await published;
  const deliveries = [];
  for (const [i, page] of pages.entries()) {
    await got(page, count);
    const seen = await page.evaluate(() => window.seen);
    deliveries.push(...seen.deliveries);
    assert.ok(seen.used.some(({ what }) => what === 'lost'), `${ways[i][0]} noticed no kill`);
    // While the daemon is dead its proxy answers, and allows no origin.
    const mistakes = page.mistakes.filter(text => !(text.includes(ways[i][1]) && text.includes('blocked by CORS policy')));
    assert.deepEqual([seen.odd, mistakes], [[], []], ways[i][0]);
  }
  const verdict = check(`proxies-${name}`, { accepted: publisher.accepted, deliveries });
  t.diagnostic(verdict);
  assert.equal(verdict, `accepted=${count} delivered=${count * ways.length} lost=0 repeated=0 reordered=0`);
});

inEach('large messages come compressed, for browsers offer it', { timeout: 60_000 }, async (t, name) => {
  const { daemon, browser, origin } = await world(t, name);
  const proxy = await Proxy.start(t, daemon.port);
  const page = await openPage(browser, origin);
  await page.evaluate(async ({ url, channel }) => {
    const { Orbit } = await import(url + '/orbit.js');
    window.texts = [];
    new Orbit(undefined, { transports: ['websocket'] }).channel(channel, { after: 0 }).onmessage = event => window.texts.push(event.data);
  }, { url: proxy.url, channel });
  const texts = range(1, 20).map(n => `${n}: ${'a message that is larger than a kilobyte; '.repeat(100)}`);
  for (const text of texts) {
    assert.equal((await fetch(`${daemon.url}/v1/publish${channel}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(text) })).status, 200);
  }
  await until(page, count => window.texts.length >= count, texts.length);
  assert.ok((await page.evaluate(() => window.texts)).every((text, i) => text === texts[i]), 'they came otherwise');
  const plain = texts.join('').length;
  t.diagnostic(`${plain} bytes came as ${proxy.down}`);
  assert.ok(proxy.upgraded.some(lines => lines.includes('Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover')), `${proxy.upgraded}`);
  assert.ok(proxy.down < plain / 4, `${plain} bytes came as ${proxy.down}`);
});
