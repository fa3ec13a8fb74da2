// Subscribes to a server, which it starts itself and kills in between, by the clients of
// graphql-ws and graphql-sse, while somebody publishes and comments.
//
//   npm ci && node subscriptions.mjs PATH/TO/stoa
//
// The exit code is 0 only when all holds.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as sse from 'graphql-sse';
import * as ws from 'graphql-ws';
import WebSocket from 'ws';
import { ask, register, signIn } from './people.mjs';

const [binary] = process.argv.slice(2);
if (!binary) {
  console.error('usage: node subscriptions.mjs PATH/TO/stoa');
  process.exit(2);
}

// How long one step may take. A step takes milliseconds, a start of the server a second.
const timeout = 60_000;

const editor = { email: 'edda@example.org', password: 'four plain words here', name: 'Edda' };
let folder, server, api, token;

/** Starts the server, on the port that it had before, and waits until it is ready. */
async function start() {
  const listen = api ? new URL(api).host : '127.0.0.1:0';
  server = spawn(binary, ['--data', join(folder, 'data'), '--listen', listen, '--demo', 'off'], { stdio: ['ignore', 'ignore', 'pipe'] });
  api = await new Promise((resolve, reject) => {
    createInterface(server.stderr).on('line', (line) => {
      const ready = /msg=ready url=(http:\S+?)\/ /.exec(line);
      if (ready) resolve(`${ready[1]}/graphql`);
    });
    server.on('exit', (code) => reject(new Error(`the server ended with ${code}`)));
  });
}

/** Ends the server, and returns when it has gone. */
async function end(signal) {
  const gone = new Promise((resolve) => server.on('exit', resolve));
  server.kill(signal);
  await gone;
}

before(
  async () => {
    folder = await mkdtemp(join(tmpdir(), 'stoa-'));
    await start();
    await register(api, editor);
    await promisify(execFile)(binary, ['--data', join(folder, 'data'), 'admin', editor.email]);
    token = await signIn(api, editor);
  },
  { timeout },
);

after(async () => {
  if (server?.exitCode === null) await end('SIGTERM');
  if (folder) await rm(folder, { recursive: true, force: true });
});

let articles = 0;

/** Publishes an article and returns its id. */
async function publish() {
  const { articleCreate } = await ask(api, 'mutation($in: ArticleCreateInput!) { articleCreate(input: $in) { article { id } } }', { in: { title: `News ${++articles}` } }, token);
  const { id } = articleCreate.article;
  const { articlePublish } = await ask(api, 'mutation($in: ArticlePublishInput!) { articlePublish(input: $in) { userErrors { message } } }', { in: { id } }, token);
  assert.deepEqual(articlePublish.userErrors, []);
  return id;
}

async function comment(articleId) {
  const { commentAdd } = await ask(api, 'mutation($in: CommentAddInput!) { commentAdd(input: $in) { submission { comment { id } } userErrors { message } } }', { in: { articleId, bodyMarkdown: 'Well said.' } }, token);
  assert.deepEqual(commentAdd.userErrors, []);
  return commentAdd.submission.comment.id;
}

const published = 'subscription ($after: ID) { articlePublished(after: $after) { id article { id title author { name } } } }';
const added = 'subscription ($of: ID!, $after: ID) { commentAdded(articleId: $of, after: $after) { id comment { id } } }';

/**
 * Follows a subscription, and goes on after its last event when it was cut off: both clients
 * send an operation again as it is then.
 */
function follow(client, query, variables = {}) {
  const request = { query, variables: { ...variables } };
  const events = [];
  const waiting = [];
  let errors, ended;
  const done = new Promise((resolve) => (ended = resolve));
  const wake = () => waiting.splice(0).forEach((look) => look());
  const stop = client.subscribe(request, {
    next: ({ data, errors: wrong }) => {
      if (wrong) errors = wrong;
      else {
        const [event] = Object.values(data);
        request.variables.after = event.id;
        events.push(event);
      }
      wake();
    },
    error: (error) => {
      errors = error;
      ended();
      wake();
    },
    complete: () => {
      ended();
      wake();
    },
  });
  /** Waits until there are n events, and returns what they are of. */
  const of = async (n) => {
    while (events.length < n && !errors) await new Promise((resolve) => waiting.push(resolve));
    assert.equal(errors, undefined, JSON.stringify(errors));
    return events.map((e) => (e.article ?? e.comment).id);
  };
  return { request, events, of, stop, done, errors: () => errors };
}

/** Waits until a subscription stands: until it tells of something. */
async function standing(client, query, variables, tell) {
  const f = follow(client, query, variables);
  const told = [];
  while (f.events.length === 0) {
    told.push(await tell());
    await Promise.race([f.of(1), new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  const heard = await f.of(1);
  f.missed = told.indexOf(heard[0]); // said before it stood
  f.told = told.slice(f.missed);
  return f;
}

const retry = { retryAttempts: 1000, retry: () => new Promise((resolve) => setTimeout(resolve, 50)) };
const clients = {
  'graphql-ws': (on = {}) => ws.createClient({ url: api.replace('http', 'ws'), webSocketImpl: WebSocket, retryAttempts: retry.retryAttempts, retryWait: retry.retry, shouldRetry: () => true, on }),
  'graphql-sse': (on = {}) => sse.createClient({ url: api, ...retry, on }),
};

for (const [name, create] of Object.entries(clients)) {
  describe(name, () => {
    test('many subscriptions are told of what is published and said meanwhile', { timeout }, async () => {
      const client = create();
      const first = await standing(client, published, {}, publish);
      const [article] = first.told;
      const others = [];
      for (let i = 0; i < 20; i++) others.push(follow(client, published, { after: first.events[0].id }));
      const thread = await standing(client, added, { of: article }, () => comment(article));
      const said = [...thread.told];
      const all = await Promise.all([publish(), publish(), comment(article), publish()]);
      said.push(all[2]);
      const news = [all[0], all[1], all[3]];
      const order = (await first.of(first.told.length + news.length)).slice(1);
      assert.deepEqual([...order].sort(), [...first.told.slice(1), ...news].sort());
      for (const o of others) assert.deepEqual(await o.of(order.length), order);
      assert.deepEqual((await thread.of(said.length)).sort(), [...said].sort());
      assert.equal(first.events.at(-1).article.author.name, 'Edda');
      client.dispose();
    });

    test('what is refused says why, and ends alone', { timeout }, async () => {
      const client = create();
      const well = await standing(client, published, {}, publish);
      for (const [query, variables, code] of [
        ['subscription { nothing }', {}, 'GRAPHQL_VALIDATION_FAILED'],
        [added, { of: 'art_01k9v6v0mvf5ts2c5zr0h4m8qd' }, 'NOT_FOUND'],
        [published, { after: 'evt_01k9v6v0mvf5ts2c5zr0h4m8qd' }, 'INVALID'],
      ]) {
        const refused = follow(client, query, variables);
        await refused.done;
        assert.equal(refused.errors()[0].extensions.code, code, query);
      }
      const id = await publish();
      assert.equal((await well.of(well.told.length + 1)).at(-1), id);
      client.dispose();
    });

    test('the client completes one, and the others go on', { timeout }, async () => {
      const client = create();
      const stays = await standing(client, published, {}, publish);
      const goes = await standing(client, published, {}, publish);
      await stays.of(stays.told.length);
      goes.stop();
      await goes.done;
      const before = goes.events.length;
      const id = await publish();
      while (!(await stays.of(stays.events.length + 1)).includes(id));
      assert.equal(goes.events.length, before);
      client.dispose();
    });

    for (const signal of ['SIGKILL', 'SIGTERM']) {
      test(`nothing is missed when the server goes by ${signal} and comes back`, { timeout }, async () => {
        const client = create();
        const follower = await standing(client, published, {}, publish);
        const thread = await standing(client, added, { of: follower.told[0] }, () => comment(follower.told[0]));
        const told = [...follower.told];
        for (let i = 0; i < 2; i++) {
          told.push(await publish());
          await end(signal);
          await start();
          token = await signIn(api, editor);
          told.push(await publish(), await publish());
        }
        assert.deepEqual(await follower.of(told.length), told);
        assert.equal(new Set(follower.events.map((e) => e.id)).size, told.length);
        assert.deepEqual(await thread.of(1), thread.told.slice(0, 1));
        client.dispose();
      });
    }
  });
}

test('graphql-ws: nothing is missed when connections are cut off in the middle', { timeout }, async () => {
  let socket;
  const client = clients['graphql-ws']({ connected: (s) => (socket = s) });
  const follower = await standing(client, published, {}, publish);
  const told = [...follower.told];
  for (let i = 0; i < 5; i++) {
    socket.terminate();
    told.push(await publish());
  }
  assert.deepEqual(await follower.of(told.length), told);
  client.dispose();
});

test('graphql-sse: queries and mutations are answered, too', { timeout }, async () => {
  const client = sse.createClient({ url: api, headers: () => ({ Authorization: `Bearer ${token}` }) });
  const only = async (query) => {
    const all = [];
    for await (const { extensions, ...result } of client.iterate({ query })) {
      assert.ok(extensions.cost.requested > 0);
      all.push(result);
    }
    return all;
  };
  assert.deepEqual(await only('{ viewer { account { name } } }'), [{ data: { viewer: { account: { name: 'Edda' } } } }]);
  const [made] = await only('mutation { articleCreate(input: {title: "By an event"}) { article { status } } }');
  assert.deepEqual(made, { data: { articleCreate: { article: { status: 'DRAFT' } } } });
  client.dispose();
});

test('an EventSource goes on after the last event by itself', { timeout }, async () => {
  const address = `${api}?query=${encodeURIComponent(published)}`;
  const listen = async (last) => {
    const control = new AbortController();
    const response = await fetch(address, { headers: { Accept: 'text/event-stream', ...(last && { 'Last-Event-ID': last }) }, signal: control.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    return {
      async next() {
        for (;;) {
          const event = /id: (\S+)\nevent: next\ndata: (.*)\n\n/.exec(text);
          if (event) {
            text = text.slice(event.index + event[0].length);
            return { id: event[1], article: JSON.parse(event[2]).data.articlePublished.article.id };
          }
          text += (await reader.read()).value;
        }
      },
      stop: () => control.abort(),
    };
  };
  const follower = await standing(clients['graphql-sse'](), published, {}, publish);
  const ids = [await publish(), await publish()];
  await follower.of(follower.told.length + 2);
  const first = await listen(follower.events[0].id);
  const heard = await first.next();
  first.stop();
  const again = await listen(heard.id);
  const rest = [...follower.told, ...ids].slice(2);
  assert.equal((await again.next()).article, rest[0]);
  again.stop();
  follower.stop();
});
