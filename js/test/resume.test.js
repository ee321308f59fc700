// A page that ends, in whatever state, and the one after it: on a daemon, with storage that both see.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Daemon } from '../../tests/browser/daemon.js';
import { Orbit } from '../orbit.js';
import { host } from '../orbit/host.js';
import { greet } from './open.js';
import { EPOCH, message, settle, TestHost } from './host.js';

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

  page(t, url, options) {
    let alive = true;
    const kept = this.#kept;
    const storage = () => ({
      get: key => kept.get(key) ?? null,
      set: (key, value) => { if (alive) kept.set(key, value); },
      remove: key => { if (alive) kept.delete(key); },
      keys: () => [...kept.keys()],
    });
    const orbit = new Orbit(url, { transports: ['stream'], resume: 'tab', ...options }, { ...host, storage });
    t.after(() => orbit.close());
    return { orbit, kill: () => { alive = false; orbit.close(); } };
  }

  get unsent() {
    return [...this.#kept.keys()].filter(key => key.includes('unsent')).length;
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
  assert.equal(tab.unsent, 0);
  for (const n of [2, 3, 4]) lost.push(first.orbit.channel(CH).publish(n).catch(() => {}));
  await settle(); // they are on their way, and may have arrived
  first.kill();
  await daemon.kill();
  const offline = tab.page(t, daemon.url);
  offline.orbit.channel(CH).publish(5).catch(() => {});
  await settle();
  assert.equal(tab.unsent, 4);
  offline.kill();
  await daemon.start();
  const second = tab.page(t, daemon.url);
  await second.orbit.channel(CH).publish(6);
  const { messages } = await second.orbit.channel(CH).history();
  assert.deepEqual(messages.map(event => event.data), [0, 1, 2, 3, 4, 5, 6]);
  assert.equal(messages[1].offset, stored[1].offset);
  assert.equal(tab.unsent, 0);
});

/** A page on a scripted transport, whose storage is another one's. */
function page(options, before) {
  const scripted = new TestHost();
  if (before) scripted.kept = before.host.kept;
  return { host: scripted, orbit: new Orbit('http://push.example.org', options, scripted) };
}

/** Where a page asks to start. */
async function start(made, options) {
  made.orbit.channel(CH, options).onmessage = () => {};
  const { last, epoch } = await greet(made.host);
  return last ? { after: last[CH], epoch } : null;
}

test('nothing is kept, or looked for, where the page does not ask for it', async () => {
  const first = page({ resume: 'tab' });
  await start(first, { after: 100, epoch: EPOCH });
  const [subscribe] = first.host.last.take();
  assert.equal(subscribe.channel, CH);
  first.host.last.say({ re: subscribe.id, offset: 100, epoch: EPOCH }, message(CH, 101, 100));
  assert.deepEqual(await start(page({}, first), { after: 7, epoch: EPOCH }), { after: 7, epoch: EPOCH });
  assert.deepEqual(await start(page({ resume: 'tab' }, first), { after: 7, epoch: EPOCH }), { after: 101, epoch: EPOCH });
  assert.throws(() => page({ resume: 'here' }), /resume/);
});

test('what is kept and cannot be read is as if it were not there', async () => {
  const first = page({ resume: 'browser' });
  for (const text of ['', 'x', `${EPOCH}-`, `${EPOCH}-99999999999999999`, `${EPOCH}--1`, '{}']) {
    first.host.kept.set(`orbit:cursor:http://push.example.org:${CH}`, text);
    first.host.kept.set('orbit:unsent:http://push.example.org:0', text);
    assert.deepEqual(await start(page({ resume: 'browser' }, first), { after: 7, epoch: EPOCH }), { after: 7, epoch: EPOCH }, text);
  }
});

test('a publish that was refused meanwhile is an error of the page', async () => {
  const first = page({ resume: 'tab' });
  first.orbit.channel(CH).publish('x', { key: 'k' }).catch(() => {});
  await settle();
  const second = page({ resume: 'tab' }, first);
  const errors = [];
  second.orbit.onerror = event => errors.push([event.channel, event.code]);
  await greet(second.host);
  const [publish] = second.host.last.take();
  assert.deepEqual([publish.key, publish.data], ['k', 'x']);
  second.host.last.say({ re: publish.id, error: { code: 'key_expired', message: 'too old' } });
  assert.deepEqual(errors, [[CH, 'key_expired']]);
  assert.deepEqual([...second.host.kept.keys()].filter(key => key.includes('unsent')), []);
});
