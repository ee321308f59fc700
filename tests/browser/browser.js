// Real browsers, Debian's own: Chromium and Firefox ESR behind one driver, and a page of an origin of
// its own for them. What a test does it does in each of them, by the same code.
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import puppeteer from 'puppeteer-core';

/** Nothing but this machine is to be reached, also not by what a browser does in the background. */
const launch = {
  chromium: {
    browser: 'chrome',
    executablePath: process.env.ORBITD_CHROMIUM || '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
    ],
  },
  firefox: {
    browser: 'firefox',
    executablePath: process.env.ORBITD_FIREFOX || '/usr/bin/firefox-esr',
    extraPrefsFirefox: {
      'network.proxy.type': 1, // a proxy that is not there, for all but this machine
      'network.proxy.http': '127.0.0.1', 'network.proxy.http_port': 9,
      'network.proxy.ssl': '127.0.0.1', 'network.proxy.ssl_port': 9,
      'network.proxy.no_proxies_on': 'localhost, 127.0.0.1',
      'network.captive-portal-service.enabled': false, 'network.connectivity-service.enabled': false,
      'browser.safebrowsing.malware.enabled': false, 'browser.safebrowsing.phishing.enabled': false,
    },
  },
};

/** Those to test in: $ORBITD_BROWSERS, or both. */
export const browsers = (process.env.ORBITD_BROWSERS || Object.keys(launch).join(' ')).split(' ');

/**
 * A test in each browser: `body` gets the test's context and the browser's name.
 *
 * @param {string} what
 * @param {import('node:test').TestOptions} options
 * @param {(t: import('node:test').TestContext, name: string) => Promise<void>} body
 */
export function inEach(what, options, body) {
  for (const name of browsers) test(`${name}: ${what}`, options, t => body(t, name));
}

/**
 * Several of them at once, for they wait most of the time: by what each is.
 *
 * @param {string} what
 * @param {import('node:test').TestOptions} options
 * @param {Record<string, (t: import('node:test').TestContext, name: string) => Promise<void>>} scenes
 */
export function inEachAtOnce(what, options, scenes) {
  test(what, { ...options, concurrency: 4 }, async t => {
    const all = Object.entries(scenes).flatMap(([what, scene]) => browsers.map(name => t.test(`${name}: ${what}`, t => scene(t, name))));
    await Promise.all(all);
  });
}

/**
 * @param {import('node:test').TestContext} t
 * @param {string} name
 * @param {string[]} more arguments of its command line
 * @param {string} [userDataDir] a profile that outlives it
 */
export async function openBrowser(t, name, more = [], userDataDir) {
  const { args = [], ...options } = launch[name];
  const browser = await puppeteer.launch({ headless: true, protocolTimeout: 300_000, userDataDir, ...options, args: [...args, ...more] });
  t.after(() => browser.close());
  return browser;
}

/** What a browser says of a connection that it does not get is no mistake of the page. */
const network = /ERR_|CORS request did not succeed|WebSocket connection to|NetworkError|can.t establish a connection|was interrupted while the page/;

/**
 * A page whose mistakes fail the test: they are in `page.mistakes`.
 *
 * @param {import('puppeteer-core').Browser | import('puppeteer-core').BrowserContext} context
 * @param {string} url
 * @param {Record<string, string>} [files] folders that stand for what is below a URL (Chromium)
 */
export async function openPage(context, url, files) {
  const page = await context.newPage();
  if (files) await serve(page, files);
  page.mistakes = [];
  const note = text => network.test(text) || page.mistakes.push(text);
  page.on('pageerror', error => note(String(error)));
  page.on('console', message => message.type() === 'error' && note(message.text()));
  await page.goto(url);
  return page;
}

const types = { html: 'text/html', js: 'text/javascript' };

/** Answers a page's requests from folders, and has others answered by whoever they are to. */
async function serve(page, files) {
  await page.setRequestInterception(true);
  page.on('request', request => {
    if (request.url().endsWith('/favicon.ico')) return request.respond({ status: 204 });
    const base = Object.keys(files).find(base => request.url().startsWith(base));
    const name = base && request.url().slice(base.length);
    if (!name || !existsSync(join(files[base], name))) return request.continue();
    const contentType = types[name.split('.').at(-1)];
    request.respond({ contentType, body: readFileSync(join(files[base], name)), headers: { 'Access-Control-Allow-Origin': '*' } });
  });
}

/**
 * Waits until the function, which runs in the page, says so. A page in the background paints
 * nothing, so it is asked by the clock.
 */
export const until = (page, condition, ...args) => page.waitForFunction(condition, { polling: 30, timeout: 30_000 }, ...args);

/** Serves a page that has nothing in it, from another origin than the daemon's. */
export async function emptyPage(t) {
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!DOCTYPE html><title>test</title><link rel="icon" href="data:,">');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.close(); server.closeAllConnections(); });
  return `http://localhost:${server.address().port}`;
}
