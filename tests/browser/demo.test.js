// The demo page, as a visitor sees it: two pages talk, the daemon goes away and comes back.
import assert from 'node:assert/strict';
import { inEach, openBrowser, openPage, until } from './browser.js';
import { Daemon } from './daemon.js';
import { out } from './out.js';

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

const panel = channel => `[data-channel="${channel}"]`;
const state = (page, wanted) => page.waitForSelector(`#state[data-state="${wanted}"]`);
const fact = (page, channel, name) => page.$eval(`${panel(channel)} [data-fact="${name}"]`, element => element.textContent);

/** Waits for an element that has the text. */
const shows = (page, selector, text) => until(page,
  (selector, text) => [...document.querySelectorAll(selector)].some(element => element.textContent.includes(text)), selector, text);

async function fill(page, selector, text) {
  await page.$eval(selector, element => { element.value = ''; });
  await page.type(selector, text);
}

async function say(page, channel, text) {
  await fill(page, `${panel(channel)} input`, text);
  await page.click(`${panel(channel)} button`);
}

/** The same without a mouse: Firefox holds clicks back for long in a window that is behind another. */
const submit = (page, channel, text) => page.$eval(`${panel(channel)} form`, (form, text) => {
  form.querySelector('input').value = text;
  form.requestSubmit();
}, text);

/** Waits for a message with an offset: one that has arrived. */
const see = (page, channel, text) => shows(page, `${panel(channel)} .message[data-offset]`, text);

/** The offsets that a panel shows: each once, in order. */
async function offsets(page, channel) {
  const shown = await page.$$eval(`${panel(channel)} .message[data-offset]`, entries => entries.map(entry => Number(entry.dataset.offset)));
  assert.deepEqual(shown, [...new Set(shown)].sort((a, b) => a - b));
  return shown;
}

/** Two visitors, each with a browser profile of its own. */
async function visitors(t, name, daemon) {
  const browser = await openBrowser(t, name);
  const open = async scheme => {
    const page = await openPage(await browser.createBrowserContext(), daemon.url + '/');
    await page.setViewport({ width: 1360, height: 800 });
    if (name === 'chromium') await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    return page;
  };
  return [await open('light'), await open('dark')];
}

inEach('two pages of the demo chat across a killed daemon', { timeout: 180_000 }, async (t, name) => {
  const daemon = await Daemon.start(t, { channels: rules });
  const [ann, ben] = await visitors(t, name, daemon);
  for (const page of [ann, ben]) await state(page, 'open');

  await say(ann, '/chat/lobby', 'Hello, is anybody here?');
  await see(ben, '/chat/lobby', 'Hello, is anybody here?');
  await say(ben, '/chat/lobby', 'Yes: <img src=x onerror="document.title=1"> is only text.');
  await see(ann, '/chat/lobby', '<img src=x');

  await say(ann, '/news/board', 'I am no editor');
  await shows(ann, `${panel('/news/board')} .failed`, 'forbidden');
  await fill(ben, '#login [name=user]', 'alice');
  await fill(ben, '#login [name=password]', 'wrong');
  await ben.click('#login button');
  await shows(ben, '#log', 'login:');
  await fill(ben, '#login [name=password]', 'demo');
  await ben.click('#login button');
  await shows(ben, '#user', 'alice');
  await say(ben, '/news/board', 'orbitd 0.1 is out');
  await see(ann, '/news/board', 'orbitd 0.1 is out');

  await daemon.kill();
  await state(ann, 'waiting');
  await say(ann, '/chat/lobby', 'Said while the daemon was dead');
  await ann.waitForSelector(`${panel('/chat/lobby')} .pending`);
  await ann.screenshot({ path: out(`demo-${name}-down.png`) });
  await daemon.start();
  for (const page of [ann, ben]) {
    await see(page, '/chat/lobby', 'Said while the daemon was dead');
    await state(page, 'open');
  }
  await until(ann, selector => !document.querySelector(selector), `${panel('/chat/lobby')} .pending`);

  await daemon.kill('SIGTERM');
  await daemon.start();
  await say(ben, '/chat/lobby', 'And after a clean restart');
  await see(ann, '/chat/lobby', 'And after a clean restart');
  await say(ben, '/news/board', 'Still logged in');
  await see(ann, '/news/board', 'Still logged in');

  for (const transport of ['stream', 'sse', 'poll', 'websocket']) {
    await ann.select('#transport', transport);
    await shows(ann, '#state[data-state="open"]', transport);
    await say(ben, '/chat/lobby', `Read over ${transport}`);
    await see(ann, '/chat/lobby', `Read over ${transport}`);
    await submit(ann, '/chat/lobby', `Said over ${transport}`);
    for (const page of [ann, ben]) await see(page, '/chat/lobby', `Said over ${transport}`);
  }

  const shown = await offsets(ann, '/chat/lobby');
  assert.equal(shown.length, 12);
  assert.deepEqual(await offsets(ben, '/chat/lobby'), shown);
  assert.equal(await fact(ann, '/chat/lobby', 'offset'), String(shown.at(-1)));
  assert.equal(await fact(ann, '/chat/lobby', 'gaps'), '0');
  await ann.screenshot({ path: out(`demo-${name}-light.png`) });
  await ben.screenshot({ path: out(`demo-${name}-dark.png`) });

  await ben.reload();
  await see(ben, '/chat/lobby', 'Hello, is anybody here?');
  await shows(ben, '#user', 'alice');
  assert.deepEqual(await offsets(ben, '/chat/lobby'), shown);
  assert.equal(await ann.title(), 'orbitd · demo');
  assert.deepEqual([...ann.mistakes, ...ben.mistakes].filter(text => !/status of 401/.test(text)), []);
});
