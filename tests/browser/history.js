// What was accepted and what was delivered, as the checker (tests/checker/doc.go) reads it.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { root } from './daemon.js';
import { out } from './out.js';

/**
 * Checks a history: the verdict's line where all is well, else an error that tells what is not.
 *
 * @param {string} name of the file that is kept in tests/out
 * @param {{accepted: object[], deliveries: object[]}} history
 * @returns {string}
 */
export function check(name, { accepted, deliveries }) {
  const file = out(`${name}.jsonl`);
  const lines = [...accepted.map(entry => ({ accepted: true, ...entry })), ...deliveries];
  writeFileSync(file, lines.map(line => JSON.stringify(line) + '\n').join(''));
  const run = spawnSync('go', ['run', './tests/checker/cmd', file], { cwd: root, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(run.stdout + run.stderr);
  return run.stdout.trim();
}
