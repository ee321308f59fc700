// A daemon of its own for a test: in a folder that goes with it, on a free port that stays the same
// over restarts, killed at the end whatever happens.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

const START = 20_000; // milliseconds for a daemon to answer

/** What is left to kill when this process ends, however it ends. */
const children = new Set();
process.on('exit', () => { for (const child of children) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

/** The daemon under test: $ORBITD_BIN, or built now. */
export function binary() {
  if (process.env.ORBITD_BIN) return process.env.ORBITD_BIN;
  const bin = join(root, 'bin', 'orbitd');
  const { status } = spawnSync('go', ['build', '-trimpath', '-o', bin, './cmd/orbitd'], { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error('orbitd does not build');
  return bin;
}

/**
 * A port on which nobody listens, from below those that Linux gives to whoever asks for none (from
 * 32768), so that nothing else gets it while its server is away.
 */
export async function freePort() {
  for (let tries = 0; tries < 100; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error('no free port is found');
}

export class Daemon {
  #bin = binary();
  #folder = mkdtempSync(join(tmpdir(), 'orbitd-browser-'));
  #child = null;

  /**
   * @param {import('node:test').TestContext} t whose end is the daemon's
   * @param {{channels: string, origins?: string[]}} config
   */
  static start(t, config) {
    return Daemon.#begin(t, daemon => daemon.#config(config));
  }

  /** One with the configuration of "make run", but for its ports and folders. */
  static demo(t) {
    return Daemon.#begin(t, daemon => readFileSync(join(root, 'etc', 'demo.toml'), 'utf8')
      .replace('127.0.0.1:8080', `127.0.0.1:${daemon.port}`)
      .replace('127.0.0.1:61613', '')
      .replace('127.0.0.1:8090', '')
      .replaceAll('../var/', '')
      .replace('demo.users', join(root, 'etc', 'demo.users')));
  }

  static async #begin(t, config) {
    const daemon = new Daemon();
    t.after(() => daemon.remove());
    daemon.port = await freePort();
    daemon.url = `http://127.0.0.1:${daemon.port}`;
    writeFileSync(join(daemon.#folder, 'orbitd.toml'), config(daemon));
    await daemon.start();
    return daemon;
  }

  #config({ channels, origins = [] }) {
    return `
[server]
http    = "127.0.0.1:${this.port}"
ops     = ""
control = "control.sock"
origins = ${JSON.stringify(origins)}
[engine]
path     = "engine"
min_free = "16MiB"
[[auth]]
type = "file"
path = ${JSON.stringify(join(root, 'etc', 'demo.users'))}
[[auth]]
type = "token"
${channels}`;
  }

  /** Starts it, and waits until it answers. */
  async start() {
    const log = openSync(join(this.#folder, 'log'), 'a');
    const child = spawn(this.#bin, ['serve', '-c', join(this.#folder, 'orbitd.toml')], { stdio: ['ignore', log, log] });
    this.#child = child;
    children.add(child);
    child.once('exit', () => children.delete(child));
    const until = Date.now() + START;
    while (!(await this.#answers())) {
      if (child.exitCode !== null || Date.now() > until) throw new Error(`orbitd does not start:\n${this.log()}`);
      await sleep(10);
    }
  }

  async #answers() {
    try {
      const response = await fetch(this.url + '/orbit.js');
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }

  /** Ends it at once, in the middle of whatever it does. That it had ended by itself is an error. */
  async kill(signal = 'SIGKILL') {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const ended = child.exitCode !== null || child.signalCode !== null;
    const exit = ended || once(child, 'exit');
    child.kill(signal);
    await exit;
    const asked = signal === 'SIGKILL' ? child.signalCode === signal : child.exitCode === 0;
    if (ended || !asked || /panic/.test(this.log())) {
      throw new Error(`orbitd ended by itself, or not as it was told (${child.exitCode ?? child.signalCode}):\n${this.log()}`);
    }
  }

  /** Lets it do nothing, and go on. @param {'SIGSTOP' | 'SIGCONT'} signal */
  signal(signal) {
    this.#child?.kill(signal);
  }

  /** How many clients are connected, as `orbitd status` has it. */
  clients() {
    const { stdout, stderr } = spawnSync(this.#bin, ['status', '--json', '--socket', join(this.#folder, 'control.sock')], { encoding: 'utf8' });
    if (stderr) throw new Error(stderr);
    return JSON.parse(stdout).clients;
  }

  log() {
    return readFileSync(join(this.#folder, 'log'), 'utf8').split('\n').slice(-40).join('\n');
  }

  async remove() {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
