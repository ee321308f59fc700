// Debian's nginx and haproxy in front of a daemon, on ports of their own, over plain http.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, root } from './daemon.js';

const START = 20_000; // milliseconds for a proxy to answer

/** nginx: with `proxy_pass` and nothing else, and as etc/proxies has it but for TLS. */
export async function startNginx(t, daemon) {
  const folder = makeFolder(t);
  const [plain, whole] = [await freePort(), await freePort()];
  const recipe = readFileSync(join(root, 'etc/proxies/nginx.conf'), 'utf8').replace('443 ssl http2', `127.0.0.1:${whole}`)
    .replace('127.0.0.1:8080;', `127.0.0.1:${daemon.port};`).replace(/ *ssl_certificate.*/g, '');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(what => `${what}_temp_path ${folder}/${what};`).join('\n');
  writeFileSync(join(folder, 'nginx.conf'), `
daemon off;
pid ${folder}/pid;
error_log ${folder}/log;
events { }
http {
access_log off;
${temporary}
server { listen 127.0.0.1:${plain}; location / { proxy_pass http://127.0.0.1:${daemon.port}; } }
${recipe}
}
`);
  await run(t, ['/usr/sbin/nginx', '-p', folder, '-e', join(folder, 'log'), '-c', join(folder, 'nginx.conf')], [plain, whole]);
  return { plain: `http://127.0.0.1:${plain}`, whole: `http://127.0.0.1:${whole}` };
}

/** haproxy with the defaults of Debian's package. */
export async function startHAProxy(t, daemon) {
  const folder = makeFolder(t);
  const port = await freePort();
  const [, defaults] = readFileSync('/etc/haproxy/haproxy.cfg', 'utf8').split('\ndefaults\n');
  writeFileSync(join(folder, 'haproxy.cfg'), `global
	log stdout format raw local0
defaults
${defaults}
frontend plain
	bind 127.0.0.1:${port}
	default_backend straight
backend straight
	server orbitd 127.0.0.1:${daemon.port}
`);
  await run(t, ['/usr/sbin/haproxy', '-db', '-f', join(folder, 'haproxy.cfg')], [port]);
  return `http://127.0.0.1:${port}`;
}

function makeFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'orbitd-proxy-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs it until the test's end, and waits until it passes on what the daemon answers. */
async function run(t, [command, ...args], ports) {
  const child = spawn(command, args, { stdio: 'ignore' });
  process.once('exit', () => child.kill('SIGKILL'));
  t.after(async () => {
    const ended = child.exitCode !== null || child.signalCode !== null || once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  });
  const until = Date.now() + START;
  for (const port of ports) {
    while (!await fetch(`http://127.0.0.1:${port}/orbit.js`).then(async answer => (await answer.text(), answer.ok), () => false)) {
      if (child.exitCode !== null || Date.now() > until) throw new Error(`${command} does not start`);
      await sleep(20);
    }
  }
}
