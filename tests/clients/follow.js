// follow.js LIBRARY URL: prints the data of every message of an event stream, one a
// line, read by a library that nobody here wrote, which comes back by itself.
import { EventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';

const [library, url] = process.argv.slice(2);
const show = data => process.stdout.write(data + '\n');

// eventsource: the browser's interface.
function source() {
  const events = new EventSource(url);
  events.onmessage = e => show(e.data);
  events.addEventListener('gap', e => show(e.data));
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) throw new Error('it has given up');
  };
}

// @microsoft/fetch-event-source: with headers. It is written for pages.
async function fetched() {
  globalThis.window = globalThis;
  globalThis.document = { removeEventListener() {} };
  const { fetchEventSource } = await import('@microsoft/fetch-event-source/lib/cjs/index.js');
  await fetchEventSource(url, {
    openWhenHidden: true,
    onmessage: e => (e.event === '' || e.event === 'gap') && e.data && show(e.data),
    onclose: () => { throw new Error('come back'); },
    onerror: () => 50,
  });
}

// eventsource-parser: a parser alone, so coming back is ours.
async function parsed() {
  let id = '';
  const parser = createParser({ onEvent: e => {
    id = e.id ?? id;
    if (e.event === undefined || e.event === 'gap') show(e.data);
  } });
  for (;;) {
    try {
      const answer = await fetch(url, { headers: id ? { 'Last-Event-ID': id } : {} });
      const text = new TextDecoder();
      for await (const chunk of answer.body) parser.feed(text.decode(chunk, { stream: true }));
    } catch { /* the daemon is away */ }
    parser.reset();
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

await { eventsource: source, 'fetch-event-source': fetched, 'eventsource-parser': parsed }[library]();
