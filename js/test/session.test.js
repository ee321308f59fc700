// Connecting, coming back, and staying away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TIME } from '../orbit/constants.js';
import { OrbitError } from '../orbit/events.js';
import { greet, live, make } from './open.js';
import { accepted, EPOCH, message, OTHER_EPOCH, settle } from './host.js';

const CH = '/chat/lobby';

/** Answers the newest connect with an error, and a bye. */
async function refuse(host, code, bye = { code }) {
  await settle();
  host.last.onopen({});
  const [connect] = host.last.take();
  host.last.say({ re: connect.id, error: { code, message: `no: ${code}` } });
  host.last.say({ bye });
  await settle();
  return connect;
}

test('what a page opens at once goes into one connect', async () => {
  const { host, orbit, told } = make();
  orbit.channel('/a/1', { after: 5, epoch: EPOCH }).onmessage = () => {};
  orbit.channel('/a/2', { after: 6, epoch: EPOCH }).onmessage = () => {};
  orbit.channel('/a/3', { after: 7, epoch: OTHER_EPOCH }).onmessage = () => {};
  orbit.channel('/a/4').onmessage = () => {};
  const connect = await greet(host, { subs: { '/a/1': { offset: 5 }, '/a/2': { offset: 9 } } });
  assert.deepEqual([connect.epoch, connect.last], [EPOCH, { '/a/1': 5, '/a/2': 6 }]);
  assert.deepEqual(host.last.take().map(({ id, op, ...rest }) => rest),
    [{ channel: '/a/3', after: 7, epoch: OTHER_EPOCH }, { channel: '/a/4' }]);
  assert.equal(host.transports.length, 1);
  assert.deepEqual(told.filter(event => !event.channel).map(event => event.state ?? event.type),
    ['connecting', 'open', 'open']);
});

test('what does not fit into the first connect is subscribed afterwards', async () => {
  const { host, orbit } = make();
  const names = Array.from({ length: 40 }, (_, i) => `/a/${'x'.repeat(245)}/${i}`);
  for (const name of names) orbit.channel(name, { after: 1, epoch: EPOCH }).onmessage = () => {};
  const connect = await greet(host);
  assert.ok(JSON.stringify(connect).length <= 4096);
  const named = Object.keys(connect.last);
  assert.ok(named.length > 10);
  const rest = host.last.take().map(command => command.channel);
  assert.deepEqual(new Set([...named, ...rest]), new Set(names));
});

test('a lost connection is taken up again, after the positions', async () => {
  const { host, lobby, offsets, of } = await live();
  host.last.say(message(CH, 101, 100));
  host.last.drop();
  assert.equal(lobby.state, 'subscribing');
  const [, close] = of('close');
  assert.ok(close.retry >= TIME.quick && close.retry <= TIME.first, `${close.retry}`);
  await host.advance(TIME.first);
  const connect = await greet(host, { resumed: true, subs: { [CH]: { offset: 103 } } });
  const { session, secret } = accepted();
  assert.deepEqual(connect, { id: 3, op: 'connect', session, secret, epoch: EPOCH, last: { [CH]: 101 } });
  assert.deepEqual(host.last.take(), []);
  host.last.say(message(CH, 101, 100), message(CH, 103, 101));
  assert.deepEqual(offsets(), [101, 103]);
  assert.equal(lobby.state, 'open');
});

test('a subscription whose reply was lost is asked for again', async () => {
  const { host, orbit } = make();
  orbit.channel(CH).onmessage = () => {};
  await greet(host);
  assert.equal(host.last.take().length, 1);
  host.last.drop();
  await host.advance(TIME.first);
  const connect = await greet(host);
  assert.equal(connect.last, undefined);
  assert.deepEqual(host.last.take().map(command => command.op), ['subscribe']);
});

test('one that the session has all the same starts at its cursor', async () => {
  const { host, orbit } = make();
  const got = [];
  orbit.channel(CH).onmessage = event => got.push([event.offset, event.redelivered]);
  await greet(host);
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host, { resumed: true, subs: { [CH]: { offset: 60 }, '/gone': { offset: 1 } } });
  assert.deepEqual(host.last.take().map(({ id, ...rest }) => rest), [{ op: 'unsubscribe', channel: '/gone' }]);
  host.last.say({ ...message(CH, 51, 50), r: true }, message(CH, 61, 51));
  assert.deepEqual(got, [[51, true], [61, false]]);
});

test('attempts are spread out, and begin anew when one works', async () => {
  const { host, orbit, of } = make();
  orbit.connect();
  for (let i = 0; i < 9; i++) {
    await settle();
    host.last.drop();
    host.step();
  }
  const waits = of('close').map(event => event.retry);
  assert.ok(waits[0] <= 250 && waits[3] >= 1000 && waits[8] >= TIME.cap / 2 && waits[8] <= TIME.cap, `${waits}`);
  await greet(host);
  host.last.drop();
  assert.ok(of('close').at(-1).retry <= 250);
});

test('a network that returns is used at once', async () => {
  const { host, orbit } = make();
  orbit.connect();
  await settle();
  for (let i = 0; i < 5; i++) { host.last.drop(); host.step(); await settle(); }
  host.last.drop();
  const before = host.transports.length;
  host.page.awake();
  await settle();
  assert.equal(host.transports.length, before + 1);
  orbit.close();
  assert.equal(host.page, null);
});

test('a server that says nothing is given up', async () => {
  const { host, orbit, of } = make();
  orbit.connect();
  await settle();
  const silent = host.last;
  await host.advance(TIME.open);
  assert.ok(silent.closed);
  assert.match(of('close')[0].message, /in time/);
});

test('silence is answered by a ping, and no pong by a new connection', async () => {
  const { host, orbit, of } = make();
  orbit.connect();
  await greet(host);
  await host.advance(24_000);
  host.last.say({ op: 'ping' });
  assert.deepEqual(host.last.take(), [{ op: 'pong' }]);
  await host.advance(25_000);
  assert.deepEqual(host.last.take(), [{ op: 'ping' }]);
  host.last.say({ op: 'pong' });
  await host.advance(26_000);
  assert.deepEqual(host.last.take(), [{ op: 'ping' }]);
  const dead = host.last;
  await host.advance(TIME.pong);
  assert.ok(dead.closed);
  assert.match(of('close')[0].message, /silent/);
});

test('a bye says when to come back', async () => {
  const { host, orbit, of } = make();
  orbit.connect();
  await greet(host);
  host.last.say({ bye: { code: 'restart', retry: 1500 } });
  assert.deepEqual([of('close')[0].code, of('close')[0].retry, orbit.state], ['restart', 1500, 'waiting']);
  await host.advance(1499);
  assert.equal(host.transports.length, 1);
  await host.advance(1);
  assert.equal(host.transports.length, 2);
});

test('a bye without a time is for good, until the page says otherwise', async () => {
  const { host, orbit, of } = make();
  orbit.connect();
  await greet(host);
  host.last.say({ bye: { code: 'rate_limited' } });
  await host.advance(10 * TIME.cap);
  assert.deepEqual([orbit.state, host.transports.length, of('error')[0].code], ['closed', 1, 'rate_limited']);
  orbit.connect();
  await greet(host);
  assert.equal(orbit.state, 'open');
});

test('who is displaced opens a session of its own', async () => {
  const { host, orbit } = await live({ client: 'laptop', token: 't' });
  assert.equal(orbit.state, 'open');
  host.last.say({ bye: { code: 'displaced' } });
  await host.advance(TIME.first);
  const connect = await greet(host, { subs: { [CH]: { offset: 100 } } });
  assert.deepEqual([connect.client, connect.session, connect.last], [undefined, undefined, { [CH]: 100 }]);
});

test('a session that has ended is forgotten, the positions are not', async () => {
  const { host } = await live();
  host.last.say({ bye: { code: 'session_expired' } });
  await host.advance(TIME.first);
  const connect = await greet(host);
  assert.deepEqual([connect.session, connect.last], [undefined, { [CH]: 100 }]);
});

test('an expired token is fetched anew, once', async () => {
  let fetched = 0;
  const { host, orbit, of } = make({ token: async () => `token ${++fetched}` });
  orbit.connect();
  assert.equal((await refuse(host, 'unauthorized')).token, 'token 1');
  await host.advance(TIME.first);
  assert.equal((await refuse(host, 'unauthorized')).token, 'token 2');
  await host.advance(3_600_000);
  assert.deepEqual([host.transports.length, fetched, orbit.state], [2, 2, 'closed']);
  assert.equal(of('error')[0].code, 'unauthorized');
  orbit.reconnect();
  await settle();
  assert.equal(fetched, 3);
});

test('a token that worked for a while may expire again and again', async () => {
  let fetched = 0;
  const { host, orbit } = make({ token: () => `token ${++fetched}` });
  orbit.connect();
  for (let i = 1; i <= 4; i++) {
    assert.equal((await greet(host)).token, `token ${i}`);
    await host.advance(TIME.token);
    host.last.say({ bye: { code: 'unauthorized' } });
    await host.advance(TIME.first);
  }
  await greet(host);
  host.last.say({ bye: { code: 'unauthorized' } });
  await host.advance(TIME.cap);
  assert.equal(orbit.state, 'closed', 'a token refused as soon as it was fetched is the end');
});

test('a token that is a text is not tried twice', async () => {
  const { host, orbit } = make({ token: 't' });
  orbit.connect();
  await refuse(host, 'unauthorized');
  await host.advance(3_600_000);
  assert.deepEqual([host.transports.length, orbit.state], [1, 'closed']);
});

test('the cookie of a login is renewed when its token has ended, and the login itself may end', async () => {
  const { host, orbit, of } = make();
  orbit.connect();
  for (let i = 0; i < 3; i++) {
    assert.equal((await greet(host)).token, undefined);
    assert.equal(host.renewals, i);
    await host.advance(TIME.token);
    host.last.say({ bye: { code: 'unauthorized' } });
    await host.advance(TIME.first);
  }
  await greet(host);
  host.last.drop();
  await host.advance(TIME.first);
  assert.equal(host.renewals, 3, 'one that was not refused is not renewed');
  await greet(host);
  await host.advance(TIME.token);
  host.renewal = new Error('offline');
  host.last.say({ bye: { code: 'unauthorized' } });
  await host.advance(TIME.first);
  assert.deepEqual([host.renewals > 3, orbit.state], [true, 'waiting']);
  host.renewal = new OrbitError('unauthorized', 'the login has ended');
  await host.advance(TIME.cap);
  const { renewals } = host;
  await host.advance(3_600_000);
  assert.deepEqual([host.renewals, orbit.state, of('error').at(-1).message], [renewals, 'closed', 'the login has ended']);
});

test('a token that cannot be fetched is tried again later', async () => {
  let fetched = 0;
  const { host, orbit } = make({ token: async () => { if (++fetched < 3) throw new Error('offline'); return 't'; } });
  orbit.connect();
  await host.advance(2 * TIME.first + 500);
  assert.equal((await greet(host)).token, 't');
});

test('a connect that is refused for a passing reason is tried again, others are not', async () => {
  const passing = make();
  passing.orbit.connect();
  await refuse(passing.host, 'unavailable');
  assert.equal(passing.orbit.state, 'waiting');
  const final = make();
  final.orbit.connect();
  await refuse(final.host, 'forbidden');
  assert.equal(final.orbit.state, 'closed');
});

test('a refused subscription is told, and asked for again by somebody else only', async () => {
  const { host, orbit, of } = make();
  const board = orbit.channel('/news/board');
  board.onmessage = () => {};
  await greet(host);
  const [subscribe] = host.last.take();
  host.last.say({ re: subscribe.id, error: { code: 'forbidden', message: 'no' } });
  assert.deepEqual([board.state, of('error')[0].channel, of('error')[0].code], ['ended', '/news/board', 'forbidden']);
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host);
  assert.deepEqual(host.last.take(), []);
  orbit.reconnect();
  await greet(host);
  assert.deepEqual(host.last.take().map(command => command.op), ['subscribe']);
});

test('a subscription refused for a passing reason is asked for again by itself', async () => {
  const { host, orbit, of } = make();
  orbit.channel(CH).onmessage = () => {};
  await greet(host);
  host.last.say({ re: host.last.take()[0].id, error: { code: 'rate_limited', message: 'slow' } });
  await host.advance(2000);
  assert.deepEqual(host.last.take().map(command => command.op), ['subscribe']);
  assert.deepEqual(of('error'), []);
});

test('a right that is withdrawn ends the channel and its loops', async () => {
  const { host, lobby, of, offsets } = await live();
  const loop = lobby[Symbol.asyncIterator]();
  const end = loop.next();
  host.last.say({ ch: CH, revoked: { code: 'forbidden', message: 'no more' } }, message(CH, 101, 100));
  assert.deepEqual([(await end).done, lobby.state, of('revoked')[0].channel, offsets()], [true, 'ended', CH, []]);
});

test('what a durable session has waits for the page to ask', async () => {
  const { host, orbit } = make({ client: 'laptop', token: 't' });
  orbit.connect();
  await greet(host, { resumed: true, subs: { [CH]: { offset: 60 } } });
  host.last.say({ ...message(CH, 51, 50), r: true }, { ...message(CH, 60, 51), r: true }, { ch: CH, at: 60 });
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), []);
  const got = [];
  orbit.channel(CH).onmessage = event => got.push(event.offset);
  await settle();
  assert.deepEqual(got, [51, 60]);
  host.last.say(message(CH, 61, 60));
  assert.deepEqual(got, [51, 60, 61]);
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take().at(-1), { op: 'ack', last: { [CH]: 61 } });
});

test('messages that a durable session has, and nobody took, are not acknowledged by a reconnect', async () => {
  const { host, orbit } = make({ client: 'laptop', token: 't' });
  orbit.connect();
  const subs = { [CH]: { offset: 60 } };
  await greet(host, { resumed: true, subs });
  host.last.say({ ...message(CH, 51, 50), r: true });
  host.last.drop();
  await host.advance(TIME.first);
  assert.equal((await greet(host, { resumed: true, subs })).last, undefined);
  host.last.say({ ...message(CH, 51, 50), r: true }, { ...message(CH, 60, 51), r: true });
  const got = [];
  orbit.channel(CH).onmessage = event => got.push(event.offset);
  await settle();
  assert.deepEqual(got, [51, 60]);
});

test('an error without a command is told', async () => {
  const { host, of } = await live();
  host.last.say({ error: { code: 'bad_request', message: 'what?' } }, { news: 1 }, { ch: CH, news: 1 });
  assert.deepEqual(of('error').map(event => event.code), ['bad_request']);
});

test('a server that speaks something else is left', async () => {
  const { host, orbit, of } = await live();
  host.last.onmessage({ data: '<html>' });
  assert.deepEqual([orbit.state, of('close').at(-1).code], ['waiting', 'protocol']);
});

test('identities of applications are added, and named in each connect', async () => {
  const { host, orbit } = await live();
  const added = orbit.auth('news', 'n1');
  await settle();
  const [auth] = host.last.take();
  assert.deepEqual(auth, { id: auth.id, op: 'auth', app: 'news', token: 'n1' });
  host.last.say({ re: auth.id, user: 'bob' });
  assert.equal(await added, 'bob');
  host.last.drop();
  await host.advance(TIME.first);
  assert.deepEqual((await greet(host)).auth, [{ app: 'news', token: 'n1' }]);
  const refused = orbit.auth('news', 'n2');
  await settle();
  host.last.say({ re: host.last.take().at(-1).id, error: { code: 'unauthorized', message: 'no' } });
  await assert.rejects(refused, { code: 'unauthorized' });
});

test('history is asked for over a new connection, if need be', async () => {
  const { host, lobby } = await live();
  const answer = lobby.history({ before: 90, limit: 2 });
  await settle();
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host, { subs: { [CH]: { offset: 100 } } });
  const [history] = host.last.take();
  host.last.say({ re: history.id, epoch: EPOCH, messages: [message(CH, 80, 79)], more: true });
  const { messages, more } = await answer;
  assert.deepEqual([messages.map(m => m.offset), more], [[80], true]);
});

test('close ends it all', async () => {
  const { host, orbit, lobby } = await live();
  const published = lobby.publish('x');
  const loop = lobby[Symbol.asyncIterator]();
  await settle();
  orbit.close();
  await assert.rejects(published, { code: 'closed' });
  assert.equal((await loop.next()).done, true);
  assert.deepEqual([orbit.state, lobby.state, host.last.closed], ['closed', 'closed', true]);
  assert.equal(host.timers.size, 0);
  assert.throws(() => orbit.channel('/x'), { code: 'closed' });
  orbit.close();
});

test('a page that closes its Orbit says what it has processed, and its name keeps its subscriptions', async () => {
  for (const [ends, said] of [[({ orbit }) => orbit.close(), []], [({ lobby }) => lobby.close(), ['unsubscribe']]]) {
    const page = await live({ client: 'laptop', token: 't' });
    const { last } = page.host;
    last.say(message(CH, 101, 100));
    await settle();
    ends(page);
    const [ack, ...rest] = last.take();
    assert.deepEqual(ack, { op: 'ack', last: { [CH]: 101 } });
    assert.deepEqual(rest.map(({ op }) => op), said);
    assert.deepEqual([page.lobby.state, last.closed], ['closed', said.length === 0]);
  }
});

test('what a page asks when it hears of the connection is asked once', async () => {
  const { host, orbit } = make();
  let answered;
  orbit.onopen = () => { answered ??= orbit.channel(CH).history(); };
  orbit.connect();
  await greet(host);
  const asked = host.last.take();
  assert.deepEqual(asked.map(({ op }) => op), ['history']);
  host.last.say({ re: asked[0].id, epoch: EPOCH, messages: [], more: false });
  assert.deepEqual((await answered).messages, []);
});
