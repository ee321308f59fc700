import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './daemon.js';

/** A file below tests/out. */
export function out(name) {
  const folder = join(root, 'tests', 'out');
  mkdirSync(folder, { recursive: true });
  return join(folder, name);
}
