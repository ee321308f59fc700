// Which transport is tried when, and what is concluded from how it ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TIME, TRANSPORTS } from '../orbit/constants.js';
import { greet, make } from './open.js';
import { accepted, settle } from './host.js';

function world(options) {
  const made = make({ transports: ['websocket'], ...options });
  made.host.supported = [...TRANSPORTS];
  made.orbit.transports = options?.transports ?? TRANSPORTS;
  return made;
}

/** Waits for a transport to be opened. */
async function until(host, count) {
  while (host.transports.length < count && host.step()) await settle();
  assert.equal(host.transports.length, count);
}

const names = host => host.transports.map(({ name }) => name);

test('each is tried in its order, at once, for a short time', async () => {
  const { host, orbit } = world();
  orbit.connect();
  await settle();
  host.last.drop();
  await host.advance(0);
  assert.deepEqual(names(host), ['websocket', 'stream']);
  host.last.onopen({});
  await host.advance(TIME.pick);
  host.last.onopen({});
  await host.advance(TIME.pick);
  assert.deepEqual(names(host), TRANSPORTS);
  await greet(host);
  assert.equal(orbit.transport, 'poll');
});

test('what has worked is tried alone, then all are', async () => {
  const { host, orbit } = world();
  orbit.connect();
  await greet(host);
  for (let i = 0; i < 4; i++) {
    host.last.drop();
    await host.advance(TIME.rate);
  }
  assert.deepEqual(names(host).slice(0, 5), ['websocket', 'websocket', 'websocket', 'websocket', 'stream']);
});

test('what does not even refuse gets no second attempt before the others', async () => {
  const { host, orbit } = world();
  orbit.connect();
  await greet(host);
  host.last.drop();
  await host.advance(TIME.first + TIME.open);
  assert.deepEqual(names(host).slice(0, 3), ['websocket', 'websocket', 'stream']);
});

test('one that is silent from the start is left for the next', async () => {
  const { host, orbit } = world();
  orbit.connect();
  await greet(host);
  await host.advance(25_000 + TIME.pong + TIME.first);
  assert.deepEqual(names(host), ['websocket', 'stream']);
});

test('one that is cut again and again is left for the next', async () => {
  const { host, orbit } = world();
  orbit.connect();
  for (let i = 0; i < 3; i++) {
    await greet(host);
    host.last.drop();
    await host.advance(TIME.first);
  }
  assert.deepEqual(names(host), ['websocket', 'websocket', 'websocket', 'stream']);
});

test('a better one is tried beside the connection, which moves only when that works', async () => {
  const { host, orbit, of } = world();
  orbit.connect();
  await settle();
  host.last.drop();
  await host.advance(0);
  await greet(host);
  const working = host.last;
  await until(host, 3);
  assert.deepEqual([host.last.name, working.closed, orbit.transport], ['websocket', false, 'stream']);
  host.last.drop();
  working.say({ op: 'ping' });
  const at = host.now();
  await until(host, 4);
  assert.ok(host.now() - at >= TIME.better, 'the next trial comes later');
  const trial = host.last;
  trial.onopen({});
  const [connect] = trial.take();
  assert.deepEqual([trial.name, connect.session, working.closed], ['websocket', undefined, false]);
  trial.say({ re: connect.id, ...accepted() });
  assert.deepEqual([trial.closed, working.closed], [true, true]);
  assert.equal((await greet(host, { resumed: true })).session, accepted().session);
  assert.equal(orbit.transport, 'websocket');
  assert.equal(of('error').length, 0);
});

test('the choice is remembered for a day', async () => {
  for (const [age, first] of [[TIME.remember - 1, 'poll'], [TIME.remember, 'websocket'], [-1, 'websocket']]) {
    const { host, orbit } = make();
    host.supported = [...TRANSPORTS];
    const { Orbit } = await import('../orbit.js');
    host.kept.set('orbit:transport:http://push.example.org', JSON.stringify({ transport: 'poll', at: host.date() - age }));
    const later = new Orbit('http://push.example.org', {}, host);
    later.connect();
    await settle();
    assert.equal(host.last.name, first, String(age));
    if (first !== 'poll') continue;
    await greet(host);
    assert.equal(JSON.parse(host.kept.get('orbit:transport:http://push.example.org')).at, host.date());
    orbit.close();
  }
});

test('what is no transport, or none that there could be, is refused', () => {
  assert.throws(() => make({ transports: ['pigeon'] }), /pigeon/);
  assert.throws(() => make({ transports: [] }), TypeError);
  assert.throws(() => make({ transports: ['poll'] }), /nothing here can open poll/);
});
