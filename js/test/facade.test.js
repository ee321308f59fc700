// Code that knows a WebSocket or an EventSource and nothing of this library, on a daemon.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Daemon } from '../../tests/browser/daemon.js';
import { Orbit } from '../orbit.js';
import { live } from './open.js';
import { message, settle } from './host.js';
import { Proxy } from './proxy.js';

const CH = '/chat/lobby';
const channels = `
[[channel]]
match     = "/chat/**"
subscribe = ["*"]
publish   = ["*"]
[[channel]]
match     = "/board"
subscribe = ["*"]
publish   = []
[[channel]]
match     = "/closed"
subscribe = []
publish   = ["*"]
`;

async function world(t) {
  const daemon = await Daemon.start(t, { channels });
  const open = (url = daemon.url) => {
    const orbit = new Orbit(url, { transports: ['stream'] });
    t.after(() => orbit.close());
    return orbit;
  };
  return { daemon, open };
}

const next = (target, type) => new Promise(resolve => target.addEventListener(type, resolve, { once: true }));

/** What a socket or a source has said, and a promise for when it has said so much. */
function record(target, ...types) {
  const said = [];
  let wake = () => {};
  for (const type of types) target.addEventListener(type, event => { said.push(event); wake(); });
  said.reach = async count => { while (said.length < count) await new Promise(resolve => { wake = resolve; }); };
  return said;
}

test('a WebSocket: texts and bytes go and come as they are', { timeout: 30_000 }, async t => {
  const { daemon, open } = await world(t);
  const socket = open().webSocket(CH);
  assert.throws(() => socket.send('x'), { name: 'InvalidStateError' });
  assert.deepEqual([socket.readyState, socket.CONNECTING, socket.binaryType, socket.protocol, socket.extensions], [0, 0, 'blob', '', '']);
  assert.equal(socket.url, `${daemon.url.replace('http', 'ws')}${CH}`);
  const said = record(socket, 'message');
  await next(socket, 'open');
  assert.equal(socket.readyState, socket.OPEN);
  const bytes = new Uint8Array([1, 2, 3, 4]);
  socket.send('{"a": 1}');
  socket.send(new Blob(['blob'], { type: 'image/x' }));
  socket.send(bytes.subarray(1, 3));
  socket.send(bytes.buffer);
  bytes.fill(9);
  assert.equal(socket.bufferedAmount, 8 + 4 + 2 + 4);
  await said.reach(4);
  assert.equal(said[0].data, '{"a": 1}');
  assert.deepEqual([said[1].data.type, await said[1].data.text()], ['image/x', 'blob']);
  assert.deepEqual([...new Uint8Array(await said[2].data.arrayBuffer())], [2, 3]);
  assert.deepEqual([...new Uint8Array(await said[3].data.arrayBuffer())], [1, 2, 3, 4]);
  socket.binaryType = 'arraybuffer';
  socket.send(bytes);
  await said.reach(5);
  assert.deepEqual([...new Uint8Array(said[4].data)], [9, 9, 9, 9]);
  await fetch(`${daemon.url}/v1/publish${CH}`, { method: 'POST', body: '{"from":"a back end"}' });
  await fetch(`${daemon.url}/v1/publish${CH}`, { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: 'plain' });
  await said.reach(7);
  assert.deepEqual(said.slice(5).map(({ data }) => data), ['{"from":"a back end"}', 'plain']);
  assert.equal(socket.bufferedAmount, 0);
});

test('a WebSocket closes when what it has sent is stored', { timeout: 30_000 }, async t => {
  const { daemon, open } = await world(t);
  const socket = open().webSocket(CH);
  await next(socket, 'open');
  const closed = record(socket, 'close', 'error');
  for (const n of [1, 2, 3]) socket.send(String(n));
  assert.throws(() => socket.close(1001), { name: 'InvalidAccessError' });
  assert.throws(() => socket.close(3000, 'ü'.repeat(62)), { name: 'SyntaxError' });
  socket.close(3001, 'done');
  socket.close();
  assert.equal(socket.readyState, socket.CLOSING);
  socket.send('late');
  await closed.reach(1);
  assert.deepEqual(closed.map(({ type, code, reason, wasClean }) => [type, code, reason, wasClean]), [['close', 3001, 'done', true]]);
  assert.equal(socket.readyState, socket.CLOSED);
  const { messages } = await (await fetch(`${daemon.url}/v1/history${CH}`)).json();
  assert.deepEqual(messages.map(({ d }) => d), ['1', '2', '3']);
});

test('a WebSocket that is refused, or whose Orbit has gone, closes as one', { timeout: 30_000 }, async t => {
  const { open } = await world(t);
  const end = async (socket, before = () => {}) => {
    const said = record(socket, 'error', 'close');
    await before();
    await said.reach(2);
    return said.map(({ type, code, reason, wasClean }) => [type, code, reason, wasClean]);
  };
  const refused = code => [['error', undefined, undefined, undefined], ['close', ...code, false]];
  assert.deepEqual(await end(open().webSocket('/closed')), refused([1008, 'forbidden']));
  const board = open().webSocket('/board');
  await next(board, 'open');
  assert.deepEqual(await end(board, () => board.send('x')), refused([1008, 'forbidden']));
  const large = open().webSocket(CH);
  await next(large, 'open');
  assert.deepEqual(await end(large, () => large.send('x'.repeat(100_000))), refused([1009, 'too_large']));
  const orbit = open();
  const socket = orbit.webSocket(CH);
  assert.deepEqual(await end(socket, () => orbit.close()), refused([1006, '']));
  const early = open().webSocket(CH);
  assert.deepEqual(await end(early, () => early.close()), refused([1006, '']));
});

test('both stay open while the connection underneath does not, and lose nothing', { timeout: 60_000 }, async t => {
  const { daemon, open } = await world(t);
  const proxy = await Proxy.start(t, daemon.port);
  const orbit = open(proxy.url);
  const socket = orbit.webSocket(CH);
  const source = orbit.eventSource(CH);
  const got = record(socket, 'message');
  const events = record(source, 'message');
  const states = record(source, 'open', 'error');
  const ends = record(socket, 'close', 'error');
  await next(socket, 'open');
  for (let n = 0; n < 40; n++) {
    socket.send(String(n));
    if (n % 10 === 5) {
      await got.reach(n);
      proxy.cut();
    }
  }
  await got.reach(40);
  await events.reach(40);
  const numbers = Array.from({ length: 40 }, (_, n) => String(n));
  assert.deepEqual(got.map(({ data }) => data), numbers);
  assert.deepEqual(events.map(({ data }) => data), numbers);
  assert.equal(ends.length, 0);
  assert.deepEqual(states.slice(0, 3).map(({ type }) => type), ['open', 'error', 'open']);
});

test('an EventSource: names, ids, and where it goes on', { timeout: 30_000 }, async t => {
  const { daemon, open } = await world(t);
  const publish = lines => fetch(`${daemon.url}/v1/publish`, { method: 'POST', body: lines.map(line => JSON.stringify({ channel: CH, ...line })).join('\n') });
  await publish([{ data: 'first' }, { data: { n: 2 } }, { data: 'third', h: { event: 'news' } }, { b: 'AAEC', ct: 'x/y' }]);
  const source = open().eventSource(CH, { lastEventId: '0' });
  const said = record(source, 'message', 'news');
  const handled = [];
  source.onmessage = ({ data }) => handled.push(data);
  assert.deepEqual([source.readyState, source.withCredentials, source.url], [source.CONNECTING, true, daemon.url + CH]);
  await said.reach(4);
  assert.equal(source.readyState, source.OPEN);
  assert.deepEqual(said.map(({ type, data }) => [type, data]), [['message', 'first'], ['message', '{"n":2}'], ['news', 'third'], ['message', 'AAEC']]);
  assert.deepEqual(handled, ['first', '{"n":2}', 'AAEC']);
  assert.match(said[1].lastEventId, /^[0-9a-f]{16}-[0-9]+$/);
  assert.equal(said[1].origin, daemon.url);
  source.close();
  assert.equal(source.readyState, source.CLOSED);
  const again = open().eventSource(CH, { lastEventId: said[1].lastEventId });
  const rest = record(again, 'message', 'news');
  await rest.reach(2);
  assert.deepEqual(rest.map(({ data }) => data), ['third', 'AAEC']);
  const refused = open().eventSource('/closed');
  await next(refused, 'error');
  assert.equal(refused.readyState, refused.CLOSED);
  assert.throws(() => open().eventSource(CH, { lastEventId: 'x' }), TypeError);
});

test('a gap closes the one and is told by the other', async () => {
  const { host, orbit } = await live();
  const socket = orbit.webSocket(CH), source = orbit.eventSource(CH);
  await settle();
  const ended = record(socket, 'close');
  const gaps = record(source, 'gap');
  host.last.say({ ch: CH, gap: { after: 100, to: 120, reason: 'expired' } }, message(CH, 121, 120));
  assert.deepEqual(ended.map(({ code, reason, wasClean }) => [code, reason, wasClean]), [[4000, '100-120 expired', false]]);
  assert.deepEqual(gaps.map(({ data, lastEventId }) => [JSON.parse(data), lastEventId.split('-')[1]]), [[{ after: 100, to: 120, reason: 'expired' }, '120']]);
  assert.equal(source.readyState, source.OPEN);
});

test('an EventSource says bytes of any length in base64', async () => {
  const { host, orbit } = await live();
  const said = record(orbit.eventSource(CH), 'message');
  await settle();
  const b = Buffer.alloc(1 << 20, 7).toString('base64');
  host.last.say({ ...message(CH, 101, 100), d: undefined, b });
  await settle();
  assert.deepEqual(said.map(({ data }) => data), [b]);
});

test('that the page could not publish is not their matter', async () => {
  const { host, orbit, lobby } = await live();
  const both = [orbit.webSocket(CH), orbit.eventSource(CH)];
  await settle();
  lobby.postMessage('x');
  await settle();
  const { id } = host.last.take().find(({ op }) => op === 'publish');
  const failed = next(lobby, 'error');
  host.last.say({ re: id, error: { code: 'forbidden', message: 'no' } });
  await failed;
  assert.deepEqual(both.map(made => made.readyState), [1, 1]);
});

test('a channel behind several of them is closed with the last, unless it is the page\'s', async () => {
  const { host, orbit, lobby, offsets } = await live();
  const socket = orbit.webSocket(CH);
  await settle();
  socket.close();
  await settle();
  host.last.say(message(CH, 101, 100));
  assert.deepEqual([lobby.state, offsets()], ['open', [101]]);
  const news = [orbit.eventSource('/chat/news'), orbit.eventSource('/chat/news')];
  const [subscribe, ...more] = host.last.take().filter(({ op }) => op === 'subscribe');
  assert.deepEqual([subscribe.channel, more], ['/chat/news', []]);
  news[0].close();
  await settle();
  assert.deepEqual(host.last.take().filter(({ op }) => op !== 'ack'), []);
  news[1].close();
  await settle();
  assert.deepEqual(host.last.take().filter(({ op }) => op !== 'ack').map(({ op, channel }) => [op, channel]), [['unsubscribe', '/chat/news']]);
});
