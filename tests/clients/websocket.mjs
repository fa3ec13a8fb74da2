// Speaks with a running server over a WebSocket, by the client of graphql-ws.
//
//   npm ci && node websocket.mjs http://127.0.0.1:8080/graphql
//
// The server must be in development mode, since somebody registers there. The exit code is 0
// only when all holds.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { ask, register, signIn } from './people.mjs';

const [address] = process.argv.slice(2);
if (!URL.canParse(address ?? '')) {
  console.error('usage: node websocket.mjs http://HOST:PORT/graphql');
  process.exit(2);
}
const url = address.replace(/^http/, 'ws');

// How long one step may take. A step takes milliseconds.
const timeout = 20_000;

const somebody = { email: `somebody-${process.pid}@example.org`, password: 'four plain words here' };
let token;

before(
  async () => {
    await register(address, somebody);
    token = await signIn(address, somebody);
  },
  { timeout: 3 * timeout },
);

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

/** All results of an operation, each without its cost, which it must have; it rejects with what the client gives up for. */
async function results(client, payload) {
  const all = [];
  for await (const result of client.iterate(payload)) {
    const { extensions, ...rest } = result;
    assert.ok(Number.isInteger(extensions?.cost?.requested), `no cost: ${JSON.stringify(result)}`);
    all.push(rest);
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
    connectionParams: () => (asked++ === 0 ? { authorization: 'Bearer nobodys' } : { authorization: `Bearer ${token}` }),
  });
  const [only] = await results(client, { query: '{ viewer { account { email } } }' });
  assert.equal(only.data.viewer.account.email, somebody.email);
  assert.equal(asked, 2);
  assert.deepEqual(closed, [4403]);
  await client.dispose();
});

test('a token that could be none is a mistake, for which the client gives up', { timeout }, async () => {
  const { client } = connect({ connectionParams: { authorization: 'Bearer not a token' } });
  await assert.rejects(results(client, { query: '{ __typename }' }), { code: 4400 });
});

test('a session that is ended closes its connection, and the client comes again as nobody', { timeout }, async () => {
  const short = await signIn(address, somebody);
  let asked = 0;
  let again;
  const back = new Promise((resolve) => (again = resolve));
  const { client, closed, end } = connect({
    lazy: false,
    connectionParams: () => (asked++ === 0 ? { token: short } : {}),
    on: { connected: () => asked === 2 && again() },
  });
  const [before] = await results(client, { query: '{ viewer { account { email } } }' });
  assert.equal(before.data.viewer.account.email, somebody.email);
  await ask(address, 'mutation { sessionRevoke(input: {}) { userErrors { message } } }', {}, short);
  await end;
  await back;
  assert.deepEqual(closed, [4403]);
  assert.deepEqual(await results(client, { query: '{ viewer { account { email } } }' }), [{ data: { viewer: null } }]);
  await client.dispose();
});
