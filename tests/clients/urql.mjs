// Speaks with a server as front ends do that use urql.
//
//   npm ci && node urql.mjs PATH/TO/stoa

import assert from 'node:assert/strict';
import { Client, fetchExchange, gql } from '@urql/core';
import { cacheExchange } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { persistedExchange } from '@urql/exchange-persisted';
import { register, signIn } from './people.mjs';
import { binaryOf, recorded, run, start, test } from './suite.mjs';

const api = await start(binaryOf('urql.mjs'));
const reader = { email: 'reader@example.org', password: 'four plain words here', name: 'Ruth' };
await register(api, reader);
const token = await signIn(api, reader);
const slug = 'the-painted-porch';

/** A client whose requests are recorded; exchanges come before the one that sends. */
function connect({ exchanges = [], signedIn = false, ...options } = {}) {
  const { requests, fetch } = recorded();
  const fetchOptions = signedIn ? { headers: { authorization: `Bearer ${token}` } } : {};
  const client = new Client({ url: api, fetch, fetchOptions, exchanges: [...exchanges, fetchExchange], preferGetMethod: false, ...options });
  return { client, requests };
}

const normalised = (options) => cacheExchange({ resolvers: { Query: { articles: relayPagination() } }, keys: { Count: () => null }, ...options });

const article = gql`
  query Article($slug: String!) {
    article(slug: $slug) { id title author { id name } comments(last: 1) { nodes { id bodyHtml } count { value } } }
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
    commentAdd(input: $input) { submission { id comment { id bodyHtml article { id } } } userErrors { message path ... on CommentError { code } } }
  }
`;

test('a query is answered, by POST and by GET, and by the cache from then on', async () => {
  for (const preferGetMethod of [false, 'force']) {
    const { client, requests } = connect({ exchanges: [normalised()], preferGetMethod });
    const { data, error } = await client.query(article, { slug });
    assert.equal(error, undefined);
    assert.equal(data.article.title, 'The porch that gave philosophy a name');
    const again = await client.query(article, { slug });
    assert.deepEqual(again.data, data);
    assert.deepEqual(requests.map(({ method, status }) => [method, status]), [[preferGetMethod ? 'GET' : 'POST', 200]]);
  }
});

test('a mutation changes what the cache knows, and what was wrong with one is data', async () => {
  const updates = { Mutation: { commentAdd: (result, _, cache) => cache.invalidate({ __typename: 'Article', id: result.commentAdd.submission.comment.article.id }) } };
  const { client } = connect({ signedIn: true, exchanges: [normalised({ updates })] });
  const before = (await client.query(article, { slug })).data.article;
  const said = await client.mutation(comment, { input: { articleId: before.id, bodyMarkdown: 'By *urql*.' } });
  assert.equal(said.error, undefined);
  assert.deepEqual(said.data.commentAdd.userErrors, []);
  const after = (await client.query(article, { slug })).data.article;
  assert.equal(after.comments.count.value, before.comments.count.value + 1);
  assert.match(after.comments.nodes[0].bodyHtml, /<em>urql<\/em>/);

  const plain = connect({ signedIn: true });
  const refused = await plain.client.mutation(comment, { input: { articleId: before.id, bodyMarkdown: '' } });
  assert.equal(refused.error, undefined);
  assert.deepEqual(refused.data.commentAdd.userErrors.map(({ code, path }) => [code, path]), [['INVALID', ['bodyMarkdown']]]);
});

test('errors are its CombinedError, beside what could be answered', async () => {
  const { client } = connect({ signedIn: true });
  const invalid = await client.query(gql`{ nothing }`, {});
  assert.equal(invalid.data, undefined);
  assert.equal(invalid.error.networkError, undefined);
  assert.equal(invalid.error.graphQLErrors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  const partly = await client.query(gql`query ($slug: String!) { article(slug: $slug) { slug } viewer { queue(first: 1) { nodes { id } } } }`, { slug });
  assert.deepEqual(partly.data, { article: { slug }, viewer: { queue: null } });
  assert.equal(partly.error.graphQLErrors[0].extensions.code, 'FORBIDDEN');
  assert.deepEqual(partly.error.graphQLErrors[0].path, ['viewer', 'queue']);
});

test('pages are merged into one list by relayPagination', async () => {
  const { client, requests } = connect({ exchanges: [normalised()] });
  let { data } = await client.query(page, { first: 5 });
  while (data.articles.pageInfo.hasNextPage) {
    assert.ok(requests.length < 10, 'there is no end to the pages');
    ({ data } = await client.query(page, { first: 5, after: data.articles.pageInfo.endCursor }));
  }
  const whole = (await connect().client.query(page, { first: 100 })).data;
  assert.ok(whole.articles.edges.length >= 12);
  assert.deepEqual(data.articles.edges.map(({ node }) => node.slug), whole.articles.edges.map(({ node }) => node.slug));
  assert.equal(requests.length, Math.ceil(whole.articles.edges.length / 5));
});

test('a query is persisted automatically, by GET', async () => {
  const query = gql`query ByHash($slug: String!) { urql: article(slug: $slug) { title } }`;
  const ask = async (slug) => {
    const { client, requests } = connect({ exchanges: [persistedExchange({ preferGetForPersistedQueries: 'force' })] });
    const { data, error } = await client.query(query, { slug });
    assert.equal(error, undefined);
    return { title: data.urql.title, requests };
  };
  const first = await ask(slug);
  assert.equal(first.title, 'The porch that gave philosophy a name');
  assert.deepEqual(first.requests.map(({ method, status, url, body }) => [method, status, (body ?? Object.fromEntries(url.searchParams)).query === undefined]), [['GET', 200, true], ['GET', 200, false]]);
  const again = await ask('a-scale-is-a-promise');
  assert.equal(again.requests.length, 1, 'the hash is known by now');
  assert.equal(again.requests[0].url.searchParams.has('query'), false);
  assert.notEqual(again.title, first.title);
});

test('a mutation is persisted automatically, and sent by POST', async () => {
  const { client, requests } = connect({ signedIn: true, exchanges: [persistedExchange({ enableForMutation: true })] });
  for (const _ of [1, 2]) {
    const { data } = await client.mutation(comment, { input: { articleId: 'art_00000000000000000000000000', bodyMarkdown: 'x' } });
    assert.equal(data.commentAdd.userErrors[0].code, 'NOT_FOUND');
  }
  assert.deepEqual(requests.map(({ method, body }) => [method, Boolean(body.query)]), [['POST', false], ['POST', true], ['POST', false]]);
});

await run();
