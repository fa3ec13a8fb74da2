// Opens the playground of a running server in a real browser and uses it as a reader would.
//
//   npm ci
//   node playground.mjs http://127.0.0.1:8080
//
// CHROMIUM is the browser to start (default /usr/bin/chromium); none is downloaded.
// SCREENSHOT, where it is set, is the file for a picture of the page with an answer.
// It ends with 1 when anything fails: an example that does not run, a complaint of the
// browser, or a request to any host but the server's.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { ask, register, signIn } from '../clients/people.mjs';

const [address] = process.argv.slice(2);
if (!URL.canParse(address ?? '')) {
  console.error('usage: node playground.mjs http://HOST:PORT');
  process.exit(2);
}
const server = new URL(address);

// How long one step may take. A step takes well under a second; a machine that also
// compiles takes longer.
const patience = 20_000;

/** What the browser complained of and whom else it asked, on every page of this test. */
const complaints = [];
const foreign = [];

let browser;
let page; // a first-time visitor's, in a window of a desktop
let settings; // what the server told that page

before(
  async () => {
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        // Whatever gets past the routes below finds no other host either.
        `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${server.hostname}`,
      ],
    });
    page = await visit({ viewport: { width: 1280, height: 800 } });
    settings = JSON.parse(await page.locator('#settings').textContent());
  },
  { timeout: 3 * patience },
);

after(() => browser?.close());

const check = (promise, body) => test(promise, { timeout: 6 * patience }, body);

/** Opens the playground as a browser that was never there, and waits for its editor. */
async function visit(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(patience);
  await context.route('**/*', (route) => {
    const url = new URL(route.request().url());
    return url.origin === server.origin ? route.continue() : route.abort();
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.effectiveDirective} refuses ${event.blockedURI} in ${event.sourceFile}`);
    });
  });
  const opened = await context.newPage();
  opened.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== server.origin && !['data:', 'blob:'].includes(url.protocol)) foreign.push(request.url());
  });
  opened.on('websocket', (socket) => {
    if (new URL(socket.url()).host !== server.host) foreign.push(socket.url());
  });
  opened.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${message.text()} (${message.location().url})`);
  });
  opened.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));

  const answer = await opened.goto(server.href);
  assert.equal(answer.status(), 200, `${server.href} answers ${answer.status()}`);
  assert.match(answer.headers()['content-type'], /^text\/html/, 'what / answers to a browser is no page');
  await opened.locator('.graphiql-query-editor .view-line').first().waitFor();
  return opened;
}

/** The whole text of an editor; the document itself has only the lines in view. */
const textOf = (on, file) =>
  on.evaluate((name) => {
    const model = globalThis.__MONACO?.editor.getModels().find(({ uri }) => uri.path.endsWith(name));
    if (!model) throw new Error(`GraphiQL has no editor for ${name}`);
    return model.getValue();
  }, file);

/** Waits until an editor's text passes, and returns it. */
async function textWhere(on, file, passes, failure) {
  const end = Date.now() + patience;
  let text;
  do {
    text = await textOf(on, file);
    if (passes(text)) return text;
    await on.waitForTimeout(50);
  } while (Date.now() < end);
  assert.fail(`${failure}; it shows:\n${text}`);
}

/**
 * Waits until GraphiQL has read a query that was put into its editor, which it does a tenth
 * of a second later: run before that, it would name the operation of the query before.
 */
const readBy = (on, query) =>
  on.waitForFunction((text) => localStorage.getItem('graphiql:query') === text, query);

/** Runs what the open tab has, and returns the answer that is shown. */
async function run(on) {
  await on.getByRole('button', { name: /^Execute query/ }).click();
  const isJSON = (text) => {
    try {
      return JSON.parse(text) !== null;
    } catch {
      return false;
    }
  };
  const text = await textWhere(on, 'response.json', isJSON, 'no answer is shown');
  await on.locator('.result-window .view-line').filter({ hasText: '"' }).first().waitFor();
  return JSON.parse(text);
}

/** Whether an example is a subscription. */
const subscribes = ({ query }) => /^subscription/m.test(query);

/** Fails unless an answer has data in every field that was asked, and no errors. */
function assertAnswers(answer, what) {
  assert.equal(answer.errors, undefined, `${what} is answered with errors:\n${JSON.stringify(answer.errors, null, 2)}`);
  assert.ok(answer.data, `${what} is answered without data:\n${JSON.stringify(answer)}`);
  for (const [field, value] of Object.entries(answer.data)) {
    if (field === 'viewer') continue; // nobody has signed in
    assert.notEqual(value, null, `${what}: ${field} is null, so the example shows nothing`);
    const list = value.nodes ?? value.edges;
    if (list) assert.notEqual(list.length, 0, `${what}: ${field} is empty, so the example shows nothing`);
  }
}

check('the documentation lists what the schema has', async () => {
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
  const docs = page.locator('.graphiql-doc-explorer');
  await docs.getByText('Root Types').waitFor();
  await docs.getByRole('link', { name: 'Query', exact: true }).first().click();
  await docs.getByText('articles', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Hide Documentation Explorer' }).click();
});

check('every example is open in a tab of its own', async () => {
  const titles = await page.locator('.graphiql-tab-button').allTextContents();
  assert.notEqual(titles.length, 0);
  assert.deepEqual(
    titles,
    settings.tabs.map(({ title }) => title),
  );
});

check('every example answers with data and without errors', async (t) => {
  for (const [i, example] of settings.tabs.entries()) {
    if (subscribes(example)) continue; // which answers when something happens: see below
    await t.test(example.title, async () => {
      await page.locator('.graphiql-tab-button').nth(i).click();
      const is = (wanted) => (text) => text === wanted;
      await textWhere(page, 'operation.graphql', is(example.query), 'the tab has another query');
      await textWhere(page, 'variables.json', is(example.variables ?? ''), 'the tab has other variables');
      await readBy(page, example.query);
      assertAnswers(await run(page), example.title);
    });
  }
  await page.locator('.graphiql-tab-button').first().click();
  await readBy(page, settings.tabs[0].query);
  assertAnswers(await run(page), settings.tabs[0].title);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
});

check('a subscription tells what happens, again and again, until it is stopped', async () => {
  const api = new URL('/graphql', server).href;
  const reader = { email: `reader-${process.pid}@example.org`, password: 'four plain words here' };
  await register(api, reader);
  const token = await signIn(api, reader);
  const { article } = await ask(api, '{ article(slug: "the-painted-porch") { id } }');
  const say = (bodyMarkdown) =>
    ask(api, 'mutation($in: CommentAddInput!) { commentAdd(input: $in) { userErrors { message } } }', { in: { articleId: article.id, bodyMarkdown } }, token);

  await page.locator('.graphiql-tab-button').nth(settings.tabs.findIndex(subscribes)).click();
  const query = `subscription { commentAdded(articleId: "${article.id}") { id comment { bodyHtml } } }`;
  await page.evaluate((text) => {
    const model = globalThis.__MONACO.editor.getModels().find(({ uri }) => uri.path.endsWith('operation.graphql'));
    model.setValue(text);
  }, query);
  await readBy(page, query);
  const socket = page.waitForEvent('websocket');
  await page.getByRole('button', { name: /^Execute query/ }).click();
  const opened = await socket;
  await opened.waitForEvent('framereceived'); // connection_ack
  for (const words of ['Well said', 'Said again']) {
    let shown = false;
    const told = textWhere(page, 'response.json', (text) => text.includes(words), 'no event is shown').then(() => (shown = true));
    // The subscription stands soon after it was sent.
    for (let i = 0; i < 2 && !shown; i++) {
      await say(words);
      await Promise.race([told, page.waitForTimeout(2_000)]);
    }
    await told;
  }
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT.replace(/(\.\w+)?$/, '-live$1') });
  await page.getByRole('button', { name: /^Stop query/ }).click();
  await page.getByRole('button', { name: /^Execute query/ }).waitFor();
  await page.locator('.graphiql-tab-button').first().click();
  await readBy(page, settings.tabs[0].query);
});

check('a header of the headers editor is sent', async () => {
  await page.getByRole('button', { name: 'Headers', exact: true }).click();
  const editor = page.locator('.graphiql-editor-tool .graphiql-editor:not(.hidden) .monaco-editor');
  await editor.click();
  await page.keyboard.insertText('{"X-Playground": "seen"}');
  await textWhere(page, 'request-headers.json', (text) => text.includes('seen'), 'the header was not typed');
  const sent = page.waitForRequest((request) => request.method() === 'POST');
  const answer = await run(page);
  assert.equal((await sent).headers()['x-playground'], 'seen');
  assertAnswers(answer, settings.tabs[0].title);
  await page.getByRole('button', { name: 'Variables', exact: true }).click();
});

check('an example can be had again', async () => {
  await page.getByRole('button', { name: 'Show Examples' }).click();
  const listed = page.locator('.stoa-examples button');
  assert.deepEqual(
    await listed.locator('b').allTextContents(),
    settings.tabs.map(({ title }) => title),
  );
  const tabs = await page.locator('.graphiql-tab').count();
  const example = settings.tabs.at(-1);
  await listed.last().click();
  await page.locator('.graphiql-tab').nth(tabs).getByText(example.title).waitFor();
  await readBy(page, example.query);
  assertAnswers(await run(page), example.title);
});

check('the history has what was run', async () => {
  await page.getByRole('button', { name: 'Show History' }).click();
  await page.locator('.graphiql-history-item').getByText(settings.tabs[0].title, { exact: true }).first().waitFor();
});

check('the workers know the schema, and prettify', async () => {
  const write = (file, text) =>
    page.evaluate(
      ([name, value]) =>
        globalThis.__MONACO.editor
          .getModels()
          .find(({ uri }) => uri.path.endsWith(name))
          .setValue(value),
      [file, text],
    );
  await write('operation.graphql', 'query Wrong { noSuchField }');
  await page.waitForFunction(() =>
    globalThis.__MONACO.editor.getModelMarkers({}).some(({ message }) => message.includes('noSuchField')),
  );
  await write('operation.graphql', 'query  Right{__typename}');
  await write('variables.json', '{"a":{"b":1}}');
  await page.getByRole('button', { name: /^Prettify/ }).click();
  for (const [file, want] of Object.entries({
    'operation.graphql': 'query Right {\n  __typename\n}',
    'variables.json': '{\n  "a": {\n    "b": 1\n  }\n}',
  })) {
    await textWhere(page, file, (text) => text.trim() === want, `${file} was not prettified`);
  }
});

check('a phone shows the query and the answer below it', async () => {
  const viewport = { width: 390, height: 844 };
  const phone = await visit({ viewport, hasTouch: true, colorScheme: 'dark' });
  assertAnswers(await run(phone), settings.tabs[0].title);
  const query = await phone.locator('.graphiql-query-editor').boundingBox();
  const answer = await phone.locator('.result-window').boundingBox();
  for (const [what, box] of Object.entries({ query, answer })) {
    assert.ok(box.width > viewport.width * 0.8, `the ${what} is ${box.width} wide`);
    assert.ok(box.height > viewport.height * 0.25, `the ${what} is ${box.height} high`);
    assert.ok(box.y >= 0 && box.y + box.height <= viewport.height, `the ${what} leaves the window`);
  }
  assert.ok(query.y + query.height <= answer.y, 'the answer lies over the query');
  const width = await phone.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= viewport.width, `the page is ${width} wide`);
  await phone.getByRole('button', { name: 'Show Examples' }).tap();
  await phone.locator('.stoa-examples button').last().tap();
  await readBy(phone, settings.tabs.at(-1).query);
  assertAnswers(await run(phone), settings.tabs.at(-1).title);
  await phone.context().close();
});

check('the policy refuses inline scripts and other hosts', async () => {
  const context = await browser.newContext();
  const stranger = await context.newPage(); // its complaints are what this test provokes
  await stranger.goto(server.href);
  const refused = await stranger.evaluate(async () => {
    const directives = new Set();
    document.addEventListener('securitypolicyviolation', (event) => directives.add(event.effectiveDirective));
    const script = document.createElement('script');
    script.textContent = 'globalThis.ranInline = true';
    document.body.append(script);
    await fetch('https://elsewhere.example/').catch(() => {});
    new Image().src = 'https://elsewhere.example/image.png';
    await new Promise((resolve) => setTimeout(resolve, 200));
    return { directives: [...directives].sort(), ran: globalThis.ranInline === true };
  });
  assert.deepEqual(refused, { directives: ['connect-src', 'img-src', 'script-src-elem'], ran: false });
  await context.close();
});

check('the browser complained of nothing and asked no other host', () => {
  assert.deepEqual(foreign, [], `requests to other hosts:\n${foreign.join('\n')}`);
  assert.deepEqual(complaints, [], `complaints:\n${complaints.join('\n')}`);
});
