// Publishing: keys, order, retries.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMIT, TIME } from '../orbit/constants.js';
import { greet, make } from './open.js';
import { EPOCH, settle } from './host.js';

const CH = '/chat/lobby';

async function publisher() {
  const world = make();
  const lobby = world.orbit.channel(CH);
  world.orbit.connect();
  await greet(world.host);
  return { ...world, lobby };
}

const stored = ({ id }, offset) => ({ re: id, offset, epoch: EPOCH });
const failed = ({ id }, code) => ({ re: id, error: { code, message: code } });
const keys = commands => commands.map(({ key, prev }) => [key, prev]);

test('a publish resolves when it is stored, and has a random key', async () => {
  const { host, lobby } = await publisher();
  const published = lobby.publish({ text: 'hi' });
  await settle();
  const [command] = host.last.take();
  assert.match(command.key, /^[0-9a-f]{32}$/);
  assert.deepEqual([command.data, command.first, command.prev], [{ text: 'hi' }, 1790000000000, undefined]);
  host.last.say({ ...stored(command, 7), duplicate: true });
  assert.deepEqual(await published, { offset: 7, epoch: EPOCH, duplicate: true });
});

test('each names the one before it while that is not answered', async () => {
  const { host, lobby } = await publisher();
  for (const key of ['a', 'b', 'c']) lobby.publish(key, { key });
  await settle();
  const commands = host.last.take();
  assert.deepEqual(keys(commands), [['a', undefined], ['b', 'a'], ['c', 'b']]);
  host.last.say(...commands.map((command, i) => stored(command, i + 1)));
  lobby.publish('d', { key: 'd' });
  await settle();
  assert.deepEqual(keys(host.last.take()), [['d', undefined]]);
});

test('after a lost connection what has no answer is sent again, with its key and its first time', async () => {
  const { host, lobby } = await publisher();
  const results = ['a', 'b', 'c'].map(key => lobby.publish(key, { key }));
  await settle();
  const commands = host.last.take();
  host.last.say(stored(commands[0], 1));
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host, { now: 1790000050000 });
  const again = host.last.take();
  assert.deepEqual(keys(again), [['b', undefined], ['c', 'b']]);
  assert.deepEqual(again.map(command => command.first), [1790000000000, 1790000000000]);
  host.last.say(...again.map((command, i) => stored(command, i + 2)));
  assert.deepEqual((await Promise.all(results)).map(({ offset }) => offset), [1, 2, 3]);
});

test('what waits for a connection is first tried when there is one, by the server\'s clock', async () => {
  const { host, orbit } = make();
  orbit.channel(CH).publish('x');
  await settle();
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host, { now: 1790000090000 });
  assert.equal(host.last.take()[0].first, 1790000090000);
});

test('a passing failure is tried again, and is not overtaken', async () => {
  for (const code of ['unavailable', 'unknown', 'internal', 'rate_limited']) {
    const { host, lobby } = await publisher();
    const results = ['a', 'b', 'c'].map(key => lobby.publish(key, { key }));
    await settle();
    const [a, b, c] = host.last.take();
    host.last.say(failed(a, code), failed(b, 'out_of_order'), failed(c, 'out_of_order'));
    assert.deepEqual(host.last.take(), []);
    await host.advance(TIME.rate);
    const [again] = host.last.take();
    assert.deepEqual([again.key, again.prev], ['a', undefined]);
    host.last.say(stored(again, 1));
    const rest = host.last.take();
    assert.deepEqual(keys(rest), [['b', undefined], ['c', 'b']]);
    host.last.say(...rest.map((command, i) => stored(command, i + 2)));
    assert.deepEqual((await Promise.all(results)).map(({ offset }) => offset), [1, 2, 3]);
  }
});

test('a definite refusal rejects, and lets the next one through', async () => {
  const { host, lobby } = await publisher();
  const a = lobby.publish('a', { key: 'a' });
  const b = lobby.publish('b', { key: 'b' });
  await settle();
  const [first, second] = host.last.take();
  host.last.say(failed(second, 'out_of_order'));
  assert.deepEqual(host.last.take(), [], 'its predecessor may still be stored');
  host.last.say(failed(first, 'conflict'));
  await assert.rejects(a, { name: 'OrbitError', code: 'conflict', channel: CH });
  const [again] = host.last.take();
  assert.deepEqual([again.key, again.prev], ['b', undefined]);
  host.last.say(failed(again, 'out_of_order'));
  await assert.rejects(b, { code: 'out_of_order' });
});

test('what the server would not read is refused here', async () => {
  const { host, lobby } = await publisher();
  await assert.rejects(lobby.publish('x'.repeat(70_000)), { code: 'too_large' });
  await assert.rejects(lobby.publish('ü'.repeat(35_000)), { code: 'too_large' });
  await assert.rejects(lobby.publish(undefined), TypeError);
  assert.deepEqual(host.last.take(), []);
});

test('what the page changes afterwards does not change what is sent', async () => {
  const { host, lobby } = await publisher();
  const data = { text: 'hi' };
  lobby.publish(data);
  data.text = 'changed';
  await settle();
  assert.equal(host.last.take()[0].data.text, 'hi');
});

test('no more than a window is on the wire, no more than a limit waits', async () => {
  const { host, orbit, lobby } = await publisher();
  const results = Array.from({ length: LIMIT.outbox }, () => lobby.publish(1));
  results.forEach(result => result.catch(() => {}));
  await settle();
  const commands = host.last.take();
  assert.equal(commands.length, LIMIT.outstanding);
  await assert.rejects(lobby.publish(1), { code: 'outbox_full' });
  host.last.say(stored(commands[0], 1));
  assert.equal(host.last.take().length, 1);
  orbit.close();
});

test('no more bytes wait than a limit, but one publish may', async () => {
  const { orbit } = make();
  const lobby = orbit.channel(CH);
  const results = [lobby.publish('x'.repeat(LIMIT.outboxBytes)), lobby.publish('y')];
  await assert.rejects(results[1], { code: 'outbox_full' });
  orbit.close();
  await assert.rejects(results[0], { code: 'closed' });
});

test('postMessage tells of a failure by an event', async () => {
  const { host, lobby, of } = await publisher();
  lobby.postMessage('x');
  await settle();
  host.last.say(failed(host.last.take()[0], 'forbidden'));
  await settle();
  assert.deepEqual(of('error').map(({ code, channel }) => [code, channel]), [['forbidden', CH]]);
});

test('channels do not wait for each other', async () => {
  const { host, orbit, lobby } = await publisher();
  lobby.publish('a', { key: 'a' });
  orbit.channel('/news/board').publish('b', { key: 'b' });
  await settle();
  const [a, b] = host.last.take();
  host.last.say(failed(a, 'unavailable'), stored(b, 2));
  orbit.channel('/news/board').publish('c', { key: 'c' });
  await settle();
  assert.deepEqual(keys(host.last.take()), [['c', undefined]]);
});
