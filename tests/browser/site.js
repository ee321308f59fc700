// A site with pages and the library of its own: what a daemon serves, changed where a test wants it so.
import { once } from 'node:events';
import { createServer } from 'node:http';

/**
 * Serves an empty page, the library, and the answer to who asks whether it is busy (see `work`).
 *
 * @param {import('node:test').TestContext} t
 * @param {() => import('./daemon.js').Daemon} daemon whose library it is
 * @param {{policy?: string, more?: Record<string, string>}} [options] a Content-Security-Policy; and what
 *   stands below files of the library
 * @returns {Promise<{origin: string, busy: boolean}>}
 */
export async function openSite(t, daemon, { policy, more = {} } = {}) {
  const state = { origin: '', busy: true };
  const server = createServer(async (request, response) => {
    if (policy) response.setHeader('Content-Security-Policy', policy);
    if (request.url === '/busy') {
      response.end(String(state.busy));
    } else if (request.url !== '/') {
      const file = await fetch(daemon().url + request.url);
      response.setHeader('Content-Type', file.headers.get('Content-Type'));
      response.end(await file.text() + (more[request.url] ?? ''));
    } else {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!DOCTYPE html><title>test</title><link rel="icon" href="data:,">');
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.close(); server.closeAllConnections(); });
  state.origin = `http://localhost:${server.address().port}`;
  return state;
}

/** Runs in a page or a worker, and lets nothing else run there, for as long as its site says. */
export function work() {
  for (let busy = 'true'; busy === 'true';) {
    const request = new XMLHttpRequest();
    request.open('GET', '/busy', false);
    request.send();
    busy = request.responseText;
  }
}

/** For `more`: the library's worker does what a page says: `tellWorker`. */
export const workerThatListens = {
  '/orbit/hub/worker.js': `
${work}
new BroadcastChannel('worker').onmessage = ({ data }) => {
  if (data === 'work') work();
  else for (;;);
};`,
};

/** Runs in the page. @param {'work' | 'spin'} what */
export const tellWorker = what => new BroadcastChannel('worker').postMessage(what);
