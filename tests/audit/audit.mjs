// Holds a running server against every audit of graphql-http's suite for GraphQL over HTTP.
//
//   npm ci && node audit.mjs http://127.0.0.1:8080/graphql
//
// It prints a line per audit and ends with the line "61 passed, 0 failed". An audit that only
// notes or warns counts as failed, and so does a suite of another size: a newer one is taken
// on purpose, in package.json. The exit code is 0 only when all have passed.

import { serverAudits } from 'graphql-http';

const expected = 61;

// An audit that hasn't ended by then has failed: a server that doesn't answer must not keep
// whoever runs this waiting.
const patience = 10_000;

const url = process.argv[2];
if (!URL.canParse(url ?? '')) {
  console.error('usage: node audit.mjs http://127.0.0.1:8080/graphql');
  process.exit(2);
}

function fetchFn(input, init) {
  return fetch(input, { ...init, signal: AbortSignal.timeout(patience) });
}

let passed = 0;
let failed = 0;
for (const audit of serverAudits({ url, fetchFn })) {
  let status;
  let reason = '';
  try {
    const result = await audit.fn();
    status = result.status;
    if (status !== 'ok') {
      reason = `: ${result.reason} (it answered ${result.response?.status})`;
    }
  } catch (error) {
    status = 'error';
    reason = `: ${error.cause?.message ?? error.message}`;
  }
  if (status === 'ok') {
    passed++;
  } else {
    failed++;
  }
  console.log(`${status.padEnd(6)} ${audit.id} ${audit.name}${reason}`);
}
if (passed + failed !== expected) {
  console.log(`error  the suite has ${passed + failed} audits, not ${expected}`);
  failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
