// Bundles the playground: node build.mjs OUT. Run by ../vendor.sh, which says how.
//
// OUT gets one gzip file per asset, named by a hash of what is in it; manifest.json, which
// says what the page needs of them, their sizes and hashes, and what they were made from;
// and LICENSES.txt, the notices of every package that is in the bundle.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { build } from 'esbuild';
// zlib's own deflate, in JavaScript: Node's is faster, but gives other bytes on other processors.
import { gzip } from 'pako';

const out = process.argv[2];
if (!out) throw new Error('usage: node build.mjs OUT');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

const result = await build({
  entryPoints: {
    main: 'main.jsx',
    icon: 'icon.svg',
    'editor.worker': 'monaco-editor/esm/vs/editor/editor.worker.js',
    'graphql.worker': 'monaco-graphql/esm/graphql.worker.js',
    'json.worker': 'monaco-editor/esm/vs/language/json/json.worker.js',
  },
  bundle: true,
  splitting: true,
  format: 'esm',
  minify: true,
  charset: 'utf8',
  target: 'es2022',
  jsx: 'automatic',
  loader: { '.svg': 'copy', '.ttf': 'file' },
  define: { 'process.env.NODE_ENV': '"production"' },
  // GraphiQL imports prettier's parsers by old names, which lead to CommonJS: of that, a chunk
  // of its own has a default export only, and GraphiQL finds no parser in it.
  alias: {
    'prettier/parser-babel': 'prettier/plugins/babel',
    'prettier/parser-graphql': 'prettier/plugins/graphql',
  },
  legalComments: 'none', // they are in LICENSES.txt
  outdir: 'out',
  entryNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  publicPath: '/playground/',
  metafile: true,
  write: false,
});

const outputs = result.metafile.outputs;
const entry = (source) => {
  const found = Object.entries(outputs).find(([, o]) => o.entryPoint?.endsWith(source));
  if (!found) throw new Error(`no output for ${source}`);
  return found;
};
const [main, { cssBundle }] = entry('main.jsx');
const [icon] = Object.entries(outputs).find(([, o]) => 'icon.svg' in o.inputs);

// Every stylesheet but the page's own is a second copy of a part of it, made for a chunk
// that a browser never asks a stylesheet of.
const kept = result.outputFiles
  .map(({ path, contents }) => ({ name: basename(path), contents }))
  .filter(({ name }) => extname(name) !== '.css' || name === basename(cssBundle))
  .sort((a, b) => (a.name < b.name ? -1 : 1));

// What the script needs before it can show an editor: what it imports, and what Monaco is
// made of, which it imports once it runs.
const preload = new Set();
const follow = (path) => {
  for (const { path: next, kind, external } of outputs[path].imports) {
    if (external || kind !== 'import-statement' || preload.has(next)) continue;
    preload.add(next);
    follow(next);
  }
};
follow(main);
for (const source of ['monaco-graphql/esm/monaco-editor.js', 'monaco-graphql/esm/lite.js']) {
  const [path] = entry(source);
  preload.add(path);
  follow(path);
}

const files = {};
mkdirSync(out, { recursive: true });
for (const { name, contents } of kept) {
  files[name] = { size: contents.length, sha256: sha256(contents) };
  writeFileSync(join(out, `${name}.gz`), gzip(contents, { level: 9 }));
}

const sources = {};
for (const name of readdirSync('.').sort()) {
  if (name === 'node_modules' || name.startsWith('.')) continue;
  sources[name] = sha256(readFileSync(name));
}

const manifest = {
  script: basename(main),
  style: basename(cssBundle),
  icon: basename(icon),
  preload: [...preload].map((path) => basename(path)).sort(),
  workers: {
    editor: basename(entry('editor.worker.js')[0]),
    graphql: basename(entry('graphql.worker.js')[0]),
    json: basename(entry('json.worker.js')[0]),
  },
  files,
  sources,
};
writeFileSync(join(out, 'manifest.json'), JSON.stringify(manifest, null, 2) + '\n');
writeFileSync(join(out, 'LICENSES.txt'), licences());

/** The notices of every package of which a file is in the bundle. */
function licences() {
  const packages = new Set();
  for (const input of Object.keys(result.metafile.inputs)) {
    const at = input.lastIndexOf('node_modules/');
    if (at < 0) continue;
    const [scope, name] = input.slice(at + 'node_modules/'.length).split('/');
    packages.add(input.slice(0, at) + 'node_modules/' + (scope.startsWith('@') ? `${scope}/${name}` : scope));
  }
  const parts = [...packages].sort().map((folder) => {
    const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    if (!about.license) throw new Error(`${folder} names no licence`);
    const texts = readdirSync(folder)
      .filter((name) => /^(licen[cs]e|notice|thirdpartynotices)/i.test(name))
      .sort()
      .map((name) => readFileSync(join(folder, name), 'utf8').replaceAll('\r\n', '\n').trim());
    if (texts.length === 0) {
      const author = about.author?.name ?? about.author ?? about.contributors?.[0]?.name ?? about.contributors?.[0];
      texts.push(`No licence file in the package; it declares ${about.license}.` + (author ? `\nAuthor: ${author}` : ''));
    }
    return [`${about.name} ${about.version} (${about.license})`, ...texts].join('\n\n');
  });
  const rule = '\n\n' + '-'.repeat(80) + '\n\n';
  return ['The playground is bundled from these packages. Their notices follow.', ...parts].join(rule) + '\n';
}
