// examples/desk.html in Chromium, as bob sees it, who leaves the group meanwhile. tests/pages runs this: it
// says on a line of its own what has come about, and waits for a line that says what was done about it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { play } from './play.js';
import { openBrowser, openPage, until } from './browser.js';
import { root } from './daemon.js';

await play(async (t, tell, url) => {
  const page = await openPage(await openBrowser(t, 'chromium'), `${url}/desk.html`, { [`${url}/`]: join(root, 'examples') });
  const login = async (user, password) => {
    for (const [name, text] of Object.entries({ user, password })) {
      await page.$eval(`[name=${name}]`, element => { element.value = ''; });
      await page.type(`[name=${name}]`, text);
    }
    await page.click('button');
  };
  const says = text => until(page, text => document.querySelector('[role=status]').textContent.includes(text), text);
  const shown = () => page.$$eval('li', all => all.map(one => one.textContent));

  await says('not allowed');
  await login('bob', 'guess');
  await says('wrong user name, password or token');
  await login('carol', 'carol-secret'); // who is no trader
  await says('not allowed for carol');
  await login('bob', 'bob-secret');
  await says('at the desk');
  await tell('at the desk');
  await until(page, () => document.querySelectorAll('li').length === 2);
  assert.deepEqual(await shown(), ['before', 'now']);
  await tell('has read');
  await says('not allowed for bob');
  assert.deepEqual(await shown(), []);
  await tell('cut off');
  await page.reload();
  await says('not allowed for bob');
  assert.deepEqual(await shown(), []);
  assert.deepEqual(page.mistakes.filter(text => !/status of 401/.test(text)), []);
});
