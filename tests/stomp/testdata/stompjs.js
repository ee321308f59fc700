// stompjs.js VERSION URL: what an application does with @stomp/stompjs. A page does the same: the
// scenario stands alone, for a browser's driver hands it over as text.
import { createInterface } from 'node:readline/promises';
import { pathToFileURL } from 'node:url';

/**
 * @param {typeof import('@stomp/stompjs')} stompjs
 * @param {string} version of STOMP
 * @param {string} url of the WebSocket
 * @param {() => Promise<void>} restart has the daemon restart, and waits until it has
 */
export async function scenario({ Client, Versions }, version, url, restart) {
  const destination = `/team/stompjs${version}`;
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
    brokerURL: url, stompVersions: new Versions([version]), connectHeaders: { login: 'alice', passcode: 'demo' },
    heartbeatIncoming: 2000, heartbeatOutgoing: 10_000, reconnectDelay: 20,
    onConnect: () => hear('connected'),
    onHeartbeatReceived: () => hear('beat'),
    onStompError: frame => check(frame.headers.message.includes('restarts'), frame.headers),
  });
  const publish = async (receipt, frame) => {
    client.watchForReceipt(receipt, () => hear(receipt));
    client.publish({ destination, ...frame, headers: { ...frame.headers, receipt } });
    await next(receipt);
  };
  const subscribe = async headers => {
    client.watchForReceipt('subscribed', () => hear('subscribed'));
    const ack = version === '1.0' ? 'client' : 'client-individual';
    client.subscribe(destination, message => hear('message', message), { ack, receipt: 'subscribed', ...headers });
    await next('subscribed');
  };
  const text = async want => {
    const message = await next('message');
    check(message.body === want, [message.body, want]);
    message.ack();
    return message.headers['message-id'];
  };

  client.activate();
  await next('connected');
  check(client.connectedVersion === version, client.connectedVersion);
  await subscribe({});

  const large = Uint8Array.from({ length: 1 << 20 }, (_, i) => i);
  await publish('large', { binaryBody: large, headers: { note: 'a:b', 'content-type': 'application/octet-stream' } });
  let message = await next('message');
  check(message.binaryBody.length === large.length && message.binaryBody.every((byte, i) => byte === large[i]), message.headers);
  const note = version === '1.1' ? 'a\\cb' : 'a:b'; // the library does not know that 1.1 escapes, too
  check(message.headers.note === note && message.headers.user === 'alice', message.headers);
  if (version !== '1.0') {
    message.nack();
    const { 'message-id': id } = message.headers;
    message = await next('message');
    check(message.headers.redelivered === 'true' && message.headers['message-id'] === id, message.headers);
  }
  message.ack();

  const undone = client.begin();
  client.publish({ destination, body: 'undone', headers: { transaction: undone.id } });
  undone.abort();
  const done = client.begin();
  for (const body of ['1', '2']) client.publish({ destination, body, headers: { transaction: done.id } });
  done.commit();
  await text('1');
  const last = await text('2');

  if (version !== '1.0') await next('beat');
  await restart();
  await next('connected');
  await publish('missed', { body: '"missed"' });
  await subscribe({ after: last });
  await text('"missed"');
  await publish('live', { body: '"live"' });
  await text('"live"');
  await client.deactivate();
  check(!heard.some(one => one.kind === 'message'), heard);
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
