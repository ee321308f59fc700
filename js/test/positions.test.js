// The client's rule (PROTOCOL.md, section 3), acks, and handing messages to the page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Orbit } from '../orbit.js';
import { TIME } from '../orbit/constants.js';
import { greet, live, make } from './open.js';
import { EPOCH, message, OTHER_EPOCH, settle } from './host.js';

const CH = '/chat/lobby';

test('messages arrive with all that is known about them', async () => {
  const { host, got, lobby } = await live();
  host.last.say({ ...message(CH, 101, 100, { text: 'hi' }), h: { trace: '7' }, r: true });
  host.last.say({ ch: CH, o: 105, p: 101, t: 5, b: 'AAEC', ct: 'application/octet-stream' });
  const [first, second] = got;
  assert.ok(first instanceof MessageEvent);
  assert.deepEqual(first.data, { text: 'hi' });
  assert.deepEqual(
    [first.channel, first.offset, first.epoch, first.time, first.publisher, first.redelivered, first.headers.trace],
    [CH, 101, EPOCH, 1790000000101, 'alice', true, '7']);
  assert.equal(first.lastEventId, `${EPOCH}-101`);
  assert.equal(first.origin, 'http://push.example.org');
  assert.deepEqual([second.data, second.contentType, second.publisher, second.redelivered],
    [new Uint8Array([0, 1, 2]), 'application/octet-stream', undefined, false]);
  assert.deepEqual([lobby.offset, lobby.epoch], [105, EPOCH]);
});

test('a duplicate is dropped', async () => {
  const { host, offsets } = await live();
  host.last.say(message(CH, 101, 100), message(CH, 101, 100), message(CH, 99, 98), message(CH, 102, 101));
  assert.deepEqual(offsets(), [101, 102]);
});

test('a broken chain subscribes again after the position, and drops until the reply', async () => {
  const { host, offsets, lobby } = await live();
  host.last.say(message(CH, 101, 100));
  await host.advance(TIME.ack);
  host.last.take();
  host.last.say(message(CH, 105, 103), message(CH, 106, 105));
  const [again, ...rest] = host.last.take();
  assert.deepEqual(again, { id: again.id, op: 'subscribe', channel: CH, after: 101, epoch: EPOCH });
  assert.deepEqual(rest, []);
  assert.equal(lobby.state, 'subscribing');
  host.last.say({ re: again.id, offset: 106, epoch: EPOCH });
  host.last.say(message(CH, 103, 101), message(CH, 105, 103), message(CH, 106, 105), { ch: CH, at: 106 });
  assert.deepEqual(offsets(), [101, 103, 105, 106]);
});

test('a chain that stays broken is not asked for at full speed', async () => {
  const { host, offsets } = await live();
  for (let i = 0; i < 3; i++) {
    host.last.say(message(CH, 105, 103));
    const [again] = host.last.take();
    host.last.say({ re: again.id, offset: 106, epoch: EPOCH });
  }
  host.last.say(message(CH, 105, 103));
  assert.deepEqual(host.last.take(), []);
  await host.advance(500);
  assert.equal(host.last.take().length, 1);
  assert.deepEqual(offsets(), []);
});

test('a position that was not processed yet is where a subscription goes on', async () => {
  let done;
  const { host, offsets } = await live({}, {}, () => new Promise(resolve => { done = resolve; }));
  host.last.say(message(CH, 101, 100), message(CH, 105, 103));
  const [again] = host.last.take();
  assert.equal(again.after, 100);
  host.last.say({ re: again.id, offset: 105, epoch: EPOCH });
  done();
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [], 'an ack beyond what this subscription was sent is refused');
  host.last.say(message(CH, 101, 100));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 101 } }]);
  assert.deepEqual(offsets(), [101]);
});

test('a gap moves the position, and the page is told', async () => {
  const { host, offsets, of } = await live();
  host.last.say({ ch: CH, gap: { after: 100, to: 180, reason: 'expired' } }, message(CH, 181, 180));
  assert.deepEqual(offsets(), [181]);
  const [gap] = of('gap');
  assert.deepEqual([gap.channel, gap.after, gap.to, gap.reason], [CH, 100, 180, 'expired']);
});

test('a gap of another history moves it down', async () => {
  const { host, offsets, of, lobby } = await live();
  host.last.say(message(CH, 101, 100));
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host, { epoch: OTHER_EPOCH, subs: { [CH]: { offset: 7 } } });
  assert.equal(lobby.epoch, EPOCH, 'the reply alone does not say that the position is of this history');
  host.last.say({ ch: CH, gap: { after: 101, to: 4, reason: 'epoch' } });
  assert.deepEqual([lobby.offset, lobby.epoch], [4, OTHER_EPOCH]);
  host.last.say(message(CH, 5, 4), message(CH, 7, 5), { ch: CH, at: 7 });
  assert.deepEqual(offsets(), [101, 5, 7]);
  assert.equal(of('gap').length, 1);
});

test('what is still being processed of another history acknowledges nothing', async () => {
  let done;
  const { host } = await live({}, {}, event => event.offset === 101 && new Promise(resolve => { done = resolve; }));
  host.last.say(message(CH, 101, 100), { ch: CH, gap: { after: 101, to: 4, reason: 'epoch' } });
  done();
  host.last.say(message(CH, 5, 4));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 5 } }]);
});

test('a gap below the position is not the page\'s: it has those messages', async () => {
  const { host, offsets, of } = await live({}, {}, () => new Promise(() => {}));
  host.last.say(message(CH, 101, 100), message(CH, 102, 101), message(CH, 103, 102));
  host.last.drop();
  await host.advance(TIME.first);
  const connect = await greet(host, { subs: { [CH]: { offset: 104 } } });
  assert.deepEqual(connect.last, { [CH]: 100 });
  host.last.say({ ch: CH, gap: { after: 100, to: 102, reason: 'expired' } });
  host.last.say(message(CH, 103, 102), message(CH, 104, 103));
  assert.deepEqual(offsets(), [101, 102, 103, 104]);
  assert.deepEqual(of('gap'), []);
});

test('the end of a replay moves the position', async () => {
  const { host, lobby, offsets } = await live({}, { after: 0 });
  host.last.say(message(CH, 7, 0), { ch: CH, at: 20 }, message(CH, 21, 7));
  assert.deepEqual([offsets(), lobby.offset], [[7, 21], 21]);
});

test('from the oldest message any predecessor is right, and only there', async () => {
  const { host, offsets, lobby } = await live({}, { after: 0 });
  host.last.say(message(CH, 7, 3), message(CH, 9, 7), message(CH, 12, 10));
  assert.deepEqual(offsets(), [7, 9]);
  const again = host.last.take().at(-1);
  assert.deepEqual([again.op, again.after, again.epoch], ['subscribe', 9, EPOCH]);
  assert.equal(lobby.offset, 9);
});

test('from the oldest, nothing may be left at all', async () => {
  const { host, offsets, lobby } = await live({}, { after: 0 });
  host.last.say({ ch: CH, at: 20 });
  assert.equal(lobby.offset, 20);
  host.last.say(message(CH, 21, 7), message(CH, 23, 22));
  assert.deepEqual(offsets(), [21]);
  assert.equal(host.last.take().at(-1).after, 21);
});

test('once the oldest is known, what expires behind it is noticed', async () => {
  const { host, offsets, of } = await live({}, { after: 0 }, () => new Promise(() => {}));
  host.last.say(message(CH, 7, 3));
  host.last.drop();
  await host.advance(TIME.first);
  const connect = await greet(host, { subs: { [CH]: { offset: 12 } } });
  assert.deepEqual([connect.epoch, connect.last], [EPOCH, { [CH]: 6 }], 'a 0 could not be told that anything is gone');
  host.last.say({ ch: CH, gap: { after: 6, to: 10, reason: 'expired' } }, message(CH, 12, 10));
  assert.deepEqual(offsets(), [7, 12]);
  assert.deepEqual(of('gap').map(({ after, to }) => [after, to]), [[6, 10]]);
});

test('after a gap the chain goes on from its end', async () => {
  const { host, offsets, lobby } = await live();
  host.last.say({ ch: CH, gap: { after: 100, to: 180, reason: 'lost' } }, message(CH, 183, 182));
  assert.deepEqual(offsets(), [], 'behind a gap a message may be missing too');
  const [again] = host.last.take();
  assert.deepEqual([again.after, lobby.state], [180, 'subscribing']);
  host.last.say({ re: again.id, offset: 183, epoch: EPOCH }, message(CH, 182, 150), message(CH, 183, 182));
  assert.deepEqual(offsets(), [182, 183]);
});

test('a gap that begins behind the position says that something is missing before it', async () => {
  const { host, offsets, of } = await live();
  host.last.say({ ch: CH, gap: { after: 150, to: 180, reason: 'expired' } });
  const [again] = host.last.take();
  assert.deepEqual([again.after, of('gap')], [100, []]);
  host.last.say({ re: again.id, offset: 183, epoch: EPOCH });
  host.last.say({ ch: CH, gap: { after: 100, to: 180, reason: 'expired' } }, message(CH, 183, 180));
  assert.deepEqual([offsets(), of('gap').map(({ after, to }) => [after, to])], [[183], [[100, 180]]]);
});

test('after a resume the chain goes on from the position', async () => {
  const { host, offsets } = await live();
  host.last.say(message(CH, 101, 100));
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host, { resumed: true, subs: { [CH]: { offset: 105 } } });
  host.last.say(message(CH, 101, 100), message(CH, 105, 104));
  assert.deepEqual(offsets(), [101]);
  const [again] = host.last.take();
  assert.deepEqual([again.op, again.after], ['subscribe', 101]);
  host.last.say({ re: again.id, offset: 105, epoch: EPOCH }, message(CH, 104, 101), message(CH, 105, 104));
  assert.deepEqual(offsets(), [101, 104, 105]);
});

test('where a durable session stands, any predecessor of the first message is right', async () => {
  const { host, offsets, orbit } = await live({ client: 'laptop', token: 't' });
  orbit.channel(CH).close();
  const got = [];
  host.last.drop();
  await host.advance(TIME.first);
  orbit.channel('/inbox/alice').onmessage = event => got.push([event.offset, event.redelivered]);
  await greet(host, { resumed: true, subs: { '/inbox/alice': { offset: 60 } } });
  const say = (o, p, r) => host.last.say({ ...message('/inbox/alice', o, p), ...(r && { r }) });
  say(51, 50, true);
  say(55, 51, true);
  say(62, 60);
  assert.deepEqual([got, offsets()], [[[51, true], [55, true]], []]);
  assert.equal(host.last.take().at(-1).after, 55);
});

test('acks are lazy: after a second, or half a window', async () => {
  const { host } = await live();
  host.last.say(message(CH, 101, 100));
  await host.advance(TIME.ack - 1);
  assert.deepEqual(host.last.take(), []);
  await host.advance(1);
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 101 } }]);
  host.last.say(message(CH, 102, 101), message(CH, 103, 102)); // the window is 4
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 103 } }]);
  await host.advance(10 * TIME.ack);
  assert.deepEqual(host.last.take(), []);
});

test('a message is acknowledged when its handler, its promise and waitUntil are through', async () => {
  const ends = [];
  const { host, lobby } = await live({}, {}, () => new Promise(resolve => ends.push(resolve)));
  lobby.addEventListener('message', event => event.waitUntil(new Promise(resolve => ends.push(resolve))));
  host.last.say(message(CH, 101, 100), message(CH, 102, 101));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), []);
  ends.splice(2).forEach(end => end()); // all of the second message
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [], 'the first one is not through');
  ends.forEach(end => end());
  await settle();
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 102 } }]);
});

test('a handler that fails does not stop the others, nor the acks', async t => {
  const reported = [];
  t.mock.method(console, 'error', error => reported.push(error.message));
  const { host, offsets } = await live({}, {}, event => {
    if (event.offset === 101) throw new Error('handler');
    if (event.offset === 102) return Promise.reject(new Error('promise'));
  });
  host.last.say(message(CH, 101, 100), message(CH, 102, 101), message(CH, 103, 102));
  await host.advance(TIME.ack);
  assert.deepEqual(offsets(), [101, 102, 103]);
  assert.deepEqual(host.last.take().at(-1), { op: 'ack', last: { [CH]: 103 } });
  assert.deepEqual(reported, ['handler', 'promise']);
});

test('manual mode acknowledges what the page did, in any order', async () => {
  const { host, got } = await live({ ack: 'manual' });
  host.last.say(message(CH, 101, 100), message(CH, 102, 101), message(CH, 103, 102));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), []);
  got[1].ack();
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), []);
  got[0].ack();
  got[0].ack();
  await settle();
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 102 } }]);
});

/** A session by name whose page acknowledges: 101 was acknowledged, and the connection went before that was sent. */
async function unheard(options) {
  const world = await live({ client: 'laptop', token: 't', ...options }, {}, event => options.ack ?? event.offset);
  world.host.last.say(message(CH, 101, 100), message(CH, 102, 101));
  world.got[0].ack();
  await settle();
  world.host.last.drop();
  await world.host.advance(TIME.first);
  const connect = await greet(world.host, { resumed: true, subs: { [CH]: { offset: 102 } } });
  return { ...world, connect };
}

test('an acknowledgement that went with its connection is said on the next one', async () => {
  const { host, got, connect } = await unheard({ ack: 'manual' });
  assert.deepEqual(connect.last, { [CH]: 101 }, 'which moves no cursor where the page acknowledges');
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 101 } }]);
  got[1].ack();
  await settle();
  assert.deepEqual(host.last.take(), [], 'not before the server has sent it here');
  host.last.say(message(CH, 102, 101));
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 102 } }]);
});

test('but not where the connect has said it', async () => {
  const { host } = await unheard({});
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), []);
});

test('where a page chose to start it has acknowledged nothing', async () => {
  const { host } = await live({ client: 'laptop', token: 't', ack: 'manual' }, { after: 100, epoch: EPOCH });
  host.last.drop();
  await host.advance(TIME.first);
  await greet(host, { resumed: true, subs: { [CH]: { offset: 100 } } });
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), []);
});

test('a loop takes its time: what it did not take is not acknowledged', async () => {
  const { host, orbit } = make();
  const loop = orbit.channel(CH, { after: 0 })[Symbol.asyncIterator]();
  await greet(host);
  const [subscribe] = host.last.take();
  host.last.say({ re: subscribe.id, offset: 3, epoch: EPOCH });
  host.last.say(message(CH, 1, 0), message(CH, 2, 1), message(CH, 3, 2), { ch: CH, at: 3 });
  assert.equal((await loop.next()).value.offset, 1);
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), []);
  assert.equal((await loop.next()).value.offset, 2);
  await host.advance(TIME.ack);
  assert.deepEqual(host.last.take(), [{ op: 'ack', last: { [CH]: 1 } }]);
});

test('what a loop has left over waits for the next one', async () => {
  const { host, orbit } = make();
  const lobby = orbit.channel(CH, { after: 0 });
  const seen = [];
  const first = (async () => {
    for await (const event of lobby) { seen.push(event.offset); if (event.offset === 2) break; }
  })();
  await greet(host);
  const [subscribe] = host.last.take();
  host.last.say({ re: subscribe.id, offset: 3, epoch: EPOCH });
  host.last.say(message(CH, 1, 0), message(CH, 2, 1), message(CH, 3, 2));
  await first;
  host.last.say(message(CH, 4, 3));
  const second = (async () => { for await (const event of lobby) seen.push(event.offset); })();
  await settle();
  host.last.say(message(CH, 5, 4));
  await settle();
  lobby.close();
  await second;
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
});

test('a channel that only publishes does not subscribe', async () => {
  const { host, orbit } = make();
  orbit.channel(CH).postMessage('hi');
  await greet(host);
  assert.deepEqual(host.last.take().map(command => command.op), ['publish']);
});

test('options are checked where they are given', async () => {
  const { host, orbit, lobby } = await live();
  assert.equal(orbit.channel(CH), lobby);
  assert.throws(() => orbit.channel(CH, { after: 0 }), /open already/);
  assert.throws(() => orbit.channel('lobby'), TypeError);
  assert.throws(() => new Orbit('localhost:8080'), /localhost:8080: a server's address begins with https/);
  assert.throws(() => orbit.channel('/x', { after: 5 }), /epoch/);
  assert.throws(() => orbit.channel('/x', { after: -1 }), TypeError);
  assert.throws(() => orbit.channel('/x', { ack: 'never' }), TypeError);
  orbit.channel('/y').history();
  orbit.channel('/y', { after: 5, epoch: EPOCH }).onmessage = () => {};
  assert.equal(host.last.take().at(-1).after, 5);
  lobby.close();
  assert.notEqual(orbit.channel(CH), lobby);
  assert.throws(() => lobby.postMessage(1), { name: 'InvalidStateError' });
  await assert.rejects(lobby.publish(1), { code: 'closed' });
});

test('a payload that cannot be read is a messageerror, and no obstacle', async t => {
  t.mock.method(console, 'error', () => {});
  const { host, lobby, offsets } = await live();
  let errors = 0;
  lobby.onmessageerror = () => errors++;
  host.last.say({ ch: CH, o: 101, p: 100, t: 1, b: '?', ct: 'x/y' }, message(CH, 102, 101));
  assert.deepEqual([errors, offsets()], [1, [102]]);
});
