// Compiles documents with Relay's compiler against the schema as it is, starts a server that
// answers only what the compiler has written into its manifest, and runs Relay against it.
//
//   npm ci && node relay.mjs PATH/TO/stoa

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import relay from 'relay-runtime';
import { mailed } from './people.mjs';
import { atEnd, binaryOf, recorded, run, start, test } from './suite.mjs';

const { ConnectionHandler, Environment, Network, RecordSource, Store, commitMutation, createOperationDescriptor, fetchQuery, getFragment, getRequest, getSingularSelector } = relay;

const binary = binaryOf('relay.mjs');
const require = createRequire(import.meta.url);

// Relay warns of what a schema may not do, such as giving one id to two things.
const warnings = [];
const complain = console.error;
console.error = (...args) => {
  warnings.push(args.map(String).join(' '));
  complain(...args);
};

const folder = mkdtempSync(join(tmpdir(), 'stoa-relay-'));
atEnd(async () => rmSync(folder, { recursive: true, force: true }));
const manifest = join(folder, 'manifest.json');
writeFileSync(join(folder, 'schema.graphql'), execFileSync(binary, ['schema']));
mkdirSync(join(folder, '__generated__'));
writeFileSync(manifest, '{}');
writeFileSync(join(folder, 'package.json'), '{"type": "commonjs"}');
writeFileSync(
  join(folder, 'relay.config.json'),
  JSON.stringify({
    src: '.',
    schema: './schema.graphql',
    language: 'javascript',
    artifactDirectory: './__generated__',
    eagerEsModules: false, // what is generated is CommonJS
    persistConfig: { file: './manifest.json' },
  }),
);
cpSync(new URL('relay.operations.js', import.meta.url), join(folder, 'operations.js'));
const compiled = execFileSync(process.execPath, [require.resolve('relay-compiler/cli.js'), 'relay.config.json'], { cwd: folder, encoding: 'utf8', timeout: 120_000 });
const artifact = (name) => require(join(folder, '__generated__', `${name}.graphql.js`));

const api = await start(binary, '--operations', manifest, '--trusted-only', 'on');
const slug = 'the-painted-porch';
const { requests, fetch } = recorded();
let token;

/** Relay's environment with a network as its documents have one: an id, no text. */
function environment({ by = 'id', get = false } = {}) {
  const network = Network.create(async ({ id, text }, variables) => {
    assert.equal(text, null, 'the text stays at home');
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const response = get
      ? await fetch(`${api}?${new URLSearchParams({ [by]: id, variables: JSON.stringify(variables) })}`, { headers })
      : await fetch(api, { method: 'POST', headers: { ...headers, 'Content-Type': 'application/json' }, body: JSON.stringify({ [by]: id, variables }) });
    return response.json();
  });
  return new Environment({ network, store: new Store(new RecordSource()) });
}

/** Asks for a query, keeps what came, and returns what the query itself sees of it. */
async function ask(to, query, variables) {
  const operation = createOperationDescriptor(getRequest(query), variables);
  to.retain(operation);
  await fetchQuery(to, query, variables).toPromise();
  return to.lookup(operation.fragment).data;
}

/** What a fragment sees. */
const read = (from, fragment, reference) => from.lookup(getSingularSelector(getFragment(artifact(fragment)), reference)).data;

function mutate(to, name, input, updater) {
  return new Promise((resolve, reject) =>
    commitMutation(to, { mutation: artifact(name), variables: { input }, updater, onCompleted: (data, errors) => resolve({ data, errors }), onError: reject }),
  );
}

test('the compiler takes the schema and the documents, and writes a manifest', async () => {
  assert.match(compiled, /Compilation completed/);
  const texts = JSON.parse(readFileSync(manifest, 'utf8'));
  assert.ok(Object.keys(texts).length >= 10, Object.keys(texts).length);
  assert.ok(Object.keys(texts).every((id) => /^[0-9a-f]{32}$/.test(id)), 'ids are MD5');
  assert.equal(artifact('ArticleListPaginationQuery').params.text, null);
});

test('a query is asked for by its id, by POST and by GET, under each name of it', async () => {
  for (const by of ['id', 'doc_id', 'documentId']) {
    for (const get of [false, true]) {
      const home = await ask(environment({ by, get }), artifact('HomeQuery'), { count: 2 });
      assert.ok(home.__fragments.ArticleList_query, `${by} ${get}`);
    }
  }
  assert.ok(requests.every(({ status }) => status === 200));
});

test('a list of the root is paged through by its own query', async () => {
  const to = environment();
  const home = await ask(to, artifact('HomeQuery'), { count: 5 });
  const list = () => read(to, 'ArticleList_query', home).articles;
  assert.equal(list().edges.length, 5);
  const lengths = [];
  for (let i = 0; list().pageInfo.hasNextPage; i++) {
    assert.ok(i < 10, 'there is no end to the pages');
    await ask(to, artifact('ArticleListPaginationQuery'), { count: 4, cursor: list().pageInfo.endCursor });
    lengths.push(list().edges.length);
  }
  const whole = await ask(environment(), artifact('HomeQuery'), { count: 100 });
  assert.deepEqual(lengths, [9, list().edges.length]);
  assert.equal(new Set(list().edges.map(({ node }) => node.id)).size, list().edges.length);
  assert.ok(list().edges.length >= 12 && whole);
  assert.ok(list().edges.every(({ node }) => node.title && node.author.name));
});

test('people register and sign in', async () => {
  const to = environment();
  const reader = { email: 'reader@example.org', password: 'four plain words here' };
  assert.deepEqual((await mutate(to, 'AccountRegisterMutation', { ...reader, name: 'Ruth' })).data.accountRegister.userErrors, []);
  const { code } = await mailed(api, 'verify', reader.email);
  assert.deepEqual((await mutate(to, 'AccountVerifyMutation', { token: code })).data.accountVerify.userErrors, []);
  const { sessionCreate } = (await mutate(to, 'SessionCreateMutation', reader)).data;
  assert.deepEqual(sessionCreate.userErrors, []);
  token = sessionCreate.token;
});

test('a mutation’s updater adds to a list, which is paged through by node(id:)', async () => {
  const to = environment();
  const { article } = await ask(to, artifact('ArticleQuery'), { slug, count: 100 });
  const list = () => read(to, 'CommentList_article', article).comments;
  const before = list().edges.length;
  const updater = (store) => {
    const said = store.getRootField('commentAdd').getLinkedRecord('submission')?.getLinkedRecord('comment');
    if (!said) return;
    assert.equal(said.getType(), 'Comment');
    const comments = ConnectionHandler.getConnection(store.get(article.id), 'CommentList_comments');
    ConnectionHandler.insertEdgeAfter(comments, ConnectionHandler.createEdge(store, comments, said, 'CommentEdge'));
  };
  const said = [];
  for (const word of ['one', 'two', 'three']) {
    const { data, errors } = await mutate(to, 'CommentAddMutation', { articleId: article.id, bodyMarkdown: `By *Relay*, ${word}.` }, updater);
    assert.equal(errors, null);
    assert.deepEqual(data.commentAdd.userErrors, []);
    said.push(data.commentAdd.submission.comment.id);
  }
  assert.deepEqual(list().edges.slice(before).map(({ node }) => node.id), said);
  assert.match(list().edges.at(-1).node.bodyHtml, /<em>Relay<\/em>, three/);

  // From the server, a page at a time, the same.
  const again = environment();
  const other = await ask(again, artifact('ArticleQuery'), { slug, count: 1 });
  const paged = () => read(again, 'CommentList_article', other.article).comments;
  for (let i = 0; paged().pageInfo.hasNextPage; i++) {
    assert.ok(i < 100, 'there is no end to the pages');
    await ask(again, artifact('CommentListPaginationQuery'), { id: other.article.id, count: 1, cursor: paged().pageInfo.endCursor });
  }
  assert.deepEqual(paged().edges.map(({ node }) => node.id), list().edges.map(({ node }) => node.id));
  assert.equal(paged().edges.length, before + 3);
});

test('what was wrong with a mutation is data', async () => {
  const { data, errors } = await mutate(environment(), 'CommentAddMutation', { articleId: 'art_00000000000000000000000000', bodyMarkdown: 'x' });
  assert.equal(errors, null);
  assert.deepEqual(data.commentAdd.userErrors.map(({ __typename, code, path }) => [__typename, code, path]), [['CommentError', 'NOT_FOUND', ['articleId']]]);
});

test('things of several types are found by their ids, each under its own', async () => {
  const to = environment();
  const { article } = await ask(to, artifact('ArticleQuery'), { slug, count: 1 });
  const { nodes } = await ask(to, artifact('NodesQuery'), { ids: [article.id, 'art_00000000000000000000000000'] });
  assert.equal(nodes[0].title, article.title);
  assert.equal(nodes[1], null);
  assert.equal(to.getStore().getSource().get(article.id).__typename, 'Article');
});

test('an error leaves what could be answered', async () => {
  const to = environment();
  const variables = { slug };
  const payload = await new Promise((resolve, reject) => to.execute({ operation: createOperationDescriptor(getRequest(artifact('PartlyQuery')), variables) }).subscribe({ next: resolve, error: reject }));
  assert.equal(payload.data.article.slug, slug);
  assert.equal(payload.data.viewer.queue, null);
  assert.equal(payload.errors[0].extensions.code, 'FORBIDDEN');
});

test('nothing else is answered', async () => {
  for (const [method, body] of [['POST', { query: '{ __typename }' }], ['POST', { id: '0'.repeat(32) }], ['GET', { query: '{ __typename }' }]]) {
    const response = method === 'GET' ? await fetch(`${api}?${new URLSearchParams(body)}`) : await fetch(api, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    assert.equal((await response.json()).errors[0].extensions.code, 'DOCUMENT_NOT_TRUSTED');
  }
});

test('Relay has warned of nothing', async () => assert.deepEqual(warnings, []));

await run();
