// People for tests of clients: they register as people do, with a server that runs in
// development mode, where /outbox shows the mails.

import assert from 'node:assert/strict';

const patience = 20_000;

/** Asks the API as a program does that is no browser. It fails on errors of the answer. */
export async function ask(api, query, variables, token) {
  const headers = { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(api, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  const answer = await response.json();
  assert.equal(answer.errors, undefined, JSON.stringify(answer));
  return answer.data;
}

/** Waits for a mail of a kind to somebody. */
export async function mailed(api, kind, email) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const mails = await (await fetch(new URL('/outbox?format=json', api))).json();
    const mail = mails.find((each) => each.kind === kind && each.to === email);
    if (mail) return mail;
  }
  assert.fail(`no mail to ${email} within ${patience} ms`);
}

/** Registers somebody and answers the mail. */
export async function register(api, { email, password, name = 'Ruth' }) {
  await ask(api, 'mutation($in: AccountRegisterInput!) { accountRegister(input: $in) { userErrors { message } } }', { in: { email, password, name } });
  const mail = await mailed(api, 'verify', email);
  const { accountVerify } = await ask(api, 'mutation($in: AccountVerifyInput!) { accountVerify(input: $in) { account { email } userErrors { message } } }', { in: { token: mail.code } });
  assert.deepEqual(accountVerify, { account: { email }, userErrors: [] });
}

/** Signs somebody in and returns the token. */
export async function signIn(api, { email, password }) {
  const { sessionCreate } = await ask(api, 'mutation($in: SessionCreateInput!) { sessionCreate(input: $in) { token userErrors { message } } }', { in: { email, password } });
  assert.deepEqual(sessionCreate.userErrors, []);
  return sessionCreate.token;
}
