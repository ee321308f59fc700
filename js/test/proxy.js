// An HTTP proxy in front of a daemon, with the habits of the bad ones.
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';

export class Proxy {
  /** Whether WebSockets are let through. */
  upgrades = true;
  /** Paths whose answers are kept back until they are complete. */
  buffers = [];
  /** How often each path was asked for. */
  asked = new Map();
  /** What the daemon answered to upgrades, line by line, and how many bytes came down behind that. */
  upgraded = [];
  down = 0;
  #sockets = new Set();

  /**
   * @param {import('node:test').TestContext} t whose end is the proxy's
   * @param {number} port of the daemon
   * @param {object} [habits]
   */
  static async start(t, port, habits = {}) {
    const proxy = Object.assign(new Proxy(), habits);
    const server = createServer((asks, answers) => proxy.#pass(port, asks, answers));
    server.on('upgrade', (asks, socket, head) => proxy.#upgrade(port, asks, socket, head));
    server.on('connection', socket => {
      proxy.#sockets.add(socket);
      socket.once('close', () => proxy.#sockets.delete(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.close();
      proxy.cut();
    });
    proxy.url = `http://127.0.0.1:${server.address().port}`;
    return proxy;
  }

  /** Ends all connections in the middle of whatever they carry. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  #count(url) {
    const path = url.split('?')[0];
    this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
    return path;
  }

  #pass(port, asks, answers) {
    const path = this.#count(asks.url);
    const { method, url, headers } = asks;
    const further = request({ port, host: '127.0.0.1', method, path: url, headers }, answer => {
      if (!this.buffers.includes(path)) {
        answers.writeHead(answer.statusCode, answer.headers);
        answers.flushHeaders();
        answer.pipe(answers);
        return;
      }
      const chunks = [];
      answer.on('data', chunk => chunks.push(chunk));
      answer.on('end', () => {
        answers.writeHead(answer.statusCode, answer.headers);
        answers.end(Buffer.concat(chunks));
      });
    });
    further.on('error', () => answers.destroy());
    answers.on('close', () => further.destroy());
    asks.pipe(further);
  }

  #upgrade(port, asks, socket, head) {
    this.#count(asks.url);
    socket.on('error', () => {});
    if (!this.upgrades) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    const further = connect(port, '127.0.0.1', () => {
      const lines = asks.rawHeaders.reduce((text, item, i) => text + item + (i % 2 ? '\r\n' : ': '), '');
      further.write(`${asks.method} ${asks.url} HTTP/1.1\r\n${lines}\r\n`);
      further.write(head);
      further.once('data', chunk => this.upgraded.push(String(chunk).split('\r\n\r\n')[0].split('\r\n')));
      further.on('data', chunk => { this.down += chunk.length; });
      further.pipe(socket).pipe(further);
    });
    further.on('error', () => socket.destroy());
    socket.on('close', () => further.destroy());
    further.on('close', () => socket.destroy());
  }
}
