// A small orbit.v1 server in memory, with faults: it dies and comes back with a new epoch, loses and
// repeats pushes, answers publishes late, not at all, or with passing errors. What it has stored it
// keeps. Written from PROTOCOL.md, as a neighbour for the library; it checks what the library sends.

/** One stored channel. */
class Log {
  /** What is kept, and all that ever was stored. */
  messages = [];
  all = [];
  /** Up to here retention has removed everything. */
  floor = 0;
  keys = new Map();

  get end() {
    return this.all.at(-1)?.o ?? 0;
  }

  expire(n) {
    for (const message of this.messages.splice(0, n)) this.floor = message.o;
  }
}

export class ModelServer {
  logs = new Map();
  sessions = new Map();
  links = new Set();
  offset = 0;
  up = true;
  complaints = [];

  /**
   * @param {import('./host.js').TestHost} host clock and transports' delays
   * @param {() => number} random
   * @param {Record<string, number>} faults chances of: drop, repeat, refuse, expire
   */
  constructor(host, random, faults) {
    Object.assign(this, { host, random, faults, window: 8 });
    this.newEpoch();
  }

  newEpoch() {
    this.epoch = Array.from({ length: 16 }, () => Math.floor(this.random() * 16).toString(16)).join('');
    this.offset += 1 + Math.floor(this.random() * 5); // a run has an offset of its own
  }

  chance(name) {
    return this.random() < (this.faults[name] ?? 0);
  }

  log(name) {
    if (!this.logs.has(name)) this.logs.set(name, new Log());
    return this.logs.get(name);
  }

  kill() {
    this.up = false;
    this.sessions.clear();
    for (const link of [...this.links]) link.cut();
  }

  start() {
    this.newEpoch();
    this.up = true;
  }

  /** The library's end of a new connection. */
  open() {
    const link = new Link(this);
    this.host.setTimeout(() => (this.up ? link.begin() : link.cut()), 1 + this.random() * 5);
    return link.transport;
  }

  /** Stores, or says why not. */
  publish({ channel, data, key, prev, first }) {
    const log = this.log(channel);
    if (first === undefined || key === undefined) this.complaints.push('a publish without key or first');
    if (log.keys.has(key)) return { offset: log.keys.get(key), duplicate: true };
    if (prev !== undefined && !log.keys.has(prev)) return { error: { code: 'out_of_order', message: '' } };
    if (this.chance('refuse')) return { error: { code: 'unavailable', message: '' } };
    this.offset += 1 + Math.floor(this.random() * 3);
    const message = { ch: channel, o: this.offset, p: log.end, t: this.offset, d: data };
    log.messages.push(message);
    log.all.push(message);
    if (this.chance('expire')) log.expire(1 + Math.floor(this.random() * log.messages.length));
    log.keys.set(key, this.offset);
    for (const link of this.links) link.pump(channel);
    if (this.chance('refuse')) return { error: { code: 'unknown', message: '' } };
    return { offset: this.offset };
  }
}

/** One connection, as the server sees it. */
class Link {
  subs = new Map();
  alive = true;
  accepted = false;
  /** When what was said last arrives: the two directions keep their order. */
  there = 0;
  here = 0;

  constructor(server) {
    this.server = server;
    const link = this;
    this.transport = {
      onopen: null, onmessage: null, onclose: null,
      send(text) { link.there = link.later(link.there, () => link.command(JSON.parse(text))); },
      close() { link.end(); },
    };
  }

  later(after, callback) {
    const { host, random } = this.server;
    const at = Math.max(after, host.now() + random() * 4);
    host.setTimeout(() => this.alive && callback(), at - host.now());
    return at;
  }

  begin() {
    if (!this.alive) return;
    this.server.links.add(this);
    this.transport.onopen?.({});
  }

  end() {
    this.alive = false;
    this.server.links.delete(this);
  }

  cut() {
    const { onclose } = this.transport;
    this.end();
    onclose?.({ code: 1006, reason: '' });
  }

  say(frame) {
    const text = JSON.stringify(frame);
    this.here = this.later(this.here, () => this.transport.onmessage?.({ data: text }));
  }

  command(command) {
    const { id, op } = command;
    if (!this.accepted && op !== 'connect') return this.complain(`${op} before the connect was accepted`);
    if (op === 'connect') this.connect(command);
    else if (op === 'subscribe') this.subscribe(command);
    else if (op === 'unsubscribe') { this.subs.delete(command.channel); this.say({ re: id }); }
    else if (op === 'ack') this.ack(command.last);
    else if (op === 'publish') this.say({ re: id, epoch: this.server.epoch, ...this.server.publish(command) });
    else if (op !== 'ping' && op !== 'pong') this.complain(`op ${op}`);
  }

  complain(text) {
    this.server.complaints.push(text);
  }

  connect({ id, session, secret, epoch, last = {} }) {
    const { server } = this;
    this.accepted = true;
    const known = session !== undefined && server.sessions.get(session);
    const resumed = Boolean(known) && known.secret === secret;
    this.session = resumed ? session : `session ${server.random()}`;
    const kept = resumed ? known.subs : new Map();
    server.sessions.set(this.session, { secret: `secret ${id}`, subs: this.subs });
    const subs = {};
    for (const [name, after] of Object.entries(last)) subs[name] = this.add(name, after, epoch);
    for (const [name, sub] of kept) subs[name] ??= this.add(name, sub.acked, server.epoch, true);
    this.say({
      re: id, session: this.session, secret: `secret ${id}`, resumed, epoch: server.epoch,
      now: 1e6 + server.host.now(), subs, ttl: 120, ping: 25, window: server.window, max: 65536,
    });
    for (const name of this.subs.keys()) this.pump(name);
  }

  subscribe({ id, channel, after, epoch }) {
    const result = this.add(channel, after, epoch);
    this.say({ re: id, epoch: this.server.epoch, ...result });
    this.pump(channel);
  }

  add(name, after, epoch, again = false) {
    const { end } = this.server.log(name);
    const start = after ?? end;
    if (after > 0 && !/^[0-9a-f]{16}$/.test(epoch)) this.complain('a position without an epoch');
    this.subs.set(name, { sent: start, acked: start, open: 0, replay: after !== undefined, again: again ? end : 0 });
    return { offset: end };
  }

  ack(last) {
    for (const [name, offset] of Object.entries(last)) {
      const sub = this.subs.get(name);
      if (!sub) continue;
      if (offset > sub.sent) this.complain(`ack of ${name} up to ${offset}, sent is ${sub.sent}`);
      sub.acked = Math.max(sub.acked, offset);
      this.pump(name);
    }
  }

  /** Sends what the window takes: some of it not at all, some twice. */
  pump(name) {
    const sub = this.subs.get(name);
    if (!sub) return;
    const { messages, floor } = this.server.log(name);
    if (sub.sent < floor) this.skip(name, sub, floor);
    sub.open = messages.filter(m => m.o > sub.acked && m.o <= sub.sent).length;
    for (const message of messages) {
      if (message.o <= sub.sent || sub.open >= this.server.window) continue;
      sub.open++;
      sub.sent = message.o;
      this.push(message, sub);
    }
    if (sub.replay && sub.sent >= this.server.log(name).end) {
      sub.replay = false;
      sub.sent = this.server.offset; // all channels' offset, and never 0
      this.say({ ch: name, at: sub.sent });
    }
  }

  /** Retention was faster: a gap, but for who asked for the oldest that there is. */
  skip(name, sub, to) {
    if (sub.sent > 0) this.say({ ch: name, gap: { after: sub.sent, to, reason: 'expired' } });
    sub.sent = to;
  }

  push(message, sub) {
    const frame = message.o <= sub.again ? { ...message, r: true } : message;
    // What is lost before an `at` nobody could notice: it says that all up to there was sent.
    if (sub.replay || !this.server.chance('drop')) this.say(frame);
    if (this.server.chance('repeat')) this.say(frame);
  }
}
