// The demo page, as a visitor sees it: two pages talk, the daemon goes away and comes back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser, openPage, out } from './browser.js';
import { Daemon } from './daemon.js';

const rules = `
[[channel]]
match     = "/chat/**"
subscribe = ["*"]
publish   = ["*"]
[[channel]]
match     = "/news/**"
subscribe = ["*"]
publish   = ["group:editors"]
`;

const panel = (page, channel) => page.locator(`[data-channel="${channel}"]`);
const state = (page, wanted) => page.locator(`#state[data-state="${wanted}"]`).waitFor();
const fact = (page, channel, name) => panel(page, channel).locator(`[data-fact="${name}"]`).innerText();

async function say(page, channel, text) {
  await panel(page, channel).locator('input').fill(text);
  await panel(page, channel).locator('button').click();
}

/** Waits for a message with an offset: one that has arrived. */
async function see(page, channel, text) {
  await panel(page, channel).locator('.message[data-offset]', { hasText: text }).waitFor({ timeout: 20_000 });
}

/** The offsets that a panel shows: each once, in order. */
async function offsets(page, channel) {
  const shown = await panel(page, channel).locator('.message[data-offset]').evaluateAll(
    entries => entries.map(entry => Number(entry.dataset.offset)));
  assert.deepEqual(shown, [...new Set(shown)].sort((a, b) => a - b));
  return shown;
}

/** Two visitors, each with a browser profile of its own. */
async function visitors(t, daemon) {
  const browser = await openBrowser(t);
  const open = async options => openPage(await browser.newContext({ viewport: { width: 1360, height: 800 }, ...options }), daemon.url + '/');
  return [await open({ colorScheme: 'light' }), await open({ colorScheme: 'dark' })];
}

test('two pages of the demo chat across a killed daemon', { timeout: 180_000 }, async t => {
  const daemon = await Daemon.start(t, { channels: rules });
  const [ann, ben] = await visitors(t, daemon);
  for (const page of [ann, ben]) await state(page, 'open');

  await say(ann, '/chat/lobby', 'Hello, is anybody here?');
  await see(ben, '/chat/lobby', 'Hello, is anybody here?');
  await say(ben, '/chat/lobby', 'Yes: <img src=x onerror="document.title=1"> is only text.');
  await see(ann, '/chat/lobby', '<img src=x');

  await say(ann, '/news/board', 'I am no editor');
  await panel(ann, '/news/board').locator('.failed', { hasText: 'forbidden' }).waitFor();
  await ben.fill('#login [name=user]', 'alice');
  await ben.fill('#login [name=password]', 'wrong');
  await ben.click('#login button');
  await ben.locator('#log', { hasText: 'login:' }).waitFor();
  await ben.fill('#login [name=password]', 'demo');
  await ben.click('#login button');
  await ben.locator('#user', { hasText: 'alice' }).waitFor();
  await say(ben, '/news/board', 'orbitd 0.1 is out');
  await see(ann, '/news/board', 'orbitd 0.1 is out');

  await daemon.kill();
  await state(ann, 'waiting');
  await say(ann, '/chat/lobby', 'Said while the daemon was dead');
  await panel(ann, '/chat/lobby').locator('.pending').waitFor();
  await ann.screenshot({ path: out('demo-down.png') });
  await daemon.start();
  for (const page of [ann, ben]) {
    await see(page, '/chat/lobby', 'Said while the daemon was dead');
    await state(page, 'open');
  }
  await panel(ann, '/chat/lobby').locator('.pending').waitFor({ state: 'detached' });

  await daemon.kill('SIGTERM');
  await daemon.start();
  await say(ben, '/chat/lobby', 'And after a clean restart');
  await see(ann, '/chat/lobby', 'And after a clean restart');
  await say(ben, '/news/board', 'Still logged in');
  await see(ann, '/news/board', 'Still logged in');

  const shown = await offsets(ann, '/chat/lobby');
  assert.equal(shown.length, 4);
  assert.deepEqual(await offsets(ben, '/chat/lobby'), shown);
  assert.equal(await fact(ann, '/chat/lobby', 'offset'), String(shown.at(-1)));
  assert.equal(await fact(ann, '/chat/lobby', 'gaps'), '0');
  await ann.screenshot({ path: out('demo-light.png') });
  await ben.screenshot({ path: out('demo-dark.png') });

  await ben.reload();
  await see(ben, '/chat/lobby', 'Hello, is anybody here?');
  await ben.locator('#user', { hasText: 'alice' }).waitFor();
  assert.deepEqual(await offsets(ben, '/chat/lobby'), shown);
  assert.equal(await ann.title(), 'orbitd · demo');
  assert.deepEqual([...ann.mistakes, ...ben.mistakes].filter(text => !/status of 401/.test(text)), []);
});
