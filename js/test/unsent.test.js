// Publishes that outlive their page: who sends them, in which order, and what is told of the others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Orbit } from '../orbit.js';
import { TIME } from '../orbit/constants.js';
import { greet } from './open.js';
import { EPOCH, settle, TestHost } from './host.js';

const CH = '/chat/lobby';

let seed = 1;

/** A browser like another one's, with random numbers of its own. */
const hostAfter = before => Object.assign(new TestHost(seed++), before && { shelves: before.host.shelves, time: before.host.time });

/** A page on a scripted transport, of the same browser as another one. */
async function page(before) {
  const host = hostAfter(before);
  const orbit = new Orbit('http://push.example.org', { resume: 'tab' }, host);
  const errors = [];
  orbit.onerror = event => errors.push(event);
  await settle();
  const publish = (key, options) => orbit.channel(CH).publish(key.toUpperCase(), { key, ...options });
  return { host, orbit, errors, publish, connect: () => orbit.connect(), keys: () => host.last.take().map(({ key, prev }) => [key, prev]) };
}

/** One that could not send what it published, and is gone. */
async function left(...keys) {
  const first = await page();
  for (const key of keys) first.publish(key).catch(() => {});
  await settle();
  first.host.leaving.end();
  return first;
}

const answer = (host, ...commands) => host.last.say(...commands.map(({ id }, i) => ({ re: id, offset: 101 + i, epoch: EPOCH })));

test('what a page has left goes first, and is gone when it is answered', async () => {
  const first = await left('a', 'b');
  const second = await page(first);
  const own = second.publish('c');
  await greet(second.host);
  const commands = second.host.last.take();
  assert.deepEqual(commands.map(({ key, prev, data }) => [key, prev, data]), [['a', undefined, 'A'], ['b', 'a', 'B'], ['c', 'b', 'C']]);
  answer(second.host, ...commands.slice(0, 2));
  await settle();
  assert.equal(second.host.shelves.count, 1);
  answer(second.host, commands[2]);
  await own;
  await settle();
  assert.equal(second.host.shelves.count, 0);
});

test('what a page publishes before the browser has said what is left does not overtake it', async () => {
  const first = await left('a');
  const host = hostAfter(first);
  let open;
  host.shelf = scope => new Promise(resolve => { open = () => resolve(host.leaving.shelf(scope)); });
  const orbit = new Orbit('http://push.example.org', { resume: 'browser' }, host);
  orbit.channel(CH).publish('B', { key: 'b' });
  await greet(host);
  assert.deepEqual(host.last.take(), []);
  open();
  await settle();
  assert.deepEqual(host.last.take().map(({ key, prev }) => [key, prev]), [['a', undefined], ['b', 'a']]);
});

test('a browser that does not say what is left holds up nothing for long', async () => {
  const first = await left('a');
  const host = hostAfter(first);
  let open;
  host.shelf = scope => new Promise(resolve => { open = () => resolve(host.leaving.shelf(scope)); });
  const orbit = new Orbit('http://push.example.org', { resume: 'tab' }, host);
  orbit.channel(CH).publish('B', { key: 'b' });
  await greet(host);
  await host.advance(TIME.recall);
  assert.deepEqual(host.last.take().map(({ key }) => key), ['b']);
  open();
  await settle();
  assert.deepEqual(host.last.take().map(({ key, prev }) => [key, prev]), [['a', 'b']]);
});

test('a page that is alive keeps its publishes, and of two new ones one gets what is left', async () => {
  const first = await page();
  first.publish('a').catch(() => {});
  await settle();
  const idle = await page(first);
  assert.equal(idle.orbit.state, 'idle', 'there is nothing to do');
  first.host.leaving.end();
  const pages = await Promise.all([page(first), page(first)]);
  await settle();
  assert.deepEqual(pages.map(({ orbit }) => orbit.state).sort(), ['connecting', 'idle']);
  const taker = pages.find(({ orbit }) => orbit.state === 'connecting');
  await greet(taker.host);
  assert.deepEqual(taker.keys(), [['a', undefined]]);
});

test('what earlier pages have left stays, where the one that took it is closed', async () => {
  const first = await left('a');
  const second = await page(first);
  const own = second.publish('b');
  second.orbit.close();
  await assert.rejects(own, { code: 'closed' });
  await settle();
  const third = await page(second);
  await greet(third.host);
  assert.deepEqual(third.keys(), [['a', undefined]]);
});

test('a retry has the time of the first try, also by another page', async () => {
  const first = await page();
  first.publish('a').catch(() => {});
  await greet(first.host);
  await settle();
  first.host.leaving.end();
  const second = await page(first);
  await greet(second.host, { now: 1790000500000 });
  assert.equal(second.host.last.take()[0].first, 1790000000000);
});

test('what the server does not remember any more is told, with what it was', async () => {
  const second = await page(await left('a'));
  await greet(second.host);
  const [{ id }] = second.host.last.take();
  second.host.last.say({ re: id, error: { code: 'key_expired', message: 'too old' } });
  assert.deepEqual(second.errors.map(({ channel, code, payload }) => [channel, code, payload]), [[CH, 'key_expired', 'A']]);
  await settle();
  assert.equal(second.host.shelves.count, 0);
});

test('what was never sent for a day is not sent, and told', async () => {
  const first = await left('a');
  first.host.time += TIME.unsent + 1;
  const second = await page(first);
  const bytes = second.publish('b');
  await greet(second.host);
  assert.deepEqual(second.keys(), [['b', undefined]]);
  assert.deepEqual(second.errors.map(({ channel, code, payload }) => [channel, code, payload]), [[CH, 'too_old', 'A']]);
  second.host.last.drop();
  second.host.time += TIME.unsent + 1;
  const late = second.publish('c');
  await second.host.advance(TIME.first);
  await greet(second.host);
  assert.deepEqual(second.keys(), [['b', undefined], ['c', 'b']], 'b was sent: the server decides');
  second.orbit.close();
  for (const promise of [bytes, late]) await assert.rejects(promise, { code: 'closed' });
});

test('bytes that are told of are bytes', async () => {
  const first = await page();
  first.orbit.channel(CH).publish(new Uint8Array([1, 2, 3])).catch(() => {});
  await settle();
  first.host.leaving.end();
  const second = await page(first);
  await greet(second.host);
  const [{ id, b }] = second.host.last.take();
  assert.equal(b, 'AQID');
  second.host.last.say({ re: id, error: { code: 'forbidden', message: 'no' } });
  assert.deepEqual([...second.errors[0].payload], [1, 2, 3]);
});

test('what was sent as somebody is not sent as somebody else', async () => {
  const first = await page();
  const lost = assert.rejects(first.publish('a'), { code: 'other_user', message: /alice/ });
  await greet(first.host, { user: 'alice' });
  first.host.last.take();
  first.host.last.drop();
  await first.host.advance(TIME.first);
  await greet(first.host, { user: 'bob' });
  await lost;
  first.publish('b').catch(() => {});
  await settle();
  assert.deepEqual(first.keys(), [['b', undefined]]);
});

test('and waits for a page of its user', async () => {
  const first = await page();
  first.publish('a').catch(() => {});
  await greet(first.host, { user: 'alice' });
  first.host.leaving.end();
  const second = await page(first);
  second.publish('b').catch(() => {});
  await greet(second.host, { user: 'bob' });
  assert.deepEqual([second.keys(), second.errors], [[['b', undefined]], []]);
  second.host.leaving.end();
  const third = await page(second);
  await greet(third.host, { user: 'alice' });
  assert.deepEqual(third.keys(), [['a', undefined]]);
  third.host.leaving.end();
  third.host.time += TIME.unsent + 1;
  const fourth = await page(third);
  fourth.connect();
  await greet(fourth.host, { user: 'carol' });
  assert.deepEqual(fourth.errors.map(({ code, message }) => [code, /alice|bob/.test(message)]), [['other_user', true], ['other_user', true]]);
  await settle();
  assert.equal(fourth.host.shelves.count, 0);
});

test('where nothing can be kept that is told once, and all else is as ever', async () => {
  const host = new TestHost();
  host.shelf = () => Promise.reject(new Error('blocked'));
  const orbit = new Orbit('http://push.example.org', { resume: 'tab' }, host);
  const errors = [];
  orbit.onerror = event => errors.push(event.code);
  const published = orbit.channel(CH).publish('x');
  await greet(host);
  answer(host, ...host.last.take());
  assert.equal((await published).offset, 101);
  assert.deepEqual(errors, ['not_kept']);
});

test('what does not fit is this page\'s alone', async () => {
  const first = await page();
  first.publish('a').catch(() => {});
  await settle();
  first.host.shelves.full = true;
  for (const key of ['b', 'c']) {
    first.publish(key).catch(() => {});
    await settle();
  }
  await greet(first.host);
  assert.deepEqual(first.keys(), [['a', undefined], ['b', 'a'], ['c', 'b']]);
  assert.deepEqual(first.errors.map(({ code }) => code), ['not_kept']);
});
