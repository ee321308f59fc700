// Every transport against a real daemon, straight and through proxies that are in its way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Daemon } from '../../tests/browser/daemon.js';
import { Orbit } from '../orbit.js';
import { TRANSPORTS } from '../orbit/constants.js';
import { Proxy } from './proxy.js';

const channels = `
[[channel]]
match     = "/chat/**"
subscribe = ["*"]
publish   = ["*"]
[[channel]]
match     = "/closed/**"
subscribe = []
publish   = ["*"]
[[channel]]
match     = "/desk/**"
subscribe = ["user:alice"]
publish   = ["user:alice"]
`;
const CH = '/chat/lobby';

/** Node has a WebSocket from 22 on, and 20 with a flag. */
const usable = TRANSPORTS.filter(name => name !== 'websocket' || globalThis.WebSocket);

/** An Orbit that ends with the test. */
function open(t, url, options) {
  const orbit = new Orbit(url, options);
  t.after(() => orbit.close());
  return orbit;
}

/** What a channel's handler gets, and a promise for when it has so many. */
function collect(channel, handler = () => {}) {
  const got = [];
  const waiting = [];
  channel.onmessage = event => {
    got.push(event);
    for (const wait of waiting.filter(({ count }) => got.length >= count)) wait.resolve();
    return handler(event);
  };
  got.reach = count => new Promise(resolve => (got.length >= count ? resolve() : waiting.push({ count, resolve })));
  got.data = () => got.map(event => event.data);
  return got;
}

const once = (target, type, match = () => true) => new Promise(resolve => {
  const listener = event => {
    if (!match(event)) return;
    target.removeEventListener(type, listener);
    resolve(event);
  };
  target.addEventListener(type, listener);
});

/** A token of alice's. */
async function login({ url }) {
  const form = new URLSearchParams({ user: 'alice', password: 'demo' });
  return (await (await fetch(url + '/v1/login', { method: 'POST', body: form })).json()).token;
}

const connected = orbit => once(orbit, 'open', event => event.channel === undefined);
const numbers = count => Array.from({ length: count }, (_, i) => i);

for (const name of usable) {
  test(`${name}: publishes are answered, messages come once and in order`, { timeout: 30_000 }, async t => {
    const daemon = await Daemon.start(t, { channels });
    const orbit = open(t, daemon.url, { transports: [name] });
    const other = open(t, daemon.url, { transports: [name] });
    const got = collect(orbit.channel(CH, { after: 0 }));
    const news = collect(orbit.channel('/chat/news', { after: 0 }));
    const stored = await Promise.all(numbers(300).map(n => other.channel(CH).publish(n)));
    await other.channel('/chat/news').publish('news');
    await Promise.all([got.reach(300), news.reach(1)]);
    assert.equal(orbit.transport, name);
    assert.deepEqual(got.data(), numbers(300));
    assert.deepEqual(got.map(event => event.offset), stored.map(({ offset }) => offset));
    const { messages } = await orbit.channel(CH).history({ limit: 2 });
    assert.deepEqual(messages.map(message => message.data), [298, 299]);
  });

  test(`${name}: a refused channel is told, and the others go on`, { timeout: 30_000 }, async t => {
    const daemon = await Daemon.start(t, { channels });
    const orbit = open(t, daemon.url, { transports: [name] });
    const closed = orbit.channel('/closed/lobby', { after: 0 });
    const refused = once(closed, 'error');
    closed.onmessage = () => {};
    const granted = once(orbit.channel(CH), 'open');
    const got = collect(orbit.channel(CH));
    assert.equal((await refused).code, 'forbidden');
    await granted;
    await orbit.channel(CH).publish('x');
    await got.reach(1);
    assert.deepEqual([closed.state, got.data()], ['ended', ['x']]);
  });

  test(`${name}: a handler that never ends gets a window, and all of it when it does`, { timeout: 30_000 }, async t => {
    const daemon = await Daemon.start(t, { channels });
    const publisher = open(t, daemon.url, { transports: [usable[0]] });
    await Promise.all(numbers(600).map(n => publisher.channel(CH).publish(n)));
    const orbit = open(t, daemon.url, { transports: [name], ack: 'manual' });
    const got = collect(orbit.channel(CH, { after: 0 }));
    await got.reach(256);
    await orbit.channel(CH).publish('behind'); // a round trip, and with it whatever comes
    await publisher.channel(CH).history();
    assert.ok(got.length <= 256, `${got.length} messages without an ack`);
    let acked = 0;
    while (acked < 601) {
      await got.reach(acked + 1);
      while (acked < got.length) got[acked++].ack();
    }
    assert.deepEqual(got.data(), [...numbers(600), 'behind']);
  });

  test(`${name}: a killed daemon loses, repeats and swaps nothing`, { timeout: 120_000 }, async t => {
    const daemon = await Daemon.start(t, { channels });
    const orbit = open(t, daemon.url, { transports: [name] });
    const lobby = orbit.channel(CH, { after: 0 });
    const got = collect(lobby);
    for (const round of numbers(3)) {
      const published = numbers(50).map(n => lobby.publish(round * 50 + n));
      await got.reach(round * 50 + 10);
      await daemon.kill();
      await daemon.start();
      await Promise.all(published);
    }
    await got.reach(150);
    assert.deepEqual(got.data(), numbers(150));
  });

  test(`${name}: who brings a token is its user in all that they do`, { timeout: 30_000 }, async t => {
    const daemon = await Daemon.start(t, { channels });
    const orbit = open(t, daemon.url, { transports: [name], token: () => login(daemon) });
    const ends = [];
    orbit.onclose = ({ message }) => ends.push(message);
    const desk = orbit.channel('/desk/1');
    const got = collect(desk);
    await once(desk, 'open');
    for (const n of numbers(20)) await desk.publish(n);
    await got.reach(20);
    assert.deepEqual(got.data(), numbers(20));
    assert.deepEqual([orbit.user, got[0].publisher, ends], ['alice', 'alice', []], 'and without a break');
  });

  test(`${name}: an acknowledgement that is cut off is not forgotten`, { timeout: 30_000 }, async t => {
    const daemon = await Daemon.start(t, { channels });
    const proxy = await Proxy.start(t, daemon.port);
    const page = () => open(t, proxy.url, { transports: [name], client: 'laptop', ack: 'manual', token: () => login(daemon) });
    const orbit = page();
    const lobby = orbit.channel(CH);
    const got = collect(lobby);
    await once(lobby, 'open');
    await lobby.publish('first');
    await got.reach(1);
    const back = name !== 'poll' && connected(orbit); // a poll is only made again
    got[0].ack();
    proxy.cut(); // before the second is over for which acknowledgements wait
    await back;
    const other = orbit.channel('/chat/other');
    other.onmessage = () => {};
    await once(other, 'open');
    other.close(); // which says all that is to be said
    await lobby.history(); // and this is answered behind it
    const next = page();
    const rest = collect(next.channel(CH));
    await once(next.channel(CH), 'open');
    await next.channel(CH).publish('second');
    await rest.reach(1);
    assert.deepEqual(rest.data(), ['second']);
  });

  test(`${name}: what is cut in the middle goes on`, { timeout: 30_000 }, async t => {
    const daemon = await Daemon.start(t, { channels });
    const proxy = await Proxy.start(t, daemon.port);
    const orbit = open(t, proxy.url, { transports: [name] });
    const lobby = orbit.channel(CH, { after: 0 });
    const got = collect(lobby);
    const published = [];
    for (const round of numbers(5)) {
      published.push(...numbers(20).map(n => lobby.publish(round * 20 + n)));
      await got.reach(round * 20 + 5);
      proxy.cut();
    }
    await Promise.all(published);
    await got.reach(100);
    assert.deepEqual(got.data(), numbers(100));
  });
}

test('a session moves from one transport to another in the middle', { timeout: 30_000 }, async t => {
  const daemon = await Daemon.start(t, { channels });
  const orbit = open(t, daemon.url, { transports: [usable.at(-1)] });
  const lobby = orbit.channel(CH, { after: 0 });
  const got = collect(lobby);
  const published = [];
  let sent = 0;
  const resumed = [];
  for (const name of [...usable, ...usable.toReversed?.() ?? [...usable].reverse()]) {
    published.push(...numbers(30).map(() => lobby.publish(sent++)));
    await got.reach(sent - 25);
    const moved = connected(orbit);
    orbit.transports = [name];
    resumed.push((await moved).resumed);
    assert.equal(orbit.transport, name);
  }
  await Promise.all(published);
  await got.reach(sent);
  assert.deepEqual(got.data(), numbers(sent));
  assert.ok(resumed.every(Boolean), `${resumed}`);
});

test('a proxy that refuses upgrades and buffers streams leads to polls', { timeout: 30_000 }, async t => {
  const daemon = await Daemon.start(t, { channels });
  const proxy = await Proxy.start(t, daemon.port, { upgrades: false, buffers: ['/v1/stream', '/v1/sse'] });
  const orbit = open(t, proxy.url);
  const got = collect(orbit.channel(CH, { after: 0 }));
  await orbit.channel(CH).publish('through');
  await got.reach(1);
  assert.equal(orbit.transport, 'poll');
  assert.ok(proxy.asked.get('/v1/stream') > 0 && proxy.asked.get('/v1/sse') > 0);
});

test('one that buffers what is no stream of events leads to sse', { timeout: 30_000 }, async t => {
  const daemon = await Daemon.start(t, { channels });
  const proxy = await Proxy.start(t, daemon.port, { upgrades: false, buffers: ['/v1/stream'] });
  const orbit = open(t, proxy.url);
  orbit.connect();
  await connected(orbit);
  assert.equal(orbit.transport, 'sse');
});

test('a websocket that is cut and refused from then on is replaced', { timeout: 30_000, skip: !globalThis.WebSocket && 'no WebSocket' }, async t => {
  const daemon = await Daemon.start(t, { channels });
  const proxy = await Proxy.start(t, daemon.port);
  const orbit = open(t, proxy.url);
  const lobby = orbit.channel(CH, { after: 0 });
  const got = collect(lobby);
  await lobby.publish('before');
  await got.reach(1);
  assert.equal(orbit.transport, 'websocket');
  proxy.upgrades = false;
  proxy.cut();
  await lobby.publish('after');
  await got.reach(2);
  assert.deepEqual([orbit.transport, got.data()], ['stream', ['before', 'after']]);
});

test('a server that refuses for good is not asked over and over', { timeout: 30_000 }, async t => {
  const daemon = await Daemon.start(t, { channels });
  for (const name of usable) {
    const orbit = open(t, daemon.url, { transports: [name], token: 'wrong' });
    orbit.connect();
    const { code } = await once(orbit, 'error');
    assert.deepEqual([code, orbit.state], ['unauthorized', 'closed'], name);
  }
});
