/**
 * Sources that lie, dawdle or send us elsewhere, all at one server: each is refused with its reason, what serves goes on, and
 * no source waits for another. Rows F11 and F18 to F21 of the list of faults, on real processes.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { externalWeight, identity, writeRepository } from '../fixtures.js';
import { modelPackOf, packLayer, tarOf } from '../servers/oci-artifacts.js';
import { startFakeRegistry } from '../servers/oci-registry.js';
import { freshDirectory, startServer } from './server.js';
import {
  answeredBy,
  auditEntries,
  eventually,
  isAnsweredBy,
  isInState,
  metric,
  modelOf,
  sha256,
  shown,
  stateFor,
} from './versions-fixture.js';

const token = 'a-token-that-only-the-index-may-see';

type Respond = (request: IncomingMessage, response: ServerResponse) => void;

/** An index of one model, whose files are answered as the test says. */
async function index(context: TestContext, model: string) {
  const files = new Map<string, Respond>();
  const asked: { readonly path: string; readonly authorization: string | undefined }[] = [];
  let document = { schema: 1, serial: 0, models: {} };
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push({ path, authorization: request.headers.authorization });
    const respond = files.get(path);
    if (path === '/index.json') response.end(JSON.stringify(document));
    else if (respond !== undefined) respond(request, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    files,
    /** Offers this one version, whose file is answered by `respond`. */
    offer: (version: number, respond: Respond) => {
      const bytes = modelOf(version);
      const file = { path: 'model.onnx', size: bytes.length, sha256: sha256(bytes) };
      files.set(`/${model}/${version}/model.onnx`, respond);
      const versions = { [version]: { files: [file] } };
      const models = { [model]: { aliases: { champion: String(version) }, versions } };
      document = { schema: 1, serial: document.serial + 1, models };
    },
  };
}

const whole =
  (version: number): Respond =>
  (_, response) =>
    void response.end(modelOf(version));

const elsewhere =
  (url: string): Respond =>
  (_, response) =>
    void response.writeHead(302, { location: url }).end();

/** A byte a second, as long as anybody listens. */
const dawdling: Respond = (request, response) => {
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  const timer = setInterval(() => response.write(Buffer.of(8)), 1000);
  request.once('close', () => clearInterval(timer));
  response.once('close', () => clearInterval(timer));
};

test('hostile sources are refused one by one, and what serves goes on', { timeout: 120_000 }, async (context) => {
  const state = stateFor(context);
  const folder = writeRepository(freshDirectory(context), { local: { versions: { 1: identity() } } });
  const [web, other, slow] = [await index(context, 'web'), await index(context, 'other'), await index(context, 'slow')];
  const oci = await startFakeRegistry();
  context.after(() => oci.close());
  web.offer(1, whole(1));
  oci.put('models/packed', 'prod', modelPackOf([packLayer('weight.v1.raw', 'model.onnx', modelOf(1))]));
  const server = await startServer({
    models: folder,
    processes: 1,
    env: { ...state.env, WEB_TOKEN: token },
    flags: state.config(`
registry:
  sources:
    - { name: local, type: directory, path: ${folder}, poll_ms: 300 }
    - { name: web, type: http, url: "http://127.0.0.1:${web.port}/index.json", poll_ms: 300, auth: { token_env: WEB_TOKEN }, allow_hosts: ["127.0.0.1:${other.port}"] }
    - { name: slow, type: http, url: "http://127.0.0.1:${slow.port}/index.json", poll_ms: 300 }
    - { name: oci, type: oci, url: "oci://127.0.0.1:${oci.port}/models", poll_ms: 300, models: { packed: { tag: prod } } }
    - { name: metadata, type: http, url: "http://169.254.169.254/index.json", allow_http: true, poll_ms: 300 }
    - { name: mapped, type: http, url: "http://[::ffff:127.0.0.1]:${web.port}/index.json", allow_http: true, poll_ms: 300 }
    - { name: short, type: http, url: "http://0x7f.1:${web.port}/index.json", poll_ms: 300 }
`),
  });
  context.after(() => server.kill('SIGKILL'));
  const events = (kind: string) => metric(server, `sluice_security_events_total{kind="${kind}"}`);
  assert.equal(await answeredBy(server, 'web'), '1');
  assert.equal(await answeredBy(server, 'packed'), '1');

  await context.test('metadata and disguised addresses are never connected to (F20)', async () => {
    for (const source of ['metadata', 'mapped']) {
      const { reason } = await server.line((line) => line.msg === 'source.down' && line.source === source);
      assert.match(String(reason), /addresses only, which this source may not connect to/);
    }
    assert.ok((await events('address')) >= 2);
    assert.ok((await metric(server, 'sluice_outbound_refused_total{reason="address"}')) >= 2);
    // What a URL calls 0x7f.1 is 127.0.0.1 before anybody looks, and that one the configuration has named.
    assert.equal(server.log.filter((line) => line.msg === 'source.down' && line.source === 'short').length, 0);
  });

  await context.test(
    'a file that leads to another host is followed only where allowed, without the token (F21)',
    async () => {
      other.files.set('/file', whole(2));
      web.offer(2, elsewhere(`http://127.0.0.1:${other.port}/file`));
      await isAnsweredBy(server, 'web', '2');
      assert.equal(web.asked.find(({ path }) => path === '/index.json')!.authorization, `Bearer ${token}`);
      const followed = other.asked.filter(({ path }) => path === '/file');
      assert.ok(followed.length > 0);
      assert.deepEqual(new Set(followed.map(({ authorization }) => authorization)), new Set([undefined]));
    },
  );

  await context.test('a file that leads to a private address is refused at that hop (F20)', async () => {
    const before = await events('address');
    web.offer(3, elsewhere('http://169.254.169.254/latest/meta-data'));
    assert.match((await isInState(server, 'web@3', 'refused')).reason, /169\.254\.169\.254/);
    assert.equal(await events('address'), before + 1);
    web.offer(4, elsewhere(`http://127.0.0.1:${slow.port}/file`));
    assert.match((await isInState(server, 'web@4', 'refused')).reason, /may not connect/);
    assert.equal(await answeredBy(server, 'web'), '2');
    assert.equal(slow.asked.filter(({ path }) => path === '/file').length, 0);
  });

  await context.test('an archive that climbs, or that is a bomb, leaves nothing behind (F18)', async () => {
    const zeros = gzipSync(tarOf({ 'model.onnx': '\0'.repeat(64 << 20) }));
    const hostile = [
      { layer: packLayer('weight.v1.tar', 'model.tar', tarOf({ '../../evil.onnx': 'evil' })), reason: /evil\.onnx/ },
      {
        layer: packLayer('weight.v1.tar', 'model.tar', tarOf({ [join(tmpdir(), 'evil.onnx')]: 'evil' })),
        reason: /evil\.onnx/,
      },
      {
        layer: packLayer('weight.v1.tar+gzip', 'model.tar', zeros),
        reason: /unpack to more than .* at most 100 for one/,
      },
    ];
    for (const [position, { layer, reason }] of hostile.entries()) {
      oci.put('models/packed', 'prod', modelPackOf([layer]));
      const refused = await isInState(server, `packed@${position + 2}`, 'refused');
      assert.match(refused.reason, reason);
    }
    assert.equal(await answeredBy(server, 'packed'), '1');
    assert.deepEqual(readdirSync(join(state.store, 'incoming'), { recursive: true }), ['trash']);
    for (const place of [state.directory, state.store, tmpdir()]) assert.ok(!existsSync(join(place, 'evil.onnx')));
  });

  await context.test('weights outside their version are refused before the runtime sees the model (F19)', async () => {
    const ways = ['../1/model.onnx', '/etc/hostname', 'a/../../1/model.onnx'];
    for (const [position, location] of ways.entries()) {
      const version = position + 2;
      writeRepository(folder, { local: { versions: { [version]: externalWeight(location) } } });
      assert.match((await isInState(server, `local@${version}`, 'refused')).reason, /path inside the version/);
    }
    assert.equal(await answeredBy(server, 'local'), '1');
  });

  await context.test('a source that gives a byte a second delays no other (F11)', async () => {
    slow.offer(1, dawdling);
    await eventually(async () => assert.equal((await shown(server, 'slow', '1')).state, 'pulling'));
    web.offer(5, whole(5));
    await isAnsweredBy(server, 'web', '5');
    assert.equal((await shown(server, 'slow', '1')).state, 'pulling');
  });

  const kinds = new Set((await auditEntries(server, 'security')).map(({ detail }) => detail.kind));
  for (const kind of ['address', 'traversal', 'archive'])
    assert.ok(kinds.has(kind), `${[...kinds].join(', ')} has no ${kind}`);
  assert.equal((await server.stop()).code, 0);
});
