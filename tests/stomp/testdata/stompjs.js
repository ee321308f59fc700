// stompjs.js VERSION URL: what an application does with @stomp/stompjs. A page does the same: the
// scenario stands alone, for a browser's driver hands it over as text.
import { createInterface } from 'node:readline/promises';
import { pathToFileURL } from 'node:url';

/**
 * @param {typeof import('@stomp/stompjs')} stompjs
 * @param {string} version of STOMP
 * @param {string} url of the WebSocket
 * @param {() => Promise<unknown>} restart has the daemon restart, and waits until it has; true: it has crashed
 */
export async function scenario({ Client, Versions }, version, url, restart) {
  const destination = kind => `/team/stompjs${version}/${kind}`;
  const heard = []; // what came and nobody has waited for yet
  let wake = () => {};
  const hear = (kind, what) => { heard.push({ kind, what }); wake(); };
  const next = async kind => {
    for (;;) {
      const at = heard.findIndex(one => one.kind === kind);
      if (at >= 0) return heard.splice(at, 1)[0].what;
      await new Promise(resolve => { wake = resolve; });
    }
  };
  const check = (ok, what) => { if (!ok) throw new Error(`${version}: ${JSON.stringify(what)}`); };

  const client = new Client({
    brokerURL: url, stompVersions: new Versions([version]),
    connectHeaders: { login: 'alice', passcode: 'demo', 'client-id': version },
    heartbeatIncoming: 2000, heartbeatOutgoing: 10_000, reconnectDelay: 20,
    onConnect: () => hear('connected'),
    onHeartbeatReceived: () => hear('beat'),
    onStompError: frame => check(frame.headers.message.includes('restarts'), frame.headers),
  });
  const publish = async (kind, receipt, frame) => {
    client.watchForReceipt(receipt, () => hear(receipt));
    client.publish({ destination: destination(kind), ...frame, headers: { ...frame.headers, receipt } });
    await next(receipt);
  };
  const subscribe = async (kind, headers) => {
    client.watchForReceipt('subscribed', () => hear('subscribed'));
    const ack = version === '1.0' ? 'client' : 'client-individual';
    client.subscribe(destination(kind), message => hear(kind, message), { id: kind, ack, receipt: 'subscribed', ...headers });
    await next('subscribed');
  };
  const text = async (kind, want, redelivered, repeated) => {
    let message = await next(kind);
    if (repeated && message.body === repeated) {
      message.ack();
      message = await next(kind);
    }
    check(message.body === want && (redelivered === 'maybe' || message.headers.redelivered === redelivered), [message.body, message.headers, want]);
    return message;
  };
  const acked = async (kind, want, redelivered) => (await text(kind, want, redelivered)).ack();

  client.activate();
  await next('connected');
  check(client.connectedVersion === version, client.connectedVersion);
  await subscribe('live', {});

  const large = Uint8Array.from({ length: 1 << 20 }, (_, i) => i);
  await publish('live', 'large', { binaryBody: large, headers: { note: 'a:b', 'content-type': 'application/octet-stream' } });
  let message = await next('live');
  check(message.binaryBody.length === large.length && message.binaryBody.every((byte, i) => byte === large[i]), message.headers);
  const note = version === '1.1' ? 'a\\cb' : 'a:b'; // the library does not know that 1.1 escapes, too
  check(message.headers.note === note && message.headers.user === 'alice', message.headers);
  if (version !== '1.0') {
    message.nack();
    const { 'message-id': id } = message.headers;
    message = await next('live');
    check(message.headers.redelivered === 'true' && message.headers['message-id'] === id, message.headers);
  }
  message.ack();

  const undone = client.begin();
  client.publish({ destination: destination('live'), body: 'undone', headers: { transaction: undone.id } });
  undone.abort();
  const done = client.begin();
  for (const body of ['1', '2']) client.publish({ destination: destination('live'), body, headers: { transaction: done.id } });
  done.commit();
  await acked('live', '1');
  const last = await text('live', '2');
  last.ack();

  await subscribe('kept', { durable: 'true' });
  for (const body of ['"acked"', '"open"']) await publish('kept', 'sent', { body });
  await acked('kept', '"acked"');
  await text('kept', '"open"');
  await publish('other', 'received', { body: '"the ACK, too"' });
  if (version !== '1.0') await next('beat');

  const crashed = await restart() === true;
  await next('connected');
  for (const kind of ['live', 'kept']) await publish(kind, 'sent', { body: '"missed"' });
  await subscribe('live', { after: last.headers['message-id'] });
  await acked('live', '"missed"');
  await publish('live', 'sent', { body: '"live"' });
  await acked('live', '"live"');
  await subscribe('kept', { durable: 'true' });
  (await text('kept', '"open"', 'true', crashed && '"acked"')).ack(); // of the last second, an ACK may be lost in a crash
  await acked('kept', '"missed"', crashed ? 'maybe' : undefined);
  client.unsubscribe('kept', { durable: 'true' });
  await client.deactivate();
  check(!heard.some(one => one.kind === 'live' || one.kind === 'kept'), heard);
}

async function main() {
  const stompjs = await import('@stomp/stompjs');
  const { WebSocket } = await import('ws');
  globalThis.WebSocket ??= WebSocket; // Node has one from 22 on
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  await scenario(stompjs, process.argv[2], process.argv[3], () => lines.question('restart\n'));
  lines.close();
  console.log('done');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
