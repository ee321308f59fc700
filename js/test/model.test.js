// The library against a server that fails in every way it may: each accepted message reaches every
// subscriber once and in order, and every publish gets its answer. A seed is a run; ORBIT_SEEDS says
// how many, ORBIT_SEED repeats one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Orbit } from '../orbit.js';
import { LIMIT } from '../orbit/constants.js';
import { within } from '../orbit/hub/page.js';
import { Registry } from '../orbit/hub/registry.js';
import { randomFrom, settle, TestHost } from './host.js';
import { ModelServer } from './model.js';

const CHANNELS = ['/a/1', '/a/2', '/b/1'];
const MESSAGES = 40;
/** A hub that has too little of everything. */
const tight = { ...LIMIT, window: 4, ring: 3, turn: 6, portCalls: 2, portBurst: 4, epochs: 2 };

/** Subscribes in one of the three ways a page can; returns what it got, by channel. */
function subscriber({ host, hubs }, random, way) {
  const orbit = new Orbit('http://model', { ack: way === 'manual' ? 'manual' : 'auto', shared: hubs !== undefined }, host, hubs);
  const got = {};
  const gaps = {};
  for (const name of CHANNELS) {
    const channel = orbit.channel(name, { after: 0 });
    const offsets = got[name] = [];
    gaps[name] = [];
    channel.ongap = gap => gaps[name].push(gap);
    const join = () => {
      if (orbit.state !== 'closed') consume(channel, offsets);
    };
    if (hubs) host.setTimeout(join, random() * 1500); // and finds a connection that is further on
    else join();
  }
  return { orbit, got, gaps };

  function consume(channel, offsets) {
    if (way === 'loop') {
      (async () => { for await (const event of channel) { offsets.push(event.offset); await null; } })();
    } else {
      channel.onmessage = event => {
        offsets.push(event.offset);
        if (way === 'manual') host.setTimeout(() => event.ack(), random() * 50);
        else if (random() < 0.3) return new Promise(resolve => host.setTimeout(resolve, random() * 50));
      };
    }
  }
}

/** Publishes at random moments, several in flight. */
function publisher({ host, hubs }, random) {
  const orbit = new Orbit('http://model', { shared: hubs !== undefined }, host, hubs);
  const results = [];
  for (let n = 0; n < MESSAGES; n++) {
    const name = CHANNELS[Math.floor(random() * CHANNELS.length)];
    host.setTimeout(() => results.push(orbit.channel(name).publish({ n })), random() * 1500);
  }
  return { orbit, results };
}

/** Kills and starts the server, and cuts single connections. */
function chaos(server, host, random) {
  for (let i = 0; i < 4; i++) {
    const at = random() * 2000;
    host.setTimeout(() => server.kill(), at);
    host.setTimeout(() => server.start(), at + random() * 300);
    host.setTimeout(() => [...server.links].at(Math.floor(random() * 4))?.cut(), random() * 2000);
  }
}

/** What of all messages was neither handed over nor said to be gone. From the oldest on, nothing is. */
function unexplained(all, floor, got, gaps) {
  return all.map(message => message.o).filter(o => !got.includes(o)
    && !gaps.some(gap => gap.after < o && o <= gap.to) && !(o <= floor && o < (got[0] ?? Infinity)));
}

async function run(seed, { shared, ...faults }) {
  const random = randomFrom(seed);
  const host = new TestHost(seed);
  const server = new ModelServer(host, random, { drop: 0.05, repeat: 0.05, refuse: 0.05, ...faults });
  const page = { host: { ...host, random, open: () => server.open() } };
  const registry = new Registry(page.host, tight);
  if (shared) page.hubs = { dial: () => within(registry) };
  const subscribers = ['handler', 'loop', 'manual'].map(way => subscriber(page, random, way));
  const { orbit, results } = publisher(page, random);
  chaos(server, host, random);
  await host.advance(30_000);
  server.faults = {};
  if (!server.up) server.start();
  // Only the next message of a channel can tell that its last one was dropped.
  for (const name of CHANNELS) results.push(orbit.channel(name).publish({ n: -1 }));
  await host.advance(60_000);
  await settle();

  assert.equal((await Promise.all(results)).length, MESSAGES + CHANNELS.length);
  assert.deepEqual(server.complaints, []);
  for (const name of CHANNELS) {
    const { all, floor, keys } = server.log(name);
    const stored = all.map(message => message.o);
    for (const { got, gaps } of subscribers) {
      assert.deepEqual(got[name], stored.filter(o => got[name].includes(o)), `${name}: once and in order`);
      assert.deepEqual(unexplained(all, floor, got[name], gaps[name]), [], `${name}: lost`);
    }
    assert.equal(all.length, keys.size);
  }
  for (const each of subscribers) each.orbit.close();
  orbit.close();
}

const one = process.env.ORBIT_SEED;
const seeds = one ? [Number(one)] : Array.from({ length: Number(process.env.ORBIT_SEEDS ?? 60) }, (_, i) => i + 1);

for (const [name, faults] of Object.entries({
  'whatever the server does': {},
  'and retention is fast': { expire: 0.1 },
  'over one connection': { shared: true },
  'over one connection, and retention is fast': { shared: true, expire: 0.1 },
})) {
  test(`once and in order, ${name}: ${seeds.length} seeds`, async () => {
    for (const seed of seeds) {
      await run(seed, faults).catch(error => {
        error.message = `ORBIT_SEED=${seed}: ${error.message}`;
        throw error;
      });
    }
  });
}
