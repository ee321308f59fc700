// The demo over TLS in Chromium, by an authority that only this home folder trusts. tests/pages runs this: it
// says on a line of its own what has come about, and waits for a line that says what was done about it.
import assert from 'node:assert/strict';
import { play } from './play.js';
import { openBrowser, openPage, until } from './browser.js';

await play(async (t, tell, url, trusted) => {
  const browser = await openBrowser(t, 'chromium');
  if (trusted !== 'trusted') {
    const page = await browser.newPage();
    await assert.rejects(page.goto(url), /ERR_CERT_AUTHORITY_INVALID/);
    return;
  }
  const visitor = async () => openPage(await browser.createBrowserContext(), url);
  const [ann, ben] = [await visitor(), await visitor()];
  const panel = channel => `[data-channel="${channel}"]`;
  const shows = (page, selector, text) => until(page,
    (selector, text) => [...document.querySelectorAll(selector)].some(element => element.textContent.includes(text)), selector, text);
  const say = async (page, channel, text) => {
    await page.$eval(`${panel(channel)} input`, (input, text) => { input.value = text; }, text);
    await page.click(`${panel(channel)} button`);
    for (const reader of [ann, ben]) await shows(reader, `${panel(channel)} .message[data-offset]`, text);
  };
  assert.deepEqual(await ann.evaluate(() => [location.protocol, isSecureContext]), ['https:', true]);
  await say(ann, '/chat/lobby', 'by a WebSocket');
  await ben.type('#login [name=user]', 'alice');
  await ben.type('#login [name=password]', 'demo');
  await ben.click('#login button');
  await shows(ben, '#user', 'alice');
  await say(ben, '/news/board', 'by an editor');
  const [cookie] = await ben.cookies();
  assert.deepEqual([cookie.name, cookie.secure, cookie.httpOnly, cookie.sameSite], ['orbit_token', true, true, 'Strict']);
  await tell('restart');
  await say(ben, '/chat/lobby', 'after the restart');
  for (const transport of ['stream', 'sse', 'poll', 'websocket']) {
    await ann.select('#transport', transport);
    await shows(ann, '#state[data-state="open"]', transport);
    await say(ann, '/chat/lobby', `by ${transport}`);
    await say(ben, '/chat/lobby', `to ${transport}`);
  }
  const offsets = page => page.$$eval(`${panel('/chat/lobby')} .message[data-offset]`, all => all.map(one => Number(one.dataset.offset)));
  const shown = await offsets(ann);
  assert.equal(shown.length, 10);
  assert.deepEqual(shown, [...new Set(shown)].sort((a, b) => a - b));
  assert.deepEqual(await offsets(ben), shown);
  assert.deepEqual([...ann.mistakes, ...ben.mistakes], []);
});
