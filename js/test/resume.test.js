// A page that ends, in whatever state, and the one after it: on a daemon, with storage that both see.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Daemon } from '../../tests/browser/daemon.js';
import { Orbit } from '../orbit.js';
import { host } from '../orbit/host.js';
import { TIME } from '../orbit/constants.js';
import { greet } from './open.js';
import { EPOCH, message, OTHER_EPOCH, settle, TestHost } from './host.js';
import { TestShelves } from './shelf.js';

const CH = '/chat/lobby';
const channels = `
[[channel]]
match     = "/chat/**"
subscribe = ["*"]
publish   = ["*"]
`;

/** Pages of one tab. A page that is killed keeps its objects here, and can do nothing any more. */
class Tab {
  #kept = new Map();
  shelves = new TestShelves();

  page(t, url, options) {
    const page = this.shelves.page();
    const kept = this.#kept;
    const storage = () => ({
      get: key => kept.get(key) ?? null,
      set: (key, value) => page.alive && Boolean(kept.set(key, value)),
      hold: () => true,
      release: () => {},
    });
    const orbit = new Orbit(url, { transports: ['stream'], resume: 'tab', ...options }, { ...host, storage, shelf: page.shelf });
    t.after(() => orbit.close());
    return { orbit, kill: () => { page.end(); orbit.close(); } };
  }
}

test('what a killed page has processed does not come again, and what it was at does', { timeout: 60_000 }, async t => {
  const daemon = await Daemon.start(t, { channels });
  const tab = new Tab();
  const { orbit: publisher } = new Tab().page(t, daemon.url);
  for (const n of [0, 1, 2, 3, 4]) await publisher.channel(CH).publish(n);
  const first = tab.page(t, daemon.url);
  const handed = [];
  await new Promise(resolve => {
    first.orbit.channel(CH, { after: 0 }).onmessage = event => {
      handed.push(event.data);
      if (event.data < 2) return;
      resolve();
      return new Promise(() => {}); // and never ends
    };
  });
  await settle();
  first.kill();
  await publisher.channel(CH).publish(5);
  const second = tab.page(t, daemon.url);
  const got = [];
  await new Promise(resolve => {
    second.orbit.channel(CH, { after: 0 }).onmessage = event => {
      got.push(event.data);
      if (event.data === 5) resolve();
    };
  });
  assert.deepEqual(got, [2, 3, 4, 5]);
});

test('publishes without an answer are sent by the next page, each stored once and in order', { timeout: 60_000 }, async t => {
  const daemon = await Daemon.start(t, { channels });
  const tab = new Tab();
  const first = tab.page(t, daemon.url);
  const lost = [];
  const stored = await Promise.all([0, 1].map(n => first.orbit.channel(CH).publish(n)));
  assert.equal(tab.shelves.count, 0);
  for (const n of [2, 3, 4]) lost.push(first.orbit.channel(CH).publish(n).catch(() => {}));
  await settle(); // they are on their way, and may have arrived
  first.kill();
  await daemon.kill();
  const offline = tab.page(t, daemon.url);
  offline.orbit.channel(CH).publish(5).catch(() => {});
  await settle();
  assert.equal(tab.shelves.count, 4);
  offline.kill();
  await daemon.start();
  const second = tab.page(t, daemon.url);
  await second.orbit.channel(CH).publish(6);
  const { messages } = await second.orbit.channel(CH).history();
  assert.deepEqual(messages.map(event => event.data), [0, 1, 2, 3, 4, 5, 6]);
  assert.equal(messages[1].offset, stored[1].offset);
  assert.equal(tab.shelves.count, 0);
});

/** A page on a scripted transport, whose storage is another one's. */
function page(options, before) {
  const scripted = new TestHost();
  if (before) Object.assign(scripted, { kept: before.host.kept, shelves: before.host.shelves });
  return { host: scripted, orbit: new Orbit('http://push.example.org', options, scripted) };
}

/** Where a page asks to start. */
async function begins(made, options) {
  made.orbit.channel(CH, options).onmessage = () => {};
  const { last, epoch } = await greet(made.host);
  return last ? { after: last[CH], epoch } : null;
}

test('nothing is kept, or looked for, where the page does not ask for it', async () => {
  const first = page({ resume: 'tab' });
  await begins(first, { after: 100, epoch: EPOCH });
  const [subscribe] = first.host.last.take();
  assert.equal(subscribe.channel, CH);
  first.host.last.say({ re: subscribe.id, offset: 100, epoch: EPOCH }, message(CH, 101, 100));
  assert.deepEqual(await begins(page({}, first), { after: 7, epoch: EPOCH }), { after: 7, epoch: EPOCH });
  assert.deepEqual(await begins(page({ resume: 'tab' }, first), { after: 7, epoch: EPOCH }), { after: 101, epoch: EPOCH });
  assert.throws(() => page({ resume: 'here' }), /resume/);
});

test('what was finished before what came before it does not come again, either', async () => {
  const kept = of => of.host.kept.get(`orbit:cursor:http://push.example.org:${CH}`);
  /** A page whose handlers finish all but the messages of these numbers. */
  const reads = async (before, stuck) => {
    const made = page({ resume: 'tab' }, before);
    const got = [];
    made.orbit.channel(CH, { after: 100, epoch: EPOCH }).onmessage = event => {
      got.push(event.offset);
      if (stuck.includes(event.offset)) return new Promise(() => {});
    };
    const { last } = await greet(made.host, { subs: { [CH]: { offset: 105 } } });
    made.host.last.take();
    return { ...made, got, last };
  };
  const say = async ({ host }, ...offsets) => {
    host.last.say(...offsets.map(o => message(CH, o, o - 1)));
    await settle();
  };
  const first = await reads(undefined, [102, 104]);
  await say(first, 101, 102, 103, 104, 105);
  assert.equal(kept(first), `${EPOCH}-101+103+105`);
  const second = await reads(first, []);
  assert.deepEqual(second.last, { [CH]: 101 });
  await say(second, 102);
  assert.equal(kept(second), `${EPOCH}-102+103+105`, 'they are still to come');
  const third = await reads(second, []);
  await say(third, 103, 104, 105, 106);
  assert.deepEqual([second.got, third.got, kept(third)], [[102], [104, 106], `${EPOCH}-106`]);
  await third.host.advance(TIME.ack);
  assert.deepEqual(third.host.last.take(), [{ op: 'ack', last: { [CH]: 106 } }]);
});

/** Another Orbit of the page that is there. */
function beside({ host }, options, start) {
  const orbit = new Orbit('http://push.example.org', { resume: 'tab', ...options }, host);
  const errors = [];
  orbit.onerror = ({ code, channel, message }) => errors.push(`${code} ${channel}: ${message}`);
  const channel = orbit.channel(CH, start);
  channel.onmessage = () => {};
  return { host, orbit, channel, errors };
}

/** The newest connection is accepted, and brings a message behind a position, which is processed. */
async function bring({ host }, offset, after = offset - 1) {
  await greet(host, { subs: { [CH]: { offset } } });
  const [subscribe] = host.last.take();
  if (subscribe) host.last.say({ re: subscribe.id, offset, epoch: EPOCH });
  host.last.say(message(CH, offset, after));
}

test('two Orbits of a page keep a place each where they have names, and one does where they have none', async t => {
  const reported = [];
  t.mock.method(console, 'error', error => reported.push(error.message));
  const start = { after: 100, epoch: EPOCH };
  const first = page({ resume: 'tab' });
  const plain = beside(first, {}, start);
  await bring(first, 101);
  const side = beside(first, { name: 'side' }, start);
  await bring(first, 102, 100);
  assert.deepEqual([...first.host.kept.entries()].filter(([key]) => key.startsWith('orbit:cursor')), [
    [`orbit:cursor:http://push.example.org:${CH}`, `${EPOCH}-101`], // as a library without names has it
    [`orbit:cursor:http://push.example.org:${CH} side`, `${EPOCH}-102`]]);
  const again = beside(first, { name: 'side' }, start);
  const third = await greet(first.host);
  assert.deepEqual(third.last, { [CH]: 102 }, 'it begins where the other one is');
  first.host.last.say(message(CH, 103, 102));
  assert.equal(first.host.kept.get(`orbit:cursor:http://push.example.org:${CH} side`), `${EPOCH}-102`, 'and keeps nothing');
  assert.deepEqual([plain.errors, side.errors, again.errors.length, reported.length], [[], [], 1, 1]);
  assert.match(again.errors[0], /^not_kept \/chat\/lobby: another Orbit .* "name"/);
  assert.match(reported[0], /another Orbit/);
  side.channel.close();
  side.orbit.close();
  const heir = beside(first, { name: 'side' }, start);
  await bring(first, 103);
  assert.deepEqual([heir.errors, first.host.kept.get(`orbit:cursor:http://push.example.org:${CH} side`)], [[], `${EPOCH}-103`]);
  const next = page({ resume: 'tab', name: 'side' }, first);
  assert.deepEqual(await begins(next), { after: 103, epoch: EPOCH });
  for (const name of ['', 7, null]) assert.throws(() => page({ resume: 'tab', name }), /name is a text/);
});

test('the place of a browser is that of the tab which is furthest', async () => {
  const first = page({ resume: 'browser' });
  const slow = beside(first, { resume: 'browser' }, { after: 100, epoch: EPOCH });
  slow.channel.onmessage = ({ offset }) => offset === 102 && new Promise(() => {});
  await bring(first, 101);
  const second = page({ resume: 'browser' }, first);
  beside(second, { resume: 'browser' });
  await greet(second.host, { subs: { [CH]: { offset: 102 } } });
  second.host.last.say(message(CH, 102, 101), message(CH, 103, 102));
  first.host.last.say(message(CH, 102, 101), message(CH, 103, 102));
  assert.deepEqual(await begins(page({ resume: 'browser' }, first)), { after: 103, epoch: EPOCH });
  second.host.last.drop();
  await second.host.advance(TIME.first);
  await greet(second.host, { epoch: OTHER_EPOCH, subs: { [CH]: { offset: 70 } } });
  second.host.last.say({ ch: CH, gap: { after: 103, to: 60, reason: 'epoch' } });
  assert.deepEqual(await begins(page({ resume: 'browser' }, first)), { after: 60, epoch: OTHER_EPOCH });
});

test('also where the server was restarted, of which the others have seen nothing yet', async () => {
  const first = page({ resume: 'browser' });
  let finish;
  const slow = beside(first, { resume: 'browser' }, { after: 100, epoch: EPOCH });
  slow.channel.onmessage = ({ offset }) => offset === 102 && new Promise(resolve => { finish = resolve; });
  await bring(first, 101);
  first.host.last.say(message(CH, 102, 101));
  first.host.last.drop();
  const second = page({ resume: 'browser' }, first);
  beside(second, { resume: 'browser' });
  await greet(second.host, { epoch: OTHER_EPOCH, subs: { [CH]: { offset: 104 } } });
  second.host.last.say(message(CH, 102, 101), message(CH, 103, 102));
  finish();
  await settle();
  assert.deepEqual(await begins(page({ resume: 'browser' }, first)), { after: 103, epoch: OTHER_EPOCH });
  await first.host.advance(TIME.first);
  await greet(first.host, { epoch: OTHER_EPOCH, subs: { [CH]: { offset: 104 } } });
  first.host.last.say(message(CH, 103, 102), message(CH, 104, 103));
  assert.deepEqual(await begins(page({ resume: 'browser' }, first)), { after: 104, epoch: OTHER_EPOCH });
});

test('a place that cannot be kept is told of, once', async t => {
  t.mock.method(console, 'error', () => {});
  const first = page({ resume: 'tab' });
  const shown = beside(first, {}, { after: 100, epoch: EPOCH });
  await bring(first, 101);
  first.host.full = true;
  first.host.last.say(message(CH, 102, 101), message(CH, 103, 102));
  await settle();
  assert.equal(shown.errors.length, 1);
  assert.match(shown.errors[0], /^not_kept \/chat\/lobby: .* no room/);
  assert.deepEqual(await begins(page({ resume: 'tab' }, first)), { after: 101, epoch: EPOCH }, 'so these come again');
});

test('nor is there a place where there is no storage', async t => {
  t.mock.method(console, 'error', () => {});
  const none = new TestHost();
  none.storage = host.storage; // as in Node
  const { errors } = beside({ host: none }, { resume: 'browser' }, { after: 100, epoch: EPOCH });
  await bring({ host: none }, 101);
  await settle();
  assert.equal(errors.length, 1);
  assert.match(errors[0], /^not_kept \/chat\/lobby: .* no storage/);
});

test('and is forgotten where it has expired, or is of another history', async () => {
  for (const [gap, left] of [[{ after: 101, to: 104, reason: 'expired' }, `${EPOCH}-104+105`], [{ after: 101, to: 60, reason: 'epoch' }, `${EPOCH}-60`]]) {
    const made = page({ resume: 'tab' });
    made.host.kept.set(`orbit:cursor:http://push.example.org:${CH}`, `${EPOCH}-101+103+105`);
    const gaps = [];
    const lobby = made.orbit.channel(CH);
    lobby.ongap = event => gaps.push(event.to);
    lobby.onmessage = () => {};
    await greet(made.host, { subs: { [CH]: { offset: 105 } } });
    made.host.last.say({ ch: CH, gap });
    assert.deepEqual([gaps, made.host.kept.get(`orbit:cursor:http://push.example.org:${CH}`)], [[gap.to], left]);
  }
});

test('what is kept and cannot be read is as if it were not there', async () => {
  const first = page({ resume: 'browser' });
  for (const text of ['', 'x', `${EPOCH}-`, `${EPOCH}-99999999999999999`, `${EPOCH}--1`, `${EPOCH}-1+`, `${EPOCH}-1+x`, '{}']) {
    first.host.kept.set(`orbit:cursor:http://push.example.org:${CH}`, text);
    first.host.shelves.boxes.set('http://push.example.org box', new Map([[0, text], [1, { fields: null }]]));
    assert.deepEqual(await begins(page({ resume: 'browser' }, first), { after: 7, epoch: EPOCH }), { after: 7, epoch: EPOCH }, text);
  }
});
