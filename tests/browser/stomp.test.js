// STOMP over WebSocket in pages, by @stomp/stompjs: what its scenario does in Node, and the example's page.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { scenario } from '../stomp/testdata/stompjs.js';
import { emptyPage, inEach, openBrowser, openPage, until } from './browser.js';
import { Daemon, root } from './daemon.js';

const library = join(root, 'tests/stomp/node_modules/@stomp/stompjs');
const rules = `
[session]
max_message  = "2MiB"
window_bytes = "4MiB"
[[channel]]
match     = "/team/**"
subscribe = ["@authenticated"]
publish   = ["@authenticated"]
`;

inEach('stompjs: receipts, acknowledgements, transactions, a megabyte, a durable subscription through a kill', { timeout: 120_000 }, async (t, name) => {
  const origin = await emptyPage(t);
  const daemon = await Daemon.start(t, { channels: rules, origins: [origin] });
  const page = await openPage(await openBrowser(t, name), origin);
  await page.addScriptTag({ path: join(library, 'bundles/stomp.umd.js') });
  await page.exposeFunction('restart', async () => { await daemon.kill(); await daemon.start(); return true; });
  const url = daemon.url.replace('http', 'ws') + '/v1/ws';
  for (const version of name === 'firefox' ? ['1.2'] : ['1.0', '1.1', '1.2']) { // Firefox is slow at it
    await page.evaluate(`(${scenario})(StompJs, '${version}', '${url}', restart)`);
  }
  assert.deepEqual(page.mistakes, []);
});

// The page as it stands there, with the library from where it has it, and the configuration of "make run".
test('chromium: the page of examples/ chats across a killed daemon', { timeout: 120_000 }, async t => {
  const daemon = await Daemon.demo(t);
  const browser = await openBrowser(t, 'chromium', [
    `--host-resolver-rules=MAP localhost 127.0.0.1:${daemon.port}, MAP * ~NOTFOUND`,
    '--disable-features=LocalNetworkAccessChecks', // a page that is handed to it counts as one from afar
  ]);
  const files = {
    'http://localhost:8000/node_modules/@stomp/stompjs/': library + '/',
    'http://localhost:8000/': join(root, 'examples/'),
  };
  const visitor = async () => openPage(await browser.createBrowserContext(), 'http://localhost:8000/stompjs.html', files);
  const [ann, ben] = [await visitor(), await visitor()];
  const say = async text => {
    await ann.type('input', text);
    await ann.click('button');
    await until(ann, () => document.querySelector('input').value === ''); // the receipt
  };
  const shown = async want => {
    for (const page of [ann, ben]) {
      await until(page, n => document.querySelectorAll('li').length >= n, want.length);
      assert.deepEqual(await page.$$eval('li', all => all.map(one => one.textContent)), want);
    }
  };
  await fetch(`${daemon.url}/v1/publish/chat/lobby`, { method: 'POST', body: '{"text":"from elsewhere"}' });
  await shown(['from elsewhere']);
  await say('before');
  await daemon.kill();
  await daemon.start();
  await fetch(`${daemon.url}/v1/publish/chat/lobby`, { method: 'POST', body: '{"text":"meanwhile"}' });
  await shown(['from elsewhere', 'before', 'meanwhile']);
  await say('after');
  await shown(['from elsewhere', 'before', 'meanwhile', 'after']);
  assert.deepEqual([...ann.mistakes, ...ben.mistakes], []);
});
