// A ladder of helpers that gets a test to its interesting line.
import { Orbit } from '../orbit.js';
import { accepted, settle, TestHost } from './host.js';

/** An Orbit on a scripted transport, and what it has told. */
export function make(options = {}) {
  const host = new TestHost();
  const orbit = new Orbit('http://push.example.org', options, host);
  const told = [];
  for (const type of ['open', 'close', 'gap', 'revoked', 'error', 'state']) {
    orbit.addEventListener(type, event => told.push(event));
  }
  return { host, orbit, told, of: type => told.filter(event => event.type === type) };
}

/** Opens the newest transport and answers its connect; returns the connect command. */
export async function greet(host, reply = {}) {
  await settle();
  host.last.onopen({});
  const [connect] = host.last.take();
  host.last.say({ re: connect.id, ...accepted(reply) });
  await settle();
  return connect;
}

/** A channel that is live after `offset`, and what its handler got. */
export async function live(options = {}, start = {}, handler = () => {}) {
  const world = make(options);
  const lobby = world.orbit.channel('/chat/lobby', start);
  const got = [];
  lobby.onmessage = event => {
    got.push(event);
    return handler(event);
  };
  await greet(world.host);
  const [subscribe] = world.host.last.take();
  world.host.last.say({ re: subscribe.id, offset: 100, epoch: accepted().epoch });
  return { ...world, lobby, got, offsets: () => got.map(event => event.offset), subscribe };
}
