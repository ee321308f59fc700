// Code of others that takes a WebSocket or an EventSource and knows nothing of this library: htmx with its
// extensions ws and sse, in pages of both browsers, while the connection underneath is cut.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Proxy } from '../../js/test/proxy.js';
import { emptyPage, inEach, openBrowser, openPage, until } from './browser.js';
import { Daemon } from './daemon.js';

const require = createRequire(import.meta.url);
const htmx = ['htmx.org/dist/htmx.js', 'htmx-ext-ws/ws.js', 'htmx-ext-sse/sse.js'].map(name => readFileSync(require.resolve(name), 'utf8'));
const count = 30;
const rules = `
[[channel]]
match     = "/page/**"
subscribe = ["*"]
publish   = ["*"]
`;

/** Runs in the page: what its author writes. */
async function build({ url, htmx }) {
  const { Orbit } = await import(url + '/orbit.js');
  const orbit = new Orbit();
  window.opened = [];
  const keep = made => (window.opened.push(made), made);
  (0, eval)(htmx[0]);
  window.htmx.createWebSocket = path => keep(orbit.webSocket(new URL(path, location).pathname));
  window.htmx.createEventSource = path => keep(orbit.eventSource(path));
  for (const extension of htmx.slice(1)) (0, eval)(extension);
  document.body.innerHTML = `
    <div hx-ext="ws" ws-connect="/page/talk"><form id="form" ws-send><input name="text"></form><ol id="said"></ol></div>
    <div hx-ext="sse" sse-connect="/page/news"><ol id="news" sse-swap="headline" hx-swap="beforeend"></ol></div>`;
  window.htmx.process(document.body);
}

const texts = (page, list) => page.evaluate(list => [...document.querySelectorAll(`${list} li`)].map(item => item.textContent), list);

inEach('htmx over orbit.webSocket and orbit.eventSource, which is cut', { timeout: 120_000 }, async (t, name) => {
  const origin = await emptyPage(t);
  const daemon = await Daemon.start(t, { channels: rules, origins: [origin] });
  const proxy = await Proxy.start(t, daemon.port);
  const page = await openPage(await openBrowser(t, name), origin);
  await page.evaluate(build, { url: proxy.url, htmx });
  await until(page, () => window.opened.length === 2 && window.opened.every(made => made.readyState === 1));
  const wanted = [];
  for (let n = 1; n <= count; n++) {
    wanted.push(`headline ${n}`);
    const lines = [
      { channel: '/page/news', data: `<li>headline ${n}</li>`, h: { event: 'headline' } },
      { channel: '/page/talk', data: `<ol id="said" hx-swap-oob="beforeend"><li>headline ${n}</li></ol>` },
    ];
    const answer = await fetch(`${daemon.url}/v1/publish`, { method: 'POST', body: lines.map(line => JSON.stringify(line)).join('\n') });
    assert.equal(answer.status, 200);
    if (n % 10 === 5) proxy.cut();
  }
  await until(page, count => ['#news', '#said'].every(list => document.querySelectorAll(`${list} li`).length >= count), count);
  assert.deepEqual([await texts(page, '#news'), await texts(page, '#said')], [wanted, wanted]);

  await page.evaluate(() => {
    document.querySelector('[name=text]').value = 'from the form';
    document.querySelector('#form').requestSubmit();
  });
  await until(page, () => window.opened.find(made => made.send).bufferedAmount === 0);
  const { messages } = await (await fetch(`${daemon.url}/v1/history/page/talk?limit=1`)).json();
  assert.equal(JSON.parse(messages[0].d).text, 'from the form');
  assert.equal(await page.evaluate(() => window.opened.length), 2, 'htmx opened others');
  const lost = '[object Event]'; // so htmx logs that an EventSource has lost its connection
  assert.deepEqual(page.mistakes.filter(text => text !== lost), []);
});
