// Uploads a picture as browsers do, by FormData, and fetches it in the width of a phone:
// node upload.mjs http://127.0.0.1:8080/graphql TOKEN PICTURE

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

const [api, token, file] = process.argv.slice(2);

const query = `mutation($input: ImageUploadInput!) {
  imageUpload(input: $input) { image { id url phone: url(width: 300) width height alt } userErrors { message } }
}`;

const form = new FormData();
form.append('operations', JSON.stringify({ query, variables: { input: { file: null, alt: 'A press' } } }));
form.append('map', JSON.stringify({ 0: ['variables.input.file'] }));
form.append('0', new Blob([await readFile(file)], { type: 'image/jpeg' }), 'press.jpg');

const response = await fetch(api, {
  method: 'POST',
  headers: { Authorization: `Bearer ${token}`, 'Apollo-Require-Preflight': 'true' },
  body: form,
});
const answer = await response.json();
assert.equal(answer.errors, undefined, JSON.stringify(answer));
const { image, userErrors } = answer.data.imageUpload;
assert.deepEqual(userErrors, []);
assert.equal(image.alt, 'A press');

const picture = await fetch(new URL(image.phone, api));
assert.equal(picture.status, 200);
assert.equal(picture.headers.get('content-type'), 'image/jpeg');
assert.match(picture.headers.get('cache-control'), /immutable/);
assert.ok((await picture.arrayBuffer()).byteLength > 100);
console.log(JSON.stringify(image));
