// The vectors of PROTOCOL.md: what stands there is what this library reads and writes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as constants from '../orbit/constants.js';
import { decode, decodePayload, encode, encodePayload, isChannel } from '../orbit/codec.js';
import { greet, live, make } from './open.js';
import { EPOCH, settle } from './host.js';

const text = readFileSync(new URL('../../PROTOCOL.md', import.meta.url), 'utf8');

function vectors(kind) {
  const blocks = [...text.matchAll(new RegExp(`^\`\`\`\\w+ ${kind}\\n([^]*?)^\`\`\`$`, 'gm'))];
  const lines = blocks.flatMap(block => block[1].trim().split('\n'));
  assert.ok(lines.length > 0, `PROTOCOL.md has no ${kind} vectors`);
  return lines;
}

const commands = vectors('command').map(line => JSON.parse(line));

/** A vector with a payload of a command that the library makes itself. */
const like = match => commands.filter(command => Object.entries(match).every(
  ([field, value]) => JSON.stringify(command[field]) === JSON.stringify(value)));

test('every reply and push is read as what it is', () => {
  for (const line of vectors('reply')) assert.equal(decode(line)[0].kind, 'reply', line);
  const kinds = vectors('push').map(line => decode(line)[0].kind);
  assert.deepEqual(kinds, ['message', 'message', 'message', 'at', 'gap', 'revoked', 'bye', 'bye', 'ping', 'pong', 'error']);
});

test('several frames come in one text, the last line feed may be there', () => {
  assert.equal(decode(vectors('push').join('\n') + '\n').length, vectors('push').length);
  for (const bad of ['[]', '1', 'null', '{"ch":', 'x']) assert.throws(() => decode(bad), SyntaxError, bad);
  assert.equal(decode('{"news":1}')[0].kind, 'other');
});

test('payloads go both ways', () => {
  const bytes = vectors('push').map(line => JSON.parse(line)).find(frame => frame.b);
  assert.deepEqual(decodePayload(bytes), new Uint8Array([0, 1, 2]));
  const vector = commands.find(command => command.b);
  assert.deepEqual(encodePayload(new Uint8Array([0, 1, 2])), { b: vector.b, ct: vector.ct });
  assert.deepEqual(encodePayload(new DataView(new ArrayBuffer(3), 1, 1), 'image/png'), { b: 'AA==', ct: 'image/png' });
  assert.deepEqual(encodePayload(null), { data: null });
  assert.throws(() => encodePayload(undefined), TypeError);
  assert.throws(() => encodePayload(() => {}), TypeError);
});

test('every code is known', () => {
  const table = text.slice(text.indexOf('## 6.'), text.indexOf('`bye` has a code'));
  const codes = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(match => match[1]);
  assert.deepEqual(codes.sort(), Object.values(constants.CODE).sort());
  const byes = text.slice(text.indexOf('| bye |'), text.indexOf('**Limits.**'));
  const known = [...Object.values(constants.CODE), ...Object.values(constants.BYE)];
  for (const [, code] of byes.matchAll(/^\| `(\w+)` \|/gm)) assert.ok(known.includes(code), code);
  for (const code of Object.values(constants.BYE)) assert.match(byes, new RegExp(`^\\| \`${code}\` \\|`, 'm'));
});

test('names that are refused as unknown are no names here either', () => {
  const refused = vectors('refused').filter(line => line.startsWith('unknown_channel '));
  for (const line of refused) {
    assert.equal(isChannel(JSON.parse(line.slice('unknown_channel '.length)).channel), false, line);
  }
  for (const name of ['/', '', '/a$', '/a/$b$', '/$$', '/a/', '//a', '/a//b', '/a/./b', '/a b', '/ä', '/' + 'x'.repeat(255), 3, null, '/a/.']) {
    assert.equal(isChannel(name), false, String(name));
  }
  for (const name of ['/a', '/chat/lobby', '/a/x.y~z@b:c+d=e,f!-_', '/' + 'x'.repeat(254), '/a/..b', '/$sys', '/a/$members', '/$', '/...']) {
    assert.equal(isChannel(name), true, name);
  }
});

test('the library writes connect as the vectors have it', async () => {
  const { host, orbit } = make({ token: commands[1].token, ack: 'manual', client: 'laptop' });
  orbit.connect();
  assert.deepEqual(await greet(host), commands[1]);
  const anonymous = make();
  anonymous.orbit.connect();
  assert.deepEqual(await greet(anonymous.host), commands[0]);
});

test('the library writes subscribe, unsubscribe and history as the vectors have them', async () => {
  for (const vector of like({ op: 'subscribe', channel: '/chat/lobby' })) {
    const { subscribe } = await live({}, { after: vector.after, epoch: vector.epoch });
    assert.deepEqual({ ...subscribe, id: vector.id }, vector);
  }
  const { host, lobby } = await live();
  lobby.history({ before: 1200, limit: 50 });
  lobby.history();
  lobby.close();
  const sent = host.last.take();
  const wanted = [...like({ op: 'history' }), ...like({ op: 'unsubscribe' })];
  assert.deepEqual(sent.map(({ id, ...rest }) => rest), wanted.map(({ id, ...rest }) => rest));
});

test('the library writes publish and ack as the vectors have them', async () => {
  const { host, lobby } = await live();
  const [, keyed] = like({ op: 'publish', data: { text: 'hi' } });
  lobby.publish(keyed.data, { key: keyed.key });
  lobby.publish(new Uint8Array([0, 1, 2]), { key: 'k2', headers: { trace: '7' } });
  await settle();
  const [first, second] = host.last.take();
  assert.deepEqual({ ...first, id: keyed.id }, keyed);
  const [binary] = like({ op: 'publish', b: 'AAEC' });
  assert.deepEqual({ ...second, id: binary.id }, { ...binary, prev: keyed.key, first: keyed.first });
  host.last.say({ ch: '/chat/lobby', o: 1241, p: 100, t: 1, d: 1 });
  await host.advance(constants.TIME.ack);
  assert.deepEqual(host.last.take(), like({ op: 'ack' }));
});

test('the library resumes as the vector has it', async () => {
  const { host, orbit } = make();
  const [, , resume] = like({ op: 'connect' });
  for (const [name, after] of Object.entries(resume.last)) {
    orbit.channel(name, { after, epoch: resume.epoch }).onmessage = () => {};
  }
  await greet(host);
  host.last.drop();
  await host.advance(constants.TIME.first);
  const again = await greet(host);
  assert.deepEqual({ ...again, id: resume.id }, resume);
  assert.equal(resume.epoch, EPOCH);
});

test('what is not answered has no id', async () => {
  const { host } = await live();
  host.last.say({ op: 'ping' });
  assert.deepEqual(host.last.take().map(encode), ['{"op":"pong"}']);
});
