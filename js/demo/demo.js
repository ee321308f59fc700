// The demo page: two channels of two applications, and what goes on underneath.
import { Orbit } from '../orbit.js';

/** @typedef {import('../orbit.js').Channel} Channel */
/** @typedef {import('../orbit.js').OrbitMessage} OrbitMessage */

const KEPT = 300; // messages on the page, and lines in its log

/** @type {string | undefined} of the login; without it the cookie of an earlier one counts */
let token;
const guest = `guest ${Math.floor(Math.random() * 900 + 100)}`;
const orbit = new Orbit(location.origin, { token: () => token });

/**
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {E}
 */
function $(selector, root = document) {
  return /** @type {E} */ (root.querySelector(selector));
}

/**
 * An element with text in it. Nothing on this page is ever parsed as HTML.
 *
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 */
function make(tag, className = '', text = '') {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

/**
 * Adds to a list that keeps its newest entries, and follows its end where the reader does.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement} entry
 * @param {Element | null} [before]
 */
function append(list, entry, before = null) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.insertBefore(entry, before);
  while (list.children.length > KEPT) list.firstElementChild?.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/**
 * What to show of a payload, whatever somebody has published.
 *
 * @param {any} data
 * @param {string} type
 */
function textOf(data, type) {
  if (typeof data?.text === 'string') return data.text;
  if (!(data instanceof Uint8Array)) return JSON.stringify(data);
  return type.startsWith('text/') ? new TextDecoder().decode(data) : `${data.length} bytes, ${type}`;
}

/** One channel on the page. */
class Panel {
  #channel;
  #root;
  #list;
  #received = 0;
  #gaps = 0;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    this.#list = $('.messages', root);
    this.#channel = orbit.channel(root.dataset.channel ?? '');
    this.#channel.ongap = gap => this.#gap(gap);
    this.#channel.onstate = () => this.#facts();
    $('form', root).addEventListener('submit', event => {
      event.preventDefault();
      this.#send($('input', root));
    });
  }

  /**
   * Shows what there is, and goes on exactly behind it: history gives the position, the subscription
   * starts there, so nothing can fall in between.
   */
  async open() {
    const { messages, epoch } = await this.#channel.history({ limit: 50 });
    for (const message of messages) this.#show(message, false);
    const after = messages.at(-1)?.offset ?? 0;
    orbit.channel(this.#channel.name, { after, epoch });
    this.#channel.onmessage = message => {
      this.#received++;
      this.#show(message, true);
    };
    this.#facts();
  }

  /** @param {HTMLElement} input */
  async #send(input) {
    const field = /** @type {HTMLInputElement} */ (input);
    const text = field.value.trim();
    if (text === '') return;
    field.value = '';
    const entry = this.#entry(orbit.user ?? guest, orbit.user !== undefined, text, 'waiting …');
    entry.classList.add('mine', 'pending');
    append(this.#list, entry);
    try {
      await this.#channel.publish({ text, nick: guest });
      entry.remove();
    } catch (error) {
      entry.classList.add('failed');
      $('.offset', entry).textContent = String(/** @type {any} */ (error).code ?? error);
      entry.title = String(error);
    }
  }

  /** @param {OrbitMessage} message @param {boolean} fresh */
  #show({ data, contentType, publisher, time, offset }, fresh) {
    const nick = String(data?.nick ?? 'anonymous');
    const text = textOf(data, contentType);
    const entry = this.#entry(publisher ?? nick, publisher !== undefined, text, `#${offset}`, time);
    entry.dataset.offset = String(offset);
    if (fresh) entry.classList.add('new');
    if (publisher ? publisher === orbit.user : nick === guest) entry.classList.add('mine');
    append(this.#list, entry, this.#list.querySelector('.pending:not(.failed)'));
    this.#facts();
  }

  /**
   * @param {string} by
   * @param {boolean} known whether the server vouches for the name
   * @param {string} text
   * @param {string} mark
   * @param {number} [time]
   */
  #entry(by, known, text, mark, time = Date.now()) {
    const entry = make('li', 'message');
    const line = make('div', 'by');
    line.append(make('b', known ? 'known' : '', by), make('span', '', clock.format(time)), make('span', 'offset', mark));
    entry.append(line, make('p', '', text));
    return entry;
  }

  /** @param {import('../orbit.js').OrbitEvent} gap */
  #gap({ after, to, reason }) {
    this.#gaps++;
    append(this.#list, make('li', 'gap', `messages after #${after} up to #${to} are gone (${reason})`));
    this.#facts();
  }

  #facts() {
    const { state, offset, epoch } = this.#channel;
    const facts = { state, offset: offset ?? '–', epoch: epoch?.slice(0, 8) ?? '–', received: this.#received, gaps: this.#gaps };
    for (const [name, value] of Object.entries(facts)) {
      $(`[data-fact=${name}]`, this.#root).textContent = String(value);
    }
  }
}

/** @param {string} text @param {string} [className] */
function log(text, className = '') {
  const line = make('li');
  line.append(make('time', '', clock.format()), make('span', className, text));
  append($('#log'), line);
}

/** @type {Record<string, string>} */
const words = { idle: 'not connected', connecting: 'connecting …', open: 'connected', waiting: 'reconnecting …', closed: 'disconnected' };

orbit.onstate = ({ channel, state = 'idle' }) => {
  if (channel) return;
  $('#state').dataset.state = state;
  $('#state span').textContent = orbit.transport ? `${words[state]}: ${orbit.transport}` : words[state];
};
orbit.onopen = ({ channel, user, resumed, offset, transport }) => {
  if (channel) log(`${channel} from #${offset}`);
  else log(`connected over ${transport} as ${user ?? 'anonymous'}${resumed ? ', session resumed' : ''}`, 'good');
  if (!channel) showUser(user);
};
orbit.onclose = ({ channel, code, message, retry }) => {
  if (channel) return;
  const why = code === 'connection_lost' ? 'connection lost' : message;
  const next = retry === undefined ? '' : `; next attempt in ${(retry / 1000).toFixed(1)} s`;
  log(why + next, 'warn');
};
orbit.ongap = ({ channel, after, to, reason }) => log(`${channel}: gap #${after} to #${to}, ${reason}`, 'warn');
orbit.onrevoked = ({ channel, message }) => log(`${channel}: ${message}`, 'bad');
orbit.onerror = ({ channel, message, code }) => log(`${channel ?? 'error'}: ${message} (${code})`, 'bad');

/** @param {string | undefined} user */
function showUser(user) {
  $('#login').hidden = user !== undefined;
  $('#user').hidden = user === undefined;
  $('#user').replaceChildren('logged in as ', make('b', '', user));
}

$('#login').addEventListener('submit', async event => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  const response = await fetch('/v1/login', { method: 'POST', body });
  const answer = await response.json();
  if (!response.ok) {
    log(`login: ${answer.error.message}`, 'bad');
    return;
  }
  token = answer.token;
  form.reset();
  orbit.reconnect();
});

const every = orbit.transports;
$('#transport').addEventListener('change', event => {
  const { value } = /** @type {HTMLSelectElement} */ (event.target);
  orbit.transports = every.filter(name => value === '' || name === value);
});

$('#curl').textContent = `curl ${location.origin}/v1/publish/chat/lobby \\\n  --json '{"text": "hi", "nick": "curl"}'`;

for (const root of document.querySelectorAll('[data-channel]')) {
  const panel = new Panel(/** @type {HTMLElement} */ (root));
  panel.open().catch(error => log(String(error), 'bad'));
}
