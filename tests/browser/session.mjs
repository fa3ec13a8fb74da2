// Signs in by cookie from a page of another origin in a real browser: from one that the
// server was started to allow, and, in vain, from one that it wasn't.
//
//   npm ci
//   node session.mjs PATH/TO/stoa
//
// It starts the server itself, on an empty folder of its own. CHROMIUM is the browser to
// start (default /usr/bin/chromium). It ends with 1 when anything fails.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { register } from '../clients/people.mjs';

const [binary] = process.argv.slice(2);
if (!binary) {
  console.error('usage: node session.mjs PATH/TO/stoa');
  process.exit(2);
}

const patience = 30_000;
const password = 'four plain words here';
const email = 'ruth@example.org';

let folder, stoa, api, browser;
const pages = []; // servers of front ends

before(
  async () => {
    const [allowed, other] = [await frontEnd(), await frontEnd()];
    folder = await mkdtemp(join(tmpdir(), 'stoa-'));
    stoa = spawn(binary, ['--data', join(folder, 'data'), '--listen', '127.0.0.1:0', '--demo', 'off', '--origins', allowed], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    api = await new Promise((resolve, reject) => {
      createInterface(stoa.stderr).on('line', (line) => {
        const ready = /msg=ready url=(http:\S+?)\/ /.exec(line);
        if (ready) resolve(`${ready[1]}/graphql`);
      });
      stoa.on('exit', (code) => reject(new Error(`the server ended with ${code}`)));
    });
    await register(api, { email, password });
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
    Object.assign(globalThis, { allowed, other });
  },
  { timeout: 3 * patience },
);

after(async () => {
  await browser?.close();
  stoa?.kill('SIGTERM');
  for (const p of pages) p.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** A front end: an empty page of an origin of its own. */
function frontEnd() {
  const server = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Front end</title>'));
  pages.push(server);
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://localhost:${server.address().port}`)));
}

/** Opens a front end's page in a browser of a visitor, and returns how it asks the API. */
async function visit(context, origin) {
  const page = await context.newPage();
  await page.goto(origin);
  const send = (query, variables) =>
    page.evaluate(
      async ([url, body]) => {
        try {
          const response = await fetch(url, { method: 'POST', credentials: 'include', headers: { 'Content-Type': 'application/json' }, body });
          return await response.json();
        } catch (error) {
          return { blocked: String(error) };
        }
      },
      [api, JSON.stringify({ query, variables })],
    );
  return { page, send };
}

const signIn = 'mutation($in: SessionCreateInput!) { sessionCreate(input: $in) { token account { email } userErrors { message code } } }';
const credentials = { in: { email, password, delivery: 'COOKIE' } };
const whoAmI = '{ viewer { account { email } sessions { nodes { id } } } }';

test('a page of an allowed origin signs in, is known from then on, and signs out', { timeout: patience }, async () => {
  const context = await browser.newContext();
  const { page, send } = await visit(context, allowed);
  assert.deepEqual((await send(whoAmI)).data, { viewer: null });
  const { data } = await send(signIn, credentials);
  assert.deepEqual(data.sessionCreate, { token: null, account: { email }, userErrors: [] });

  const [cookie] = (await context.cookies(api)).filter((c) => c.name === '__Host-stoa');
  assert.ok(cookie, 'the browser has taken no cookie');
  assert.deepEqual([cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.path], [true, true, 'Strict', '/']);
  assert.equal(await page.evaluate(() => document.cookie), '', 'scripts can read the cookie');

  assert.equal((await send(whoAmI)).data.viewer.account.email, email);
  const again = await send(signIn, credentials);
  assert.deepEqual(again.data.sessionCreate.userErrors, []);
  const [later] = (await context.cookies(api)).filter((c) => c.name === '__Host-stoa');
  assert.notEqual(later.value, cookie.value, 'the token did not change at sign-in');
  assert.equal((await send(whoAmI)).data.viewer.sessions.nodes.length, 1, 'the session that was replaced has not ended');

  assert.deepEqual((await send('mutation { sessionRevoke(input: {}) { userErrors { message } } }')).data.sessionRevoke.userErrors, []);
  assert.deepEqual((await context.cookies(api)).filter((c) => c.name === '__Host-stoa'), [], 'the cookie is still there');
  const [device] = (await context.cookies(api)).filter((c) => c.name === '__Host-stoa-device');
  assert.ok(device, 'the device is not known after the session');
  assert.deepEqual([device.httpOnly, device.secure, device.sameSite, device.path], [true, true, 'Strict', '/']);
  assert.deepEqual((await send(whoAmI)).data, { viewer: null });
  await context.close();
});

test('a page of another origin can neither sign in nor use the cookie that is there', { timeout: patience }, async () => {
  const context = await browser.newContext();
  const friend = await visit(context, allowed);
  assert.deepEqual((await friend.send(signIn, credentials)).data.sessionCreate.userErrors, []);
  const stranger = await visit(context, other);
  for (const query of [whoAmI, 'mutation { sessionRevoke(input: {}) { userErrors { message } } }']) {
    assert.match((await stranger.send(query)).blocked ?? 'it was answered', /Failed to fetch/);
  }
  assert.match((await stranger.send(signIn, credentials)).blocked ?? 'it was answered', /Failed to fetch/);

  // What needs no leave to be sent: a form's content type, and a form.
  const plain = await stranger.page.evaluate(
    async ([url, body]) => (await fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'Content-Type': 'text/plain' }, body })).type,
    [api, JSON.stringify({ query: 'mutation { sessionsRevokeOthers { count } sessionRevoke(input: {}) { userErrors { message } } }' })],
  );
  assert.equal(plain, 'opaque');
  assert.equal((await friend.send(whoAmI)).data.viewer?.account.email, email, 'the stranger has ended the session');
  await context.close();
});
