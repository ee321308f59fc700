// Polls that overlap, against a server of which the test says when a request reaches it, and when its
// answer comes: what it keeps of a session is the newest secret and the one that was used (PROTOCOL.md,
// section 2, and pkg/session).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPoll } from '../orbit/transport/poll.js';
import { EPOCH, message, settle } from './host.js';

const CH = '/chat/lobby';
const HERE = { subs: { [CH]: { offset: 100 } } };

class Server {
  /** Requests that were sent and not taken by the test. */
  #calls = [];
  #secrets = ['none', 'none'];
  #made = 0;

  constructor(t) {
    t.mock.method(globalThis, 'fetch', (url, { body, headers }) => new Promise((resolve, reject) => {
      const commands = body.split('\n').map(line => JSON.parse(line));
      this.#calls.push(Object.assign(new Call(this, commands, resolve), { url: String(url), headers, fail: reject }));
    }));
  }

  /** The next request, when the client has sent it. */
  async next() {
    await settle();
    assert.equal(this.#calls.length, 1, 'one request is under way to the server');
    return this.#calls.shift();
  }

  async quiet() {
    await settle();
    assert.deepEqual(this.#calls, []);
  }

  /** A client of this name, or with this secret, comes. */
  rotate({ client, secret }) {
    const next = `S${this.#made++}`;
    if (client === undefined && !this.#secrets.includes(secret)) return { resumed: false, secret: next }; // a new session
    this.#secrets = [next, this.#secrets.includes(secret) ? secret : 'none'];
    return { resumed: true, secret: next };
  }
}

class Call {
  #server;
  #resolve;
  #session;

  constructor(server, commands, resolve) {
    this.commands = commands;
    this.#server = server;
    this.#resolve = resolve;
  }

  /** It reaches the server, which takes the session up. */
  arrive() {
    this.#session = this.#server.rotate(this.commands[0]);
    return this;
  }

  /** The answer reaches the client. */
  async answer(...frames) {
    const reply = { re: this.commands[0].id, session: 'session', epoch: EPOCH, window: 4, ...HERE, ...this.#session };
    await this.#say([reply, ...frames].map(frame => JSON.stringify(frame)).join('\n'));
  }

  /** A newer one has ended it. */
  empty() {
    return this.#say('');
  }

  async #say(text) {
    this.#resolve(new Response(text));
    await settle();
  }
}

/** A session by name that has connected and waits: the transport, what it heard, and the poll. */
async function waiting(t) {
  const server = new Server(t);
  const poll = openPoll('http://push.example.org/');
  t.after(() => poll.close());
  const heard = [];
  poll.onmessage = ({ data }) => heard.push(...data.split('\n').filter(Boolean).map(line => JSON.parse(line)));
  poll.onclose = ({ reason }) => heard.push({ closed: reason });
  poll.send(JSON.stringify({ id: 1, op: 'connect', token: 't', client: 'laptop', epoch: EPOCH, last: { [CH]: 100 } }));
  await (await server.next()).arrive().answer();
  return { server, poll, heard, first: (await server.next()).arrive() };
}

const ack = (poll, offset) => poll.send(`{"op":"ack","last":{"${CH}":${offset}}}`);
const publish = (poll, id) => poll.send(`{"id":${id},"op":"publish","channel":"${CH}","data":1}`);
const acks = call => call.commands.filter(({ op }) => op === 'ack').map(({ last }) => last);
const fates = heard => heard.filter(({ bye, closed }) => bye || closed);

test('a secret that comes while a newer poll is on its way is not used: that one makes it void', async t => {
  const { server, poll, heard, first } = await waiting(t);
  ack(poll, 100);
  const second = await server.next(); // an acknowledgement is not waited for
  await first.answer(message(CH, 101, 100));
  second.arrive();
  publish(poll, 2); // as the handler does
  const third = (await server.next()).arrive();
  await second.empty();
  await third.answer({ re: 2, offset: 102, epoch: EPOCH }, message(CH, 102, 101));
  assert.deepEqual(fates(heard), []);
  assert.deepEqual(heard.filter(({ o }) => o).map(({ o }) => o), [101, 102]);
  await (await server.next()).arrive().answer(message(CH, 103, 102));
  assert.deepEqual(heard.at(-1).o, 103);
});

test('nor one that comes while an older poll is, which the network may have held up', async t => {
  const { server, poll, heard, first } = await waiting(t);
  await first.answer();
  const late = await server.next();
  publish(poll, 2);
  await (await server.next()).arrive().answer({ re: 2, offset: 101, epoch: EPOCH }, message(CH, 101, 100));
  late.arrive();
  const third = (await server.next()).arrive();
  await late.empty();
  await third.answer(message(CH, 102, 101));
  assert.deepEqual(fates(heard), []);
  assert.deepEqual(heard.filter(({ o }) => o).map(({ o }) => o), [101, 102]);
});

/** A poll that waits, and one with a publish that comes to the server before it. */
async function overtaken(t) {
  const world = await waiting(t);
  await world.first.answer();
  const late = await world.server.next();
  publish(world.poll, 2);
  const fast = (await world.server.next()).arrive();
  return { ...world, late: late.arrive(), fast };
}

test('nor one that the server has given out before another, and that comes behind that', async t => {
  const { server, heard, late, fast } = await overtaken(t);
  await late.answer(message(CH, 101, 100));
  await fast.answer({ re: 2, offset: 101, epoch: EPOCH }, message(CH, 101, 100));
  await (await server.next()).arrive().answer(message(CH, 102, 101));
  await (await server.next()).arrive().answer(message(CH, 103, 102));
  assert.deepEqual(fates(heard), []);
  assert.deepEqual(heard.at(-1).o, 103);
});

/** It is sent again, and answered. */
async function answered({ server, heard, fast }, ...before) {
  const again = (await server.next()).arrive();
  assert.deepEqual(again.commands.at(-1), fast.commands.at(-1));
  for (const step of before) await step();
  await again.answer({ re: 2, offset: 102, epoch: EPOCH, duplicate: true }, message(CH, 102, 101));
  assert.equal(heard.filter(({ re }) => re === 2).length, 1);
  assert.deepEqual(fates(heard), []);
  (await server.next()).arrive();
  await server.quiet();
}

test('what was sent by a poll that an older one has ended is sent again', async t => {
  const world = await overtaken(t);
  await world.fast.empty();
  await answered(world, () => world.late.empty());
});

test('also where the older one has its answer first', async t => {
  const world = await overtaken(t);
  await world.late.answer(message(CH, 101, 100));
  await world.fast.empty();
  await answered(world);
});

test('a poll that is ended while there was no other one was ended by another client', async t => {
  const { heard, first } = await waiting(t);
  await first.empty();
  assert.deepEqual(fates(heard), [{ bye: { code: 'displaced' } }]);
});

test('where another client has taken the name, the secret is good no more, and that is told', async t => {
  const { server, heard, first } = await waiting(t);
  server.rotate({ client: 'laptop' });
  await first.answer(message(CH, 101, 100));
  const next = (await server.next()).arrive();
  await next.answer(message(CH, 102, 101));
  assert.deepEqual(fates(heard), [{ bye: { code: 'displaced' } }]);
  assert.deepEqual(heard.filter(({ o }) => o).map(({ o }) => o), [101]);
});

// acking is a client that acknowledges a message by a second poll, while one waits.
async function acking(t) {
  const world = await waiting(t);
  await world.first.answer(message(CH, 101, 100));
  const waits = (await world.server.next()).arrive();
  ack(world.poll, 101);
  return { ...world, waits, second: await world.server.next() };
}

test('an acknowledgement whose poll has failed goes with the next one', async t => {
  const { server, poll, heard, waits, second } = await acking(t);
  assert.deepEqual(acks(second), [{ [CH]: 101 }]);
  second.fail(new TypeError('failed to fetch'));
  const third = (await server.next()).arrive();
  await waits.empty();
  assert.deepEqual(acks(third), [{ [CH]: 101 }]);
  await third.answer(message(CH, 102, 101));
  assert.deepEqual(acks((await server.next()).arrive()), [], 'it was taken');
  assert.deepEqual(fates(heard), []);
});

test('so does one whose poll a newer one has ended: it may have come too late for it', async t => {
  const { server, poll, waits, second } = await acking(t);
  second.arrive();
  await waits.empty();
  publish(poll, 2);
  const third = (await server.next()).arrive();
  await second.empty();
  await server.quiet();
  await third.answer({ re: 2, offset: 102, epoch: EPOCH }, message(CH, 102, 101));
  const fourth = (await server.next()).arrive();
  assert.deepEqual(acks(fourth), [{ [CH]: 101 }]);
});

test('but not to a subscription that has begun anew before it', async t => {
  const { server, poll, waits, second } = await acking(t);
  second.arrive();
  await waits.empty();
  poll.send(JSON.stringify({ id: 2, op: 'subscribe', channel: CH, after: 50, epoch: EPOCH }));
  const third = (await server.next()).arrive();
  await second.empty();
  await third.answer({ re: 2, offset: 101, epoch: EPOCH });
  const fourth = (await server.next()).arrive();
  assert.deepEqual(acks(fourth), [], 'which would be refused, as beyond what was sent');
});

test('what is left over when it is closed is said by a call of its own', async t => {
  const { server, poll, waits, second } = await acking(t);
  second.arrive();
  await waits.empty();
  publish(poll, 2);
  (await server.next()).arrive();
  await second.empty();
  poll.close();
  const last = await server.next();
  assert.deepEqual([last.url, acks(last)], ['http://push.example.org/v1/send', [{ [CH]: 101 }]]);
  assert.deepEqual(last.headers, { 'Orbit-Session': 'session', 'Orbit-Secret': 'S1', Authorization: 'Bearer t' });
});

test('histories for which an answer had no room are asked for again in the next poll, others not', async t => {
  const { server, poll, heard, first } = await waiting(t);
  for (const id of [2, 3, 4]) poll.send(JSON.stringify({ id, op: 'history', channel: CH }));
  publish(poll, 5);
  const second = (await server.next()).arrive();
  await first.empty();
  const refused = (re, code) => ({ re, error: { code, message: 'no' } });
  const given = re => ({ re, epoch: EPOCH, messages: [] });
  await second.answer(given(2), refused(3, 'rate_limited'), refused(4, 'forbidden'), refused(5, 'rate_limited'));
  const third = (await server.next()).arrive();
  assert.deepEqual(third.commands.slice(1), [{ id: 3, op: 'history', channel: CH }]);
  assert.deepEqual(heard.filter(({ error }) => error).map(({ re }) => re), [4, 5]);
  await third.answer(given(3));
  assert.deepEqual(heard.filter(({ messages }) => messages).map(({ re }) => re), [2, 3]);
});
