// stompit.js VERSION HOST PORT [CA]: what an application does with stompit, with TLS where a file has
// the authority.
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import stompit from 'stompit';
import { createInterface } from 'node:readline/promises';

const [version, host, port, ca] = process.argv.slice(2);
const destination = `/team/stompit${version}${ca ? 's' : ''}`;
const ack = version === '1.0' ? 'client' : 'client-individual';
const options = {
  host, port: Number(port), ...ca && { ssl: true, ca: readFileSync(ca), servername: 'localhost' },
  connectHeaders: { host: 'localhost', login: 'alice', passcode: 'demo', 'accept-version': version, 'heart-beat': '10000,2000', 'client-id': destination },
};

/** Messages in their order, whole. */
class Inbox {
  #came = [];
  #wake = () => {};

  take = async (error, message) => {
    if (error) return; // the connection's end: whoever waits for it, sees it
    const chunks = [];
    for await (const chunk of message) chunks.push(chunk);
    this.#came.push({ message, headers: message.headers, body: Buffer.concat(chunks) });
    this.#wake();
  };

  async next(want) {
    while (this.#came.length === 0) await new Promise(resolve => { this.#wake = resolve; });
    const one = this.#came.shift();
    if (want !== undefined) assert.equal(String(one.body), want);
    return one;
  }
}

async function oneConnection() {
  const client = await promisify(stompit.connect)(options);
  assert.equal(client.headers.version, version);
  const inbox = new Inbox();
  client.subscribe({ destination, ack }, inbox.take);

  const large = Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, i) => i));
  await new Promise(onReceipt => {
    client.send({ destination, note: 'a:b', 'content-type': 'application/octet-stream', 'content-length': large.length }, { onReceipt }).end(large);
  });
  let one = await inbox.next();
  assert.ok(one.body.equals(large));
  assert.equal(one.headers.user, 'alice');
  assert.equal(one.headers.note, 'a:b');
  if (version !== '1.0') {
    client.nack(one.message);
    const id = one.headers['message-id'];
    one = await inbox.next();
    assert.deepEqual([one.headers.redelivered, one.headers['message-id']], ['true', id]);
  }
  client.ack(one.message);

  const undone = client.begin();
  undone.send({ destination }).end('undone');
  undone.abort();
  const done = client.begin();
  for (const text of ['1', '2']) done.send({ destination }).end(text);
  done.commit();
  for (const text of ['1', '2']) client.ack((await inbox.next(text)).message);
  await promisify(client.disconnect.bind(client))();
}

/** A channel of the library comes back by itself, with its subscriptions, and sends again what has no receipt. */
async function channel() {
  const failover = new stompit.ConnectFailover([options], { initialReconnectDelay: 20, maxReconnects: 100 });
  const channel = new stompit.Channel(failover, { alwaysConnected: true, recoverAfterApplicationError: true });
  const send = promisify(channel.send.bind(channel));
  const inbox = new Inbox(), kept = new Inbox();
  channel.subscribe({ destination, ack: 'auto', after: 0 }, inbox.take);
  await inbox.next();
  for (const text of ['1', '2']) await inbox.next(text);
  const durable = `${destination}/kept`;
  channel.subscribe({ destination: durable, ack, id: 'kept', durable: true }, kept.take);
  await send({ destination }, '3'); // by now that is in force
  await inbox.next('3');
  for (const text of ['acked', 'open']) await send({ destination: durable }, text);
  channel.ack((await kept.next('acked')).message);
  assert.equal((await kept.next('open')).headers.redelivered, undefined);
  await send({ destination: '/open/x' }, 'the ACK was received');

  const lines = createInterface({ input: process.stdin, output: process.stdout });
  await lines.question('restart\n');
  lines.close();
  await send({ destination }, '4');
  await inbox.next(); // its subscription begins again where it began
  for (const text of ['1', '2', '3', '4']) await inbox.next(text);
  await send({ destination: durable }, 'missed');
  for (const [text, redelivered] of [['open', 'true'], ['missed', undefined]]) {
    const one = await kept.next(text);
    assert.equal(one.headers.redelivered, redelivered);
    channel.ack(one.message);
  }
  channel.close();
}

await oneConnection();
await channel();
console.log('done');
