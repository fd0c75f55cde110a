/** The steps of the Dockerfile, run without a container: what the image holds serves as an unknown user from a read-only tree. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Answer, post } from './load.js';
import { freshDirectory, startServer } from './server.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

test('the content of the image serves as uid 65532 from a tree that nobody may write', async (context) => {
  let image = '';
  // Hooks run in this order: writable again first, then removed.
  context.after(() => execFileSync('chmod', ['-R', 'u+w', image]));
  image = join(freshDirectory(context), 'image');
  const home = freshDirectory(context);
  execFileSync('bash', ['scripts/image.sh', image], { cwd: root, stdio: 'pipe' });
  chmodSync(join(image, '..'), 0o755);
  execFileSync('chmod', ['-R', 'a+rX,a-w', image]);
  assert.ok(!existsSync(join(image, 'node_modules/typescript')), 'no development packages');
  assert.ok(!existsSync(join(image, 'node_modules/onnxruntime-node/bin/napi-v6/win32')), 'no foreign binaries');
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) context.diagnostic('not root: run as the present user');
  const server = await startServer({
    models: join(image, 'models'),
    cli: join(image, 'dist/src/cli.js'),
    env: { HOME: home, NODE_ENV: 'production', MALLOC_ARENA_MAX: '2' },
    ...(isRoot ? { uid: 65532 } : {}),
  });
  context.after(() => server.kill('SIGKILL'));
  const body = readFileSync(join(root, 'models/examples/digit-7.json'), 'utf8');
  const answer = (await post(`${server.http}/v2/models/digits/infer`, body)) as Answer;
  assert.equal(answer.status, 200);
  assert.equal(JSON.parse(answer.text).outputs[0].data[0], 7);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('the Dockerfile runs the same script, as nobody, with telemetry off', () => {
  const text = readFileSync(join(root, 'Dockerfile'), 'utf8');
  assert.match(text, /scripts\/image\.sh \/image/);
  assert.match(text, /^USER 65532/m);
  assert.match(text, /ORT_DISABLE_TELEMETRY=1/);
  assert.match(text, /^HEALTHCHECK/m);
  assert.match(text, /^FROM node:20-trixie-slim$/m);
});
