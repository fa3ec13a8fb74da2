// What the suites of clients have in common: a server of their own, steps that can't hang,
// and a last line "N passed, N failed". The exit code is 0 only when none failed.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** How long one step may take. A step takes milliseconds. */
const patience = 30_000;

const steps = [];

/** Adds a step: it passes when fn's promise is kept in time. */
export function test(name, fn) {
  steps.push({ name, fn });
}

const endings = [];

/** Runs fn when all steps are done, the last added first. */
export function atEnd(fn) {
  endings.push(fn);
}

/** Runs the steps in their order and ends the process. */
export async function run() {
  let passed = 0;
  let failed = 0;
  for (const { name, fn } of steps) {
    try {
      await within(patience, fn());
      passed++;
      console.log(`ok     ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED ${name}\n${error.stack ?? error}`);
    }
  }
  for (const end of endings.reverse()) {
    await within(patience, end()).catch((error) => {
      failed++;
      console.log(`FAILED to end: ${error.stack ?? error}`);
    });
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

export function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The path of the program to test, from the command line. */
export function binaryOf(script) {
  const [binary] = process.argv.slice(2);
  if (!binary) {
    console.error(`usage: node ${script} PATH/TO/stoa`);
    process.exit(2);
  }
  return binary;
}

/** Starts the program with the demo in an empty folder of its own; it stops at the end. Returns the API's address. */
export async function start(binary, ...flags) {
  const folder = await mkdtemp(join(tmpdir(), 'stoa-'));
  const server = spawn(binary, ['--data', join(folder, 'data'), '--listen', '127.0.0.1:0', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  atEnd(async () => {
    if (server.exitCode === null) {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGTERM');
      await ended;
    }
    await rm(folder, { recursive: true, force: true });
  });
  const log = [];
  return within(
    patience,
    new Promise((resolve, reject) => {
      createInterface(server.stderr).on('line', (line) => {
        log.push(line);
        const ready = /msg=ready url=(http:\S+?)\/ /.exec(line);
        if (ready) resolve(`${ready[1]}/graphql`);
      });
      server.on('error', reject);
      server.on('exit', (code) => reject(new Error(`the server ended with ${code}\n${log.join('\n')}`)));
    }),
  );
}

/** A fetch, and what went through it: each request's method, address, body and headers. */
export function recorded() {
  const requests = [];
  const through = async (input, init = {}) => {
    const url = new URL(input.url ?? input);
    const entry = { method: init.method ?? 'GET', url, headers: new Headers(init.headers), body: init.body ? JSON.parse(init.body) : undefined };
    requests.push(entry);
    const response = await fetch(input, init);
    entry.status = response.status;
    return response;
  };
  return { requests, fetch: through };
}
