// A hub against a scripted server: what goes over its one connection, and who is told what.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Orbit } from '../orbit.js';
import { LIMIT, TIME } from '../orbit/constants.js';
import { sameBearer } from '../orbit/hub/bearer.js';
import { within } from '../orbit/hub/page.js';
import { Registry } from '../orbit/hub/registry.js';
import { accepted, EPOCH, message, OTHER_EPOCH, settle, TestHost } from './host.js';

const CH = '/chat/lobby';

/** A page on scripted transports. */
class World {
  host = new TestHost();
  watchers = new Set();

  constructor(limits = {}) {
    this.registry = new Registry(this.host, { ...LIMIT, portBurst: 20, ...limits });
    this.host.watch = watcher => {
      this.watchers.add(watcher);
      return () => this.watchers.delete(watcher);
    };
  }

  /** A script's Orbit, and what it was told. */
  open(options) {
    const orbit = new Orbit('http://push.example.org', { shared: true, ...options }, this.host, { dial: () => within(this.registry) });
    const told = [];
    for (const type of ['open', 'close', 'gap', 'revoked', 'error']) {
      orbit.addEventListener(type, ({ code, channel }) => told.push([type, code, channel].filter(Boolean).join(' ')));
    }
    orbit.connect();
    return { orbit, told };
  }

  /** The server accepts the newest connection. */
  async greet(reply) {
    await settle();
    this.host.last.onopen({});
    const [connect] = this.host.last.take();
    await this.say({ re: connect.id, ...accepted(reply) });
    return connect;
  }

  async say(...frames) {
    this.host.last.say(...frames);
    await settle();
  }

  /** What the server was sent since the last call, but for acknowledgements. */
  async sent() {
    await settle();
    return this.host.last.take().filter(({ op }) => op !== 'ack');
  }

  /** Answers what was sent; returns it. */
  async answer(reply) {
    const [command, ...more] = await this.sent();
    assert.deepEqual(more, []);
    await this.say({ re: command.id, ...reply });
    return command;
  }
}

/** An Orbit's channel that is read. */
function read(orbit, start) {
  const got = [];
  const channel = orbit.channel(CH, start);
  channel.onmessage = event => { got.push(event.offset); };
  channel.ongap = gap => { got.push(`gap ${gap.reason} ${gap.to}`); };
  return got;
}

for (const [how, end] of Object.entries({
  'a publish is refused': world => world.answer({ error: { code: 'unauthorized', message: 'the login has ended' } }),
  'its channels are taken away': async world => {
    await world.sent();
    await world.say({ ch: CH, revoked: { code: 'unauthorized', message: 'the login has ended' } });
  },
})) {
  test(`the token of one application has ended, ${how}: it alone gets another`, async () => {
    const world = new World();
    const tokens = ['first', 'second'];
    const chat = world.open({ app: 'chat', token: () => tokens.shift() });
    const news = world.open({ app: 'news' });
    const connect = await world.greet();
    assert.deepEqual([connect.token, connect.auth], [undefined, undefined]);
    const login = await world.answer({ user: 'alice' });
    assert.deepEqual([login.op, login.app, login.token], ['auth', 'chat', 'first']);
    read(chat.orbit);
    await world.answer({ offset: 10, epoch: EPOCH });
    const published = chat.orbit.channel(CH).publish(1, { key: 'k' });
    await end(world);
    await world.host.advance(1000);
    const again = (await world.sent()).find(({ op }) => op === 'auth');
    assert.deepEqual([again.app, again.token], ['chat', 'second']);
    await world.say({ re: again.id, user: 'alice' });
    const commands = await world.sent();
    const publish = commands.find(({ op }) => op === 'publish');
    await world.say({ re: publish.id, offset: 11, epoch: EPOCH });
    assert.equal((await published).offset, 11);
    assert.deepEqual([publish.key, commands.length], ['k', 2]);
    assert.deepEqual([chat.told.filter(what => what.startsWith('close')), news.told], [[`close connection_lost ${CH}`, 'close unauthorized'], ['open']]);
    assert.equal(world.host.transports.length, 1);
  });
}

test('a position of another history is a gap for who stands there, and for nobody else', async () => {
  const world = new World();
  const [live, ahead, behind] = [world.open(), world.open(), world.open()];
  await world.greet();
  const inLive = read(live.orbit);
  await world.answer({ offset: 100, epoch: EPOCH });
  const inAhead = read(ahead.orbit, { after: 60, epoch: OTHER_EPOCH });
  const inBehind = read(behind.orbit, { after: 50, epoch: OTHER_EPOCH });
  const first = await world.answer({ offset: 100, epoch: EPOCH });
  assert.deepEqual([first.after, first.epoch], [60, OTHER_EPOCH]);
  await world.say({ ch: CH, gap: { after: 60, to: 70, reason: 'epoch' } }, message(CH, 80, 65), { ch: CH, at: 100 });
  const second = await world.answer({ offset: 100, epoch: EPOCH });
  assert.deepEqual([second.after, second.epoch], [50, OTHER_EPOCH]);
  await world.say(message(CH, 55, 50), message(CH, 65, 55), message(CH, 80, 65), { ch: CH, at: 100 });
  await world.say(message(CH, 101, 80));
  assert.deepEqual([inLive, inAhead, inBehind], [[101], ['gap epoch 70', 80, 101], [55, 65, 80, 101]]);
  assert.deepEqual(await world.sent(), []);
});

test('who starts now, starts where the server is', async () => {
  const world = new World();
  const [first, second] = [world.open(), world.open()];
  await world.greet();
  const got = read(first.orbit);
  await world.answer({ offset: 100, epoch: EPOCH });
  const late = read(second.orbit);
  const asked = await world.answer({ offset: 103, epoch: EPOCH });
  assert.deepEqual([asked.after, asked.epoch], [100, EPOCH]);
  await world.say(message(CH, 102, 99), message(CH, 103, 102), { ch: CH, at: 103 }, message(CH, 104, 103));
  assert.deepEqual([got, late], [[102, 103, 104], [104]]);
});

test('all is gone: who starts with the oldest is told nothing, and who stands before it is told the gap', async () => {
  const world = new World();
  const [late, oldest] = [world.open(), world.open()];
  await world.greet();
  const inOldest = read(oldest.orbit, { after: 0 });
  await world.answer({ offset: 79, epoch: EPOCH });
  await world.say({ ch: CH, at: 81 });
  const inLate = read(late.orbit, { after: 39, epoch: EPOCH });
  const asked = await world.answer({ offset: 79, epoch: EPOCH });
  assert.equal(asked.after, 39);
  await world.say({ ch: CH, gap: { after: 39, to: 79, reason: 'expired' } }, { ch: CH, at: 82 }, message(CH, 90, 79));
  assert.deepEqual([inOldest, inLate], [[90], ['gap expired 79', 90]]);
});

test('who takes nothing costs one turn for what it was sent, and holds up nobody', async () => {
  const world = new World();
  const [quick, slow] = [world.open(), world.open({ ack: 'manual' })];
  await world.greet();
  const got = read(quick.orbit);
  await world.answer({ offset: 1000, epoch: EPOCH });
  const held = [];
  slow.orbit.channel(CH, { after: 1000, epoch: EPOCH }).onmessage = event => { held.push(event); };
  await settle();
  const count = 2 * LIMIT.window + 88;
  for (let n = 1; n <= count; n++) await world.say(message(CH, 1000 + n, 999 + n));
  assert.deepEqual([got.length, held.length], [count, LIMIT.window]);
  assert.deepEqual(await world.sent(), []);
  for (const event of held) event.ack();
  const back = await world.answer({ offset: 1000 + count, epoch: EPOCH });
  assert.deepEqual([back.after, back.epoch], [1000 + LIMIT.window, EPOCH]);
  for (let n = LIMIT.window + 1; n <= 2 * LIMIT.window; n++) await world.say(message(CH, 1000 + n, 999 + n));
  const front = await world.answer({ offset: 1000 + count, epoch: EPOCH });
  assert.deepEqual([front.after, got.length, held.length], [1000 + count, count, 2 * LIMIT.window]);

  await world.say({ ch: CH, at: 1000 + count });
  for (const event of held.slice(0, LIMIT.window + 9)) event.ack(); // room for a few: not worth a turn, yet
  await settle();
  await world.host.advance(TIME.ack); // the library acknowledges
  assert.deepEqual(await world.sent(), []);
  await world.host.advance(TIME.ack);
  const few = await world.answer({ offset: 1000 + count, epoch: EPOCH });
  assert.equal(few.after, 1000 + 2 * LIMIT.window);
});

test('the connection is lost: all of them wait as long, and one connection is made', async () => {
  const world = new World();
  const orbits = [world.open(), world.open(), world.open()];
  await world.greet();
  await world.say({ bye: { code: 'restart', retry: 1500 } });
  assert.deepEqual(orbits.map(({ orbit, told }) => [orbit.state, ...told]), Array(3).fill(['waiting', 'open', 'close restart']));
  await world.host.advance(1500);
  world.host.last.drop();
  await settle();
  assert.deepEqual(orbits.map(({ told }) => told.at(-1)), Array(3).fill('close connection_lost'));
  await world.host.advance(1000);
  await world.greet();
  assert.deepEqual(orbits.map(({ orbit }) => orbit.state), Array(3).fill('open'));
  assert.equal(world.host.transports.length, 3);
});

test('the server refuses for good: each is told why, and may ask again', async () => {
  const world = new World();
  const { orbit, told } = world.open({ token: 'x' });
  await settle();
  world.host.last.onopen({});
  const [connect] = world.host.last.take();
  assert.equal(connect.token, 'x');
  await world.say({ re: connect.id, error: { code: 'forbidden', message: 'no' } }, { bye: { code: 'forbidden' } });
  assert.deepEqual([orbit.state, told], ['closed', ['close forbidden', 'error forbidden']]);
  orbit.connect();
  await world.greet();
  assert.equal(orbit.state, 'open');
});

test('two users of one application do not meet, also when both come at once', async () => {
  const world = new World();
  const alice = world.open({ app: 'chat', token: 'of alice' });
  const bob = world.open({ app: 'chat', token: 'of bob' });
  await settle();
  const [first, second] = world.host.transports;
  for (const [transport, token, user] of [[first, 'of alice', 'alice'], [second, 'of bob', 'bob']]) {
    transport.onopen({});
    const [connect] = transport.take();
    transport.say({ re: connect.id, ...accepted() });
    await settle();
    const [login, ...more] = transport.take();
    assert.deepEqual([login.token, more], [token, []]);
    transport.say({ re: login.id, user });
    await settle();
  }
  first.drop();
  second.drop();
  await world.host.advance(1000);
  assert.deepEqual([alice.orbit.state, bob.orbit.state, world.host.transports.length], ['connecting', 'connecting', 4]);
});

test('the token that a connection was made with is refused: who came with another makes one with that', async () => {
  const world = new World();
  const bad = world.open({ token: jwt({ sub: 'alice', iat: 1 }) });
  const good = world.open({ token: jwt({ sub: 'alice', iat: 2 }) });
  await settle();
  world.host.last.onopen({});
  const [{ id }] = world.host.last.take();
  await world.say({ re: id, error: { code: 'unauthorized', message: 'no' } }, { bye: { code: 'unauthorized' } });
  await world.host.advance(0);
  await world.greet({ user: 'alice' });
  assert.deepEqual([bad.orbit.state, good.orbit.state, good.orbit.user], ['closed', 'open', 'alice']);
});

test('as many as may share come back to where they were', async () => {
  const world = new World({ ports: 2 });
  const orbits = [world.open(), world.open()];
  await world.greet();
  world.host.last.drop();
  await world.host.advance(1000);
  await world.greet();
  assert.deepEqual([orbits.map(({ orbit }) => orbit.state), world.host.transports.length], [['open', 'open'], 2]);
  world.open();
  await settle();
  assert.equal(world.host.transports.length, 3);
});

test('a connection of its own: the token is that of the application, and is fetched anew like any other', async () => {
  const world = new World();
  const tokens = ['first', 'second'];
  const { orbit, told } = world.open({ app: 'chat', shared: false, token: () => tokens.shift() });
  const first = await world.greet();
  read(orbit);
  await world.answer({ offset: 10, epoch: EPOCH });
  await world.say({ ch: CH, revoked: { code: 'unauthorized', message: 'the login has ended' } });
  await world.host.advance(1000);
  const second = await world.greet();
  assert.deepEqual([first, second].map(({ token, auth }) => [token, auth]), [
    [undefined, [{ app: 'chat', token: 'first' }]], [undefined, [{ app: 'chat', token: 'second' }]]]);
  assert.deepEqual([second.last, told.filter(what => what.startsWith('revoked'))], [{ [CH]: 10 }, []]);
});

test("the login of the connection has ended, and is renewed: no port's token is to blame", async () => {
  const world = new World();
  const { orbit, told } = world.open({ app: 'chat', token: 'x' });
  await world.greet();
  await world.answer({ user: 'alice' });
  await world.say({ bye: { code: 'unauthorized' } });
  assert.deepEqual([orbit.state, told], ['waiting', ['open', 'close connection_lost']]);
  await world.host.advance(1000);
  await world.greet();
  await world.answer({ user: 'alice' });
  assert.equal(orbit.state, 'open');
});

test('a page that is somebody else now gets another connection, and leaves the old one', async () => {
  const world = new World();
  const [first, second] = [world.open(), world.open()];
  await world.greet();
  first.orbit.reconnect();
  await world.greet();
  assert.deepEqual(world.host.transports.map(({ closed }) => closed), [false, false]);
  second.orbit.reconnect();
  await settle();
  assert.deepEqual([world.host.transports.map(({ closed }) => closed), second.orbit.state], [[true, false], 'open']);
});

test('a page that is left has no connection, and has one again when it is back', async () => {
  const world = new World();
  const orbits = [world.open(), world.open()].map(({ orbit }) => orbit);
  await world.greet();
  for (const { left } of [...world.watchers]) left();
  await settle();
  assert.equal(world.host.last.closed, true);
  for (const { back } of [...world.watchers]) back();
  await world.greet();
  assert.deepEqual([world.host.transports.length, orbits.map(({ state }) => state)], [2, ['open', 'open']]);
  for (const orbit of orbits) orbit.close();
  await settle();
  assert.deepEqual([world.host.last.closed, world.watchers.size, world.host.timers.size], [true, 0, 0]);
});

test('commands other than publishes go no faster than the server allows', async () => {
  const world = new World();
  const { orbit } = world.open();
  await world.greet();
  const asked = Array.from({ length: 30 }, () => orbit.channel(CH).history());
  const first = await world.sent();
  assert.equal(first.length, 20);
  await world.say(...first.map(({ id }) => ({ re: id, messages: [], epoch: EPOCH })));
  await world.host.advance(50);
  const more = await world.sent();
  assert.equal(more.length, 5);
  orbit.close();
  assert.equal((await Promise.allSettled(asked)).filter(({ status }) => status === 'rejected').length, 10);
});

/** A token that says what it says, and proves nothing. */
const jwt = claims => `e30.${btoa(JSON.stringify(claims)).replace(/=/g, '')}.c2ln`;

test('another token of the same bearer is shown to the server, beside the connection, and then shares it', async () => {
  const world = new World();
  world.open({ token: jwt({ sub: 'alice', iat: 1 }) });
  await world.greet({ user: 'alice' });
  const main = world.host.last;
  for (const [reply, state, told] of [[{ user: 'alice' }, 'open', ['open']], [null, 'closed', ['close unauthorized', 'error unauthorized']]]) {
    const token = jwt({ sub: 'alice', iat: world.host.transports.length + 1 });
    const { orbit, told: heard } = world.open({ token });
    await settle();
    const trial = world.host.last;
    assert.notEqual(trial, main);
    if (reply) {
      assert.equal((await world.greet(reply)).token, token);
    } else {
      trial.onopen({});
      const [{ id }] = trial.take();
      await world.say({ re: id, error: { code: 'unauthorized', message: 'no' } }, { bye: { code: 'unauthorized' } });
    }
    assert.deepEqual([orbit.state, heard, trial.closed, main.closed], [state, told, true, false]);
  }
  const other = world.open({ token: jwt({ sub: 'bob', iat: 1 }) });
  await world.greet({ user: 'bob' });
  assert.deepEqual([other.orbit.user, world.host.transports.length, world.host.last.closed], ['bob', 4, false]);
});

test('two tokens are of the same bearer if they differ in nothing but their times', () => {
  const one = jwt({ sub: 'alice', groups: ['a'], iat: 1, exp: 2, jti: 'x' });
  assert.ok(sameBearer(one, jwt({ exp: 9, groups: ['a'], sub: 'alice', iat: 8, jti: 'y' })));
  for (const other of [jwt({ sub: 'bob', groups: ['a'] }), jwt({ sub: 'alice', groups: [] }), jwt({ sub: 'alice' }), 'x', '', undefined]) {
    assert.ok(!sameBearer(one, other), String(other));
  }
  assert.ok(!sameBearer('x', 'y'));
});
