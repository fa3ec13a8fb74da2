// Speaks with a running server over a WebSocket, by the client of graphql-ws.
//
//   npm ci && node websocket.mjs http://127.0.0.1:8080/graphql [TOKEN]
//
// TOKEN is that of a session, where there is one. The exit code is 0 only when all holds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [address, token] = process.argv.slice(2);
if (!URL.canParse(address ?? '')) {
  console.error('usage: node websocket.mjs http://HOST:PORT/graphql [TOKEN]');
  process.exit(2);
}
const url = address.replace(/^http/, 'ws');

// How long one step may take. A step takes milliseconds.
const timeout = 20_000;

/** A client, the codes with which its connections were closed, and when the first was. */
function connect(options = {}) {
  const closed = [];
  let ended;
  const end = new Promise((resolve) => (ended = resolve));
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    lazyCloseTimeout: 2_000, // longer than from one operation of a test to its next
    retryWait: async () => {},
    ...options,
    on: { ...options.on, closed: (event) => ended(closed.push(event.code)) },
  });
  return { client, closed, end };
}

/** All results of an operation; it rejects with what the client gives up for. */
async function results(client, payload) {
  const all = [];
  for await (const result of client.iterate(payload)) {
    all.push(result);
  }
  return all;
}

test('queries are answered over one connection', { timeout }, async () => {
  let connections = 0;
  const { client, closed, end } = connect({ on: { connected: () => connections++ } });
  assert.deepEqual(await results(client, { query: '{ __typename }' }), [{ data: { __typename: 'Query' } }]);
  const many = Array.from({ length: 50 }, (_, i) =>
    results(client, { query: `query Q($first: Int!) { a${i}: articles(first: $first) { nodes { slug } } }`, variables: { first: 2 }, operationName: 'Q' }),
  );
  for (const [i, [only, more]] of (await Promise.all(many)).entries()) {
    assert.ok(Array.isArray(only.data[`a${i}`].nodes));
    assert.equal(more, undefined);
  }
  assert.equal(connections, 1);
  await client.dispose();
  await end;
  assert.deepEqual(closed, [1000]);
});

test('what is refused ends alone, and leaves the connection to others', { timeout }, async () => {
  const { client, closed } = connect();
  for (const query of ['mutation { nothing }', 'subscription { nothing }', '{ nothing }', '{', '{ articles(first: "x") { nodes { slug } } }']) {
    const refused = await results(client, { query }).then(
      () => assert.fail(`${query} was answered`),
      (errors) => errors,
    );
    assert.ok(Array.isArray(refused), `${query}: ${refused}`);
    assert.ok(refused[0].message && refused[0].extensions.code, query);
  }
  assert.deepEqual(await results(client, { query: '{ __typename }' }), [{ data: { __typename: 'Query' } }]);
  assert.deepEqual(closed, []);
  await client.dispose();
});

test('pings are answered', { timeout }, async () => {
  let answered;
  const pong = new Promise((resolve) => (answered = resolve));
  const { client } = connect({ lazy: false, keepAlive: 10, on: { pong: (received) => received && answered() } });
  await pong;
  await client.dispose();
});

test('a token that is nobody’s closes with 4403, and the client comes again with another', { timeout }, async () => {
  let asked = 0;
  const { client, closed } = connect({
    connectionParams: () => (asked++ === 0 ? { authorization: 'Bearer nobodys' } : token ? { authorization: `Bearer ${token}` } : {}),
  });
  assert.deepEqual(await results(client, { query: '{ __typename }' }), [{ data: { __typename: 'Query' } }]);
  assert.equal(asked, 2);
  assert.deepEqual(closed, [4403]);
  await client.dispose();
});

test('a token that could be none is a mistake, for which the client gives up', { timeout }, async () => {
  const { client } = connect({ connectionParams: { authorization: 'Bearer not a token' } });
  await assert.rejects(results(client, { query: '{ __typename }' }), { code: 4400 });
});

test('a token stands for its session', { timeout, skip: token ? false : 'no token was given' }, async () => {
  const { client, closed } = connect({ connectionParams: { token } });
  const [only] = await results(client, { query: '{ viewer { account { id } } }' });
  assert.ok(only.data.viewer.account.id);
  assert.deepEqual(closed, []);
  await client.dispose();
});
