import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('..', import.meta.url));
const tsc = folder + 'node_modules/.bin/tsc';

test('the types hold', { skip: existsSync(tsc) ? false : 'npm ci in js/ brings the compiler' }, () => {
  const { status, stdout } = spawnSync(tsc, ['-p', folder], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

test('the package has types, and a program that imports it is checked by them', { skip: existsSync(tsc) ? false : 'npm ci' }, t => {
  const home = mkdtempSync(join(tmpdir(), 'orbit-package-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const run = (command, ...args) => spawnSync(command, args, { cwd: home, encoding: 'utf8' });
  const pack = spawnSync('npm', ['pack', '--silent', '--pack-destination', home], { cwd: folder, encoding: 'utf8' });
  assert.equal(pack.status, 0, pack.stderr);
  const { stdout: list } = run('tar', 'tzf', pack.stdout.trim().split('\n').at(-1));
  const files = list.trim().split('\n').map(name => name.replace('package/', ''));
  assert.ok(files.includes('orbit.js') && files.includes('types/orbit.d.ts') && files.includes('orbit/transport/poll.js'), list);
  assert.deepEqual(files.filter(name => /^(test|(types\/)?demo|node_modules)|\.go$|lock/.test(name)), []);
  const there = join(home, 'node_modules', 'orbitd');
  assert.equal(run('mkdir', '-p', there).status, 0);
  assert.equal(run('tar', 'xzf', pack.stdout.trim().split('\n').at(-1), '-C', there, '--strip-components=1').status, 0);
  writeFileSync(join(home, 'package.json'), '{"type":"module"}');
  const program = `import { Orbit, type OrbitOptions, type Stored } from 'orbitd';
const options: OrbitOptions = { transports: ['poll'], resume: 'tab', name: 'main' };
const orbit = new Orbit('http://localhost', options);
orbit.addEventListener('gap', event => event.to?.toFixed());
const stored: Promise<Stored> = orbit.channel('/a').publish(1);
stored.catch(() => {});
orbit.channel('/a').onmessage = event => event.offset.toFixed();
const offset: Promise<{ offset: number }> = orbit.channel('/a').publish(1);
const socket: WebSocket = orbit.webSocket('/a');
const source: EventSource = orbit.eventSource('/a', { lastEventId: '0' });
source.onmessage = event => socket.send(event.data);
// @ts-expect-error
new Orbit('http://localhost', { transports: ['pigeon'] });
offset.finally(() => orbit.close());
`;
  writeFileSync(join(home, 'program.ts'), program);
  const check = run(tsc, '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,dom', '--types', '', 'program.ts');
  assert.equal(check.status, 0, check.stdout);
  const load = run(process.execPath, '--input-type=module', '-e', "import { Orbit } from 'orbitd'; const o = new Orbit('http://localhost:1'); console.log(o.state, o.transports[0]); o.close()");
  assert.match(load.stdout, /^idle (stream|websocket)/, load.stderr);
});
