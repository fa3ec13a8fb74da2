// Speaks with a server as front ends do that use Apollo Client.
//
//   npm ci && node apollo.mjs PATH/TO/stoa

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client/core';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { relayStylePagination } from '@apollo/client/utilities';
import { createPersistedQueryManifestVerificationLink, generatePersistedQueryIdsFromManifest, sortTopLevelDefinitions } from '@apollo/persisted-query-lists';
import { print } from 'graphql';
import { register, signIn } from './people.mjs';
import { atEnd, binaryOf, recorded, run, start, test } from './suite.mjs';

const binary = binaryOf('apollo.mjs');
const api = await start(binary);
const reader = { email: 'reader@example.org', password: 'four plain words here', name: 'Ruth' };
await register(api, reader);
const token = await signIn(api, reader);

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** A client whose requests are recorded; links come before the one that sends. */
function connect({ uri = api, links = [], headers, ...options } = {}) {
  const { requests, fetch } = recorded();
  const cache = new InMemoryCache({ typePolicies: { Query: { fields: { articles: relayStylePagination() } } } });
  const link = ApolloLink.from([...links, new HttpLink({ uri, fetch, headers })]);
  return { client: new ApolloClient({ cache, link, ...options }), requests };
}

const article = gql`
  query Article($slug: String!) {
    article(slug: $slug) { id title author { id name } tags { id name } }
  }
`;
const page = gql`
  query Page($first: Int, $after: String) {
    articles(first: $first, after: $after) {
      edges { cursor node { id slug title } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
`;
const comment = gql`
  mutation Comment($input: CommentAddInput!) {
    commentAdd(input: $input) { submission { id bodyMarkdown comment { id bodyHtml } } userErrors { message path ... on CommentError { code } } }
  }
`;
const slug = 'the-painted-porch';

test('a query is answered, and by the cache from then on', async () => {
  const { client, requests } = connect();
  const first = await client.query({ query: article, variables: { slug } });
  assert.equal(first.data.article.title, 'The porch that gave philosophy a name');
  assert.equal(first.data.article.author.name, 'Ruth Casey');
  assert.deepEqual(first.data.article.tags.map(({ name }) => name), ['History', 'Markets']);
  const again = await client.query({ query: article, variables: { slug } });
  assert.deepEqual(again.data, first.data);
  assert.equal(requests.length, 1);
  assert.equal(requests[0].status, 200);
  assert.equal(client.cache.identify(first.data.article), `Article:${first.data.article.id}`);
});

test('a mutation changes the cache, and what was wrong with one is data', async () => {
  const { client } = connect({ headers: { authorization: `Bearer ${token}` } });
  const { data } = await client.query({ query: article, variables: { slug } });
  const said = await client.mutate({ mutation: comment, variables: { input: { articleId: data.article.id, bodyMarkdown: 'By *Apollo*.' } } });
  const { submission, userErrors } = said.data.commentAdd;
  assert.deepEqual(userErrors, []);
  assert.match(submission.comment.bodyHtml, /<em>Apollo<\/em>/);
  assert.equal(client.cache.extract()[`Comment:${submission.comment.id}`].bodyHtml, submission.comment.bodyHtml);

  const refused = await client.mutate({ mutation: comment, variables: { input: { articleId: data.article.id, bodyMarkdown: '' } } });
  assert.equal(refused.error, undefined);
  assert.equal(refused.data.commentAdd.submission, null);
  assert.equal(refused.data.commentAdd.userErrors[0].code, 'INVALID');
  assert.deepEqual(refused.data.commentAdd.userErrors[0].path, ['bodyMarkdown']);
});

test('errors are what its error policies make of them', async () => {
  const { client } = connect({ headers: { authorization: `Bearer ${token}` } });
  const query = gql`query Partly($slug: String!) { article(slug: $slug) { id slug } articles(after: "nonsense", first: 1) { nodes { id } } }`;
  const partly = gql`query Queue { article(slug: "${slug}") { id slug } viewer { queue(first: 1) { nodes { id } } } }`;
  await assert.rejects(client.query({ query, variables: { slug } }), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error), String(error));
    assert.equal(error.errors[0].path[0], 'articles');
    assert.ok(error.errors[0].extensions.code);
    return true;
  });
  const all = await client.query({ query: partly, errorPolicy: 'all' });
  assert.equal(all.data.article.slug, slug);
  assert.equal(all.data.viewer.queue, null);
  assert.equal(all.error.errors[0].extensions.code, 'FORBIDDEN');
  assert.deepEqual(all.error.errors[0].path, ['viewer', 'queue']);
  const ignored = await client.query({ query: partly, errorPolicy: 'ignore', fetchPolicy: 'no-cache' });
  assert.equal(ignored.error, undefined);
  assert.equal(ignored.data.article.slug, slug);
  await assert.rejects(client.query({ query: gql`query Wrong { nothing }` }), (error) => error.errors[0].extensions.code === 'GRAPHQL_VALIDATION_FAILED');
});

test('pages are merged into one list by relayStylePagination', async () => {
  const { client, requests } = connect();
  const watched = client.watchQuery({ query: page, variables: { first: 5 } });
  const shown = []; // what the front end was told to show, one after another
  let tell;
  const results = watched.subscribe(({ data, loading }) => loading || (shown.push(data), tell?.()));
  const more = async (ask) => {
    const told = new Promise((resolve) => (tell = resolve));
    await ask?.();
    await told;
    return shown.at(-1);
  };
  let data = await more();
  while (data.articles.pageInfo.hasNextPage) {
    assert.ok(requests.length < 10, 'there is no end to the pages');
    const { endCursor } = data.articles.pageInfo;
    data = await more(() => watched.fetchMore({ variables: { after: endCursor } }));
  }
  results.unsubscribe();
  const whole = await client.query({ query: page, variables: { first: 100 }, fetchPolicy: 'no-cache' });
  assert.ok(whole.data.articles.edges.length >= 12);
  assert.deepEqual(data.articles.edges, whole.data.articles.edges);
  assert.equal(requests.length, Math.ceil(data.articles.edges.length / 5) + 1);
});

for (const useGETForHashedQueries of [false, true]) {
  const method = useGETForHashedQueries ? 'GET' : 'POST';
  test(`a query is persisted automatically, by ${method}`, async () => {
    const query = gql`query ByHash($slug: String!) { ${method.toLowerCase()}: article(slug: $slug) { id title } }`;
    const ask = async (slug) => {
      const { client, requests } = connect({ links: [new PersistedQueryLink({ sha256, useGETForHashedQueries })] });
      const { data } = await client.query({ query, variables: { slug } });
      return { title: data[method.toLowerCase()].title, requests };
    };
    const first = await ask(slug);
    assert.equal(first.title, 'The porch that gave philosophy a name');
    assert.equal(first.requests.length, 2, 'the first answer says that the hash is unknown');
    assert.equal(first.requests[0].status, 200);
    assert.equal(first.requests[0].method, method);
    const asked = ({ url, body }) => (body ? body : Object.fromEntries(url.searchParams));
    assert.equal(asked(first.requests[0]).query, undefined);
    assert.match(asked(first.requests[1]).query, /^query ByHash/);

    const again = await ask('a-scale-is-a-promise');
    assert.equal(again.requests.length, 1, 'the hash is known by now');
    assert.equal(again.requests[0].method, method);
    assert.equal(asked(again.requests[0]).query, undefined);
    assert.notEqual(again.title, first.title);
  });
}

test('a mutation is persisted automatically, and always sent by POST', async () => {
  const { client, requests } = connect({ headers: { authorization: `Bearer ${token}` }, links: [new PersistedQueryLink({ sha256, useGETForHashedQueries: true })] });
  const send = () => client.mutate({ mutation: comment, variables: { input: { articleId: 'art_00000000000000000000000000', bodyMarkdown: 'x' } } });
  for (const _ of [1, 2]) {
    const { data } = await send();
    assert.equal(data.commentAdd.userErrors[0].code, 'NOT_FOUND');
  }
  assert.deepEqual(requests.map(({ method, body }) => [method, body.query !== undefined]), [['POST', false], ['POST', true], ['POST', false]]);
});

test('a manifest is all that is answered where nothing else may be', async () => {
  // What Apollo's generate-persisted-query-manifest writes: documents as the client sends
  // them. Apollo's own link verifies that they are.
  const operations = [article, page, comment].map((query) => {
    const body = print(sortTopLevelDefinitions(new InMemoryCache().transformDocument(query)));
    const { name, operation } = query.definitions[0];
    return { id: sha256(body), name: name.value, type: operation, body };
  });
  const manifest = { format: 'apollo-persisted-query-manifest', version: 1, operations };
  const folder = await mkdtemp(join(tmpdir(), 'stoa-'));
  atEnd(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  const uri = await start(binary, '--operations', join(folder, 'manifest.json'), '--trusted-only', 'on');

  const loadManifest = () => manifest;
  const verified = createPersistedQueryManifestVerificationLink({
    loadManifest,
    onVerificationFailed: (details) => assert.fail(`${details.reason} ${details.operation?.operationName}`),
  });
  const persisted = new PersistedQueryLink({ ...generatePersistedQueryIdsFromManifest({ loadManifest }), useGETForHashedQueries: true });
  const { client, requests } = connect({ uri, links: [verified, persisted] });
  const { data } = await client.query({ query: article, variables: { slug } });
  assert.equal(data.article.author.name, 'Ruth Casey');
  const pages = await client.query({ query: page, variables: { first: 3 } });
  assert.equal(pages.data.articles.edges.length, 3);
  assert.deepEqual(requests.map(({ method, status, url }) => [method, status, url.searchParams.has('query')]), [['GET', 200, false], ['GET', 200, false]]);
  await assert.rejects(client.mutate({ mutation: comment, variables: { input: { articleId: data.article.id, bodyMarkdown: 'x' } } }), (error) => {
    assert.equal(error.errors[0].extensions.code, 'UNAUTHENTICATED');
    return true;
  });

  const plain = connect({ uri }).client;
  const same = await plain.query({ query: article, variables: { slug } });
  assert.equal(same.data.article.title, data.article.title, 'the text of a trusted document is as good as its id');
  for (const links of [[], [new PersistedQueryLink({ sha256 })]]) {
    await assert.rejects(connect({ uri, links }).client.query({ query: gql`query Other { articles(first: 1) { nodes { id } } }` }), (error) => {
      assert.equal(error.errors[0].extensions.code, 'DOCUMENT_NOT_TRUSTED');
      return true;
    });
  }
});

/** Asks as fetch may not: with the headers that browsers set by themselves. */
function raw(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, api), { method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk)).on('end', () => resolve({ status: response.statusCode, answer: text ? JSON.parse(text) : undefined, headers: response.headers }));
    });
    sent.on('error', reject).end(body);
  });
}

test('what a page of another site could make a browser send changes nothing', async () => {
  const body = JSON.stringify({ query: 'mutation { sessionRevoke(input: {}) { userErrors { message } } }' });
  const cookie = `__Host-stoa=${token}`;
  const foreign = { cookie, origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site' };
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', undefined]) {
    const { status, answer } = await raw('POST', '/graphql', { ...foreign, ...(type && { 'content-type': type }) }, body);
    assert.deepEqual([status, answer.errors[0].extensions.code], [403, 'CROSS_ORIGIN'], type);
    const old = await raw('POST', '/graphql', { cookie, ...(type && { 'content-type': type }) }, body); // a browser that says nothing of origins
    assert.ok([400, 415].includes(old.status) && old.answer.data === undefined, `${type}: ${old.status}`);
  }
  const json = await raw('POST', '/graphql', { ...foreign, 'content-type': 'application/json' }, body);
  assert.equal(json.status, 403);
  assert.equal(json.answer.errors[0].extensions.code, 'CROSS_ORIGIN');
  const preflight = await raw('OPTIONS', '/graphql', { origin: foreign.origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' });
  assert.equal(preflight.headers['access-control-allow-origin'], undefined);
  const get = await raw('GET', `/graphql?query=${encodeURIComponent('mutation { sessionRevoke(input: {}) { userErrors { message } } }')}`, { cookie });
  assert.equal(get.status, 405);
  // The client itself needs no header of its own for what is no browser's.
  const { client } = connect({ headers: { authorization: `Bearer ${token}` } });
  const { data } = await client.query({ query: gql`query Me { viewer { account { email } } }` });
  assert.equal(data.viewer.account.email, reader.email);
});

await run();
