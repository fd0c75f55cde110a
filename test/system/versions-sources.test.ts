/** Versions from servers that others have written, end to end: an OCI registry with signatures, nginx, the S3 API of Swift. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { signed } from '../../src/registry/sources/s3-sign.js';
import { dockerRegistrySkip, startDockerRegistry } from '../servers/docker-registry.js';
import { nginxSkip, startNginx } from '../servers/nginx.js';
import { orasOf, writeLayout } from '../servers/oci-artifacts.js';
import { startSwift, swiftSkip, swiftUser } from '../servers/swift.js';
import { detached, pairOf } from '../signing-fixture.js';
import { startServer } from './server.js';
import {
  answeredBy,
  auditEntries,
  isAnsweredBy,
  isInState,
  metric,
  modelOf,
  sha256,
  sluice,
  stateFor,
  wholeVersion,
} from './versions-fixture.js';

const run = promisify(execFile);

test('OCI: what is not signed by a trusted key is refused, what is signed answers, and a moved tag is followed', {
  skip: dockerRegistrySkip,
  timeout: 120_000,
}, async (context) => {
  const state = stateFor(context);
  const registry = await startDockerRegistry();
  context.after(() => registry.stop());
  const [trusted, foreign] = [pairOf('release.pem', 'ed25519'), pairOf('other.pem', 'ed25519')];
  const trust = join(state.directory, 'keys');
  mkdirSync(trust);
  writeFileSync(join(trust, trusted.by), trusted.pem);
  const push = async (number: number, pair?: typeof trusted) => {
    const files = wholeVersion(number);
    const manifest = String(files['manifest.json']);
    const signature =
      pair === undefined ? {} : { 'manifest.json.sig': detached('manifest.json.sig', manifest, pair).content };
    const layout = join(state.directory, `layout-${number}-${pair?.by}`);
    mkdirSync(layout);
    writeLayout(
      layout,
      'it',
      orasOf({ ...files, ...signature } as Record<string, Buffer>, { 'sluice.version': String(number) }),
    );
    const fixed = ['--insecure-policy', 'copy', '--quiet', '--preserve-digests', '--dest-tls-verify=false'];
    await run('/usr/bin/skopeo', [...fixed, `oci:${layout}:it`, `docker://127.0.0.1:${registry.port}/models/m:prod`]);
  };
  await push(1, trusted);
  const server = await startServer({
    models: state.directory,
    env: state.env,
    flags: state.config(`
registry:
  trust: ${trust}
  sources:
    - { name: oci, type: oci, url: "oci://127.0.0.1:${registry.port}/models", poll_ms: 300, models: { m: { tag: prod } }, signature: require }
`),
  });
  context.after(() => server.kill('SIGKILL'));
  assert.equal(await answeredBy(server, 'm'), '1');
  assert.match((await sluice('models', 'show', 'm', '--url', server.admin)).stdout, /signed release/);
  await push(2);
  assert.match((await isInState(server, 'm@2', 'refused')).reason, /sign/);
  await push(3, foreign);
  assert.match((await isInState(server, 'm@3', 'refused')).reason, /key|trust/);
  assert.equal(await metric(server, 'sluice_security_events_total{kind="signature"}'), 2);
  assert.equal((await auditEntries(server, 'security')).length, 2);
  assert.equal(await answeredBy(server, 'm'), '1');
  await push(4, trusted);
  await isAnsweredBy(server, 'm', '4');
  assert.equal((await server.stop()).code, 0);
});

test('HTTP: a new version in the index answers, and an older index is not believed', {
  skip: nginxSkip,
  timeout: 90_000,
}, async (context) => {
  const state = stateFor(context);
  const nginx = await startNginx();
  context.after(() => nginx.stop());
  const index = (serial: number, versions: readonly number[], flipped = false) => {
    const listed = versions.map((version) => {
      const model = modelOf(version);
      const folder = join(nginx.root, 'm', String(version));
      mkdirSync(folder, { recursive: true });
      const bytes = Buffer.from(model);
      if (flipped && version === versions.at(-1)) bytes[40]! ^= 1;
      writeFileSync(join(folder, 'model.onnx'), bytes);
      return [version, { files: [{ path: 'model.onnx', size: model.length, sha256: sha256(model) }] }];
    });
    const aliases = { champion: String(versions.at(-1)) };
    const document = { schema: 1, serial, models: { m: { aliases, versions: Object.fromEntries(listed) } } };
    writeFileSync(join(nginx.root, 'index.json'), JSON.stringify(document));
  };
  index(1, [1]);
  const server = await startServer({
    models: state.directory,
    processes: 1,
    env: state.env,
    flags: state.config(`
registry:
  sources:
    - { name: web, type: http, url: "http://127.0.0.1:${nginx.port}/index.json", poll_ms: 300 }
`),
  });
  context.after(() => server.kill('SIGKILL'));
  assert.equal(await answeredBy(server, 'm'), '1');
  index(2, [1, 2]);
  await isAnsweredBy(server, 'm', '2');
  index(3, [1, 2, 3], true);
  assert.match((await isInState(server, 'm@3', 'refused')).reason, /sha256/);
  assert.equal(await metric(server, 'sluice_security_events_total{kind="digest_mismatch"}'), 1);
  assert.equal(await answeredBy(server, 'm'), '2');
  index(1, [1]);
  const down = await server.line(({ msg }) => msg === 'source.down');
  assert.match(String(down.reason), /serial/);
  assert.equal(await metric(server, 'sluice_security_events_total{kind="downgrade"}'), 1);
  assert.equal(await answeredBy(server, 'm'), '2');

  const asked = await sluice('models', 'poll', 'web', '--accept-older', '--url', server.admin);
  assert.deepEqual([asked.code, asked.stdout], [0, 'source web is asked now\n'], asked.stderr);
  await isAnsweredBy(server, 'm', '1');
  const [forced] = await auditEntries(server, 'serial.forced');
  assert.deepEqual([forced!.subject, forced!.detail.source], ['source web', 'web']);
  assert.equal((await sluice('models', 'poll', 'nobody', '--url', server.admin)).code, 1);
  assert.equal((await server.stop()).code, 0);
});

test('S3: a version that is put into a bucket answers', { skip: swiftSkip, timeout: 90_000 }, async (context) => {
  const state = stateFor(context);
  const swift = await startSwift();
  context.after(() => swift.stop());
  const put = async (key: string, body: Buffer | string) => {
    const url = new URL(`http://127.0.0.1:${swift.port}/models${key === '' ? '' : `/${key}`}`);
    const headers = signed({
      method: 'PUT',
      url,
      headers: {},
      keys: swiftUser,
      region: 'us-east-1',
      epochMs: Date.now(),
      bodySha256: sha256(body),
    });
    const answer = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(Buffer.from(body)) });
    assert.equal(answer.status, 200, await answer.text());
  };
  const putVersion = async (version: number) => {
    for (const [path, content] of Object.entries(wholeVersion(version))) await put(`m/${version}/${path}`, content);
  };
  await put('', '');
  await putVersion(1);
  const server = await startServer({
    models: state.directory,
    processes: 1,
    env: { ...state.env, KEY_ID: swiftUser.accessKeyId, KEY_SECRET: swiftUser.secretAccessKey },
    flags: state.config(`
registry:
  sources:
    - name: bucket
      type: s3
      url: s3://models
      endpoint: "http://127.0.0.1:${swift.port}"
      poll_ms: 500
      auth: { user_env: KEY_ID, password_env: KEY_SECRET }
`),
  });
  context.after(() => server.kill('SIGKILL'));
  assert.equal(await answeredBy(server, 'm'), '1');
  await putVersion(2);
  await isAnsweredBy(server, 'm', '2');
  assert.equal((await server.stop()).code, 0);
});
