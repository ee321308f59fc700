// What happens to a page: tabs that are hidden, frozen and left, and handlers that come and go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TIME } from '../orbit/constants.js';
import { host as browser } from '../orbit/host.js';
import { greet, live, make } from './open.js';
import { EPOCH, message, settle } from './host.js';

const CH = '/chat/lobby';

test('a page that is looked at again asks whether the server is there', async () => {
  const { host, orbit, of } = await live();
  host.page.awake();
  host.page.awake();
  assert.deepEqual(host.last.take(), [{ op: 'ping' }], 'once is enough');
  host.last.say({ op: 'pong' });
  await host.advance(TIME.pong);
  assert.equal(orbit.state, 'open');
  host.page.awake();
  assert.deepEqual(host.last.take(), [{ op: 'ping' }]);
  const dead = host.last;
  await host.advance(TIME.pong);
  assert.ok(dead.closed);
  assert.match(of('close').at(-1).message, /silent/);
});

test('one that waits connects at once, one that connects is left alone', async () => {
  const { host, orbit } = make();
  host.page.awake();
  assert.deepEqual([orbit.state, host.transports.length], ['idle', 0]);
  orbit.connect();
  await settle();
  host.page.awake();
  assert.deepEqual([host.transports.length, host.last.take()], [1, []]);
  host.last.drop();
  host.page.awake();
  await settle();
  assert.equal(host.transports.length, 2);
});

test('a page that is left says what it processed, and has no connection', async () => {
  const { host, orbit, lobby, offsets, of } = await live();
  host.last.say(message(CH, 101, 100));
  host.page.left();
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 101 } }]);
  assert.deepEqual([host.last.closed, orbit.state, lobby.state], [true, 'waiting', 'subscribing']);
  assert.equal(host.timers.size, 0, 'nothing goes on in a page that is frozen');
  assert.equal(of('error').length, 0);
  host.page.left();
  const published = lobby.publish('x', { key: 'k' });
  await settle();
  assert.equal(host.transports.length, 1);
  host.page.back();
  const connect = await greet(host, { resumed: true, subs: { [CH]: { offset: 102 } } });
  assert.deepEqual(connect.last, { [CH]: 101 });
  const [publish] = host.last.take();
  assert.equal(publish.key, 'k');
  host.last.say(message(CH, 102, 101), { re: publish.id, offset: 103, epoch: EPOCH });
  await published;
  assert.deepEqual(offsets(), [101, 102]);
});

test('a page that was closed does not come back', async () => {
  const { host, orbit } = await live();
  const page = host.page;
  orbit.close();
  page.left();
  page.awake();
  page.back();
  await settle();
  assert.deepEqual([orbit.state, host.transports.length, host.page], ['closed', 1, null]);
});

test('the browser\'s events are heard until nobody wants to', () => {
  const heard = [];
  const target = new EventTarget();
  const { addEventListener } = globalThis;
  globalThis.addEventListener = target.addEventListener.bind(target);
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'hidden' });
  try {
    const unwatch = browser.watch({
      online: () => heard.push('online'), awake: () => heard.push('awake'), left: () => heard.push('left'), back: () => heard.push('back'),
    });
    const fire = () => {
      for (const type of ['online', 'offline', 'pagehide']) target.dispatchEvent(new Event(type));
      for (const persisted of [false, true]) target.dispatchEvent(Object.assign(new Event('pageshow'), { persisted }));
      document.dispatchEvent(new Event('visibilitychange'));
    };
    fire();
    document.visibilityState = 'visible';
    document.dispatchEvent(new Event('visibilitychange'));
    assert.deepEqual(heard.splice(0), ['online', 'awake', 'left', 'back', 'awake']);
    unwatch();
    fire();
    assert.deepEqual(heard, []);
  } finally {
    globalThis.addEventListener = addEventListener;
    delete globalThis.document;
  }
  assert.doesNotThrow(browser.watch({ online() {}, awake() {}, left() {}, back() {} }), 'where there is no page');
});

test('a handler that is taken away leaves the messages for the next', async () => {
  const { host, lobby, got } = await live();
  host.last.say(message(CH, 101, 100));
  lobby.onmessage = null;
  host.last.say(message(CH, 102, 101), message(CH, 103, 102));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 101 } }]);
  assert.equal(got.length, 1);
  lobby.onmessage = 'no function';
  assert.equal(lobby.onmessage, null);
  const later = [];
  lobby.onmessage = event => later.push(event.offset);
  assert.deepEqual(later, [], 'not before the caller is done');
  await settle();
  assert.deepEqual(later, [102, 103]);
});

test('waitUntil takes what is no promise, too', async () => {
  const { host } = await live({}, {}, event => event.waitUntil(undefined));
  host.last.say(message(CH, 101, 100), message(CH, 102, 101));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take().at(-1), { op: 'ack', last: { [CH]: 102 } });
});

test('a loop that is left while it waits ends', async () => {
  const { host, orbit } = make();
  const lobby = orbit.channel(CH, { after: 0 });
  const loop = lobby[Symbol.asyncIterator]();
  assert.equal(loop[Symbol.asyncIterator](), loop);
  const next = loop.next();
  assert.deepEqual(await loop.return(), { value: undefined, done: true });
  assert.equal((await next).done, true);
  assert.equal((await loop.next()).done, true);
  assert.equal((await loop.return()).done, true);
  await greet(host);
  const [subscribe] = host.last.take();
  host.last.say({ re: subscribe.id, offset: 1, epoch: EPOCH }, message(CH, 1, 0));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [], 'what nobody took is not processed');
  assert.equal((await lobby[Symbol.asyncIterator]().next()).value.offset, 1);
});

test('a payload that cannot be sent is an error of its publish', async () => {
  const { host, lobby, of } = await live();
  const circle = {};
  circle.self = circle;
  for (const payload of [1n, circle, undefined, () => {}, Symbol('x')]) {
    await assert.rejects(lobby.publish(payload), TypeError);
    lobby.postMessage(payload);
  }
  await settle();
  assert.deepEqual(of('error').map(event => event.code), Array(5).fill('bad_request'));
  assert.deepEqual(host.last.take(), []);
});

test('where the server has said no for good, calls end, and publishes wait for the page', async () => {
  const { host, orbit, lobby } = await live();
  const asked = lobby.history();
  const published = lobby.publish('x', { key: 'k' });
  await settle();
  host.last.say({ bye: { code: 'rate_limited' } });
  await assert.rejects(asked, { code: 'rate_limited' });
  await assert.rejects(lobby.history(), { code: 'rate_limited' });
  await assert.rejects(orbit.auth('news', 't'), { code: 'rate_limited' });
  orbit.connect();
  await greet(host, { subs: { [CH]: { offset: 100 } } });
  const [publish] = host.last.take();
  host.last.say({ re: publish.id, offset: 101, epoch: EPOCH });
  assert.equal((await published).offset, 101);
  const again = lobby.history();
  const [history] = host.last.take();
  host.last.say({ re: history.id, epoch: EPOCH, messages: [] });
  assert.deepEqual((await again).messages, []);
});

test('a connection that never opened says what may be wrong', async () => {
  const { host, orbit, of } = make();
  orbit.connect();
  await settle();
  host.last.drop();
  assert.match(of('close')[0].message, /server\.origins.*1006/);
  await host.advance(TIME.first);
  await greet(host);
  host.last.drop();
  assert.match(of('close')[1].message, /^the connection was closed \(1006\)/);
});
