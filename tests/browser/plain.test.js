// What browsers can do without our library, while the daemon is killed: an EventSource, and fetch on
// each of the transports, from a page of another origin.
import assert from 'node:assert/strict';
import { emptyPage, inEach, openBrowser, openPage, until } from './browser.js';
import { chaos } from './chaos.js';
import { Daemon } from './daemon.js';
import { check } from './history.js';
import { Publisher } from './publisher.js';

const messages = 900;
const channels = ['/load/a', '/load/b', '/load/c'];
const kinds = ['EventSource', 'stream', 'sse', 'poll'];
const rules = `
[[channel]]
match     = "/load/**"
subscribe = ["*"]
publish   = ["*"]
`;

/** Runs in the page: follows the channels in a way, and comes back after every lost connection. */
function follow({ url, kind, channels }) {
  window.seen ??= [];
  let unacked = 0;
  const note = o => { window.seen.push({ who: kind, ch: o.ch, o: o.o, n: o.d.n }); unacked++; };
  if (kind === 'EventSource') {
    let after = '0';
    window.gaveUp = 0;
    const open = () => {
      const source = new EventSource(`${url}/v1/sse?after=${after}&${channels.map(name => `channel=${name}`).join('&')}`);
      source.onmessage = event => { after = event.lastEventId; note(JSON.parse(event.data)); };
      source.onerror = () => {
        if (source.readyState !== EventSource.CLOSED) return;
        window.gaveUp++;
        setTimeout(open, 30);
      };
    };
    open();
    return;
  }
  let session, epoch;
  const last = Object.fromEntries(channels.map(name => [name, 0]));
  const take = (o, current) => {
    if (o.error || o.gap || o.revoked) throw new Error(JSON.stringify(o));
    if (o.o) note(o);
    if (!o.o && !o.at) return;
    last[o.ch] = o.o ?? Math.max(last[o.ch], o.at);
    epoch = current.epoch;
  };
  const ack = () => {
    const headers = { 'Orbit-Session': session.session, 'Orbit-Secret': session.secret };
    return fetch(`${url}/v1/send`, { method: 'POST', headers, body: JSON.stringify({ op: 'ack', last }) });
  };
  const once = async () => {
    const connect = { id: 1, op: 'connect', last, ...epoch && { epoch }, ...session && { session: session.session, secret: session.secret } };
    const answer = await fetch(`${url}/v1/${kind}`, { method: 'POST', body: JSON.stringify(connect) });
    let current, rest = '';
    const lines = text => {
      const all = (rest + text).split('\n');
      rest = all.pop();
      for (const line of all) {
        const json = line.replace(/^data: /, '');
        if (!json.startsWith('{')) continue;
        const o = JSON.parse(json);
        if (o.session) session = current = o;
        else take(o, current);
      }
    };
    if (kind === 'poll') return lines(await answer.text()); // whole, or nothing of it
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      lines(value);
      if (unacked >= 100) { unacked = 0; ack().catch(() => {}); }
    }
  };
  (async () => {
    for (;;) {
      await once().catch(error => { if (!(error instanceof TypeError) && error.name !== 'NetworkError') window.failed = String(error); });
      await new Promise(resolve => setTimeout(resolve, 30));
    }
  })();
}

inEach(`${kinds.join(', ')} without a library: ${messages} messages, 3 kills`, { timeout: 300_000 }, async (t, name) => {
  const origin = await emptyPage(t);
  const daemon = await Daemon.start(t, { channels: rules, origins: [origin] });
  const page = await openPage(await openBrowser(t, name), origin);
  for (const kind of kinds) await page.evaluate(follow, { url: daemon.url, kind, channels });
  const publisher = new Publisher(daemon.url);
  const each = Array.from({ length: messages / channels.length }, (_, i) => i + 1);
  await Promise.all([
    chaos(daemon, { kills: 3, progress: () => publisher.accepted.length / messages }),
    ...channels.map(channel => publisher.publish(channel, each)),
  ]);
  await until(page, want => window.failed || window.seen.length >= want, messages * kinds.length);
  const { seen, failed, gaveUp } = await page.evaluate(() => ({ seen: window.seen, failed: window.failed, gaveUp: window.gaveUp }));
  assert.equal(failed, undefined);
  if (name === 'firefox') t.diagnostic(`the EventSource gave up ${gaveUp} times`); // it does, while nobody listens
  else assert.equal(gaveUp, 0);
  const verdict = check(`plain-${name}`, { accepted: publisher.accepted, deliveries: seen });
  t.diagnostic(verdict);
  assert.equal(verdict, `accepted=${messages} delivered=${messages * kinds.length} lost=0 repeated=0 reordered=0`);
  assert.deepEqual(page.mistakes, []);
});
