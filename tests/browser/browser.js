// A real Chromium, and a page of an origin of its own for it.
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { root } from './daemon.js';

/** Nothing but this machine is to be reached, also not by what a browser does in the background. */
const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
];

/** @param {import('node:test').TestContext} t */
export async function openBrowser(t) {
  const executablePath = process.env.ORBITD_CHROMIUM || '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: flags });
  t.after(() => browser.close());
  return browser;
}

/** A page whose mistakes fail the test: they are in `page.mistakes`. */
export async function openPage(context, url) {
  const page = await context.newPage();
  page.mistakes = [];
  page.on('pageerror', error => page.mistakes.push(String(error)));
  page.on('console', message => {
    if (message.type() === 'error' && !/ERR_|WebSocket connection to/.test(message.text())) page.mistakes.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** Serves a page that has nothing in it, from another origin than the daemon's. */
export async function emptyPage(t) {
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!DOCTYPE html><title>test</title><link rel="icon" href="data:,">');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://localhost:${server.address().port}`;
}

/** A file below tests/out. */
export function out(name) {
  const folder = join(root, 'tests', 'out');
  mkdirSync(folder, { recursive: true });
  return join(folder, name);
}
