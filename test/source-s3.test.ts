/** The S3 source (registry.md §4.5) against OpenStack Swift, and against a strict fake for what Swift cannot show. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createHttp, type HttpOptions } from '../src/registry/net/client.js';
import type { Refusal } from '../src/registry/refusal.js';
import type { FileStream, Source } from '../src/registry/source.js';
import { createS3Source, type S3Options } from '../src/registry/sources/s3.js';
import { bucketUrl } from '../src/registry/sources/s3-bucket.js';
import { signed } from '../src/registry/sources/s3-sign.js';
import { encoded } from '../src/registry/sources/url-encoding.js';
import { type BrokenProxy, startBrokenProxy } from './servers/broken-proxy.js';
import { type FakeS3, fakeKeys, refuse, startFakeS3 } from './servers/s3-fake.js';
import { type Swift, startSwift, swiftPageKeys, swiftSkip, swiftUser } from './servers/swift.js';

const signal = new AbortController().signal;
const open: Source[] = [];
after(() => Promise.all(open.map((source) => source.close())));

let nowMs = 0;

function sourceAt(
  given: Partial<S3Options> & Pick<S3Options, 'url' | 'endpoint'>,
  net: Partial<HttpOptions> = {},
): Source {
  const place = { region: 'us-east-1', forcePathStyle: true, ...given };
  const http = createHttp({
    origin: bucketUrl(place),
    allowHttp: false,
    allowPrivate: [],
    allowHosts: [],
    now: () => performance.now(),
    epochNow: Date.now,
    random: () => 0,
    sleep: async () => {},
    ...net,
  });
  let serial: number | undefined;
  const source = createS3Source({
    name: 'bucket',
    ...place,
    http,
    keys: async () => swiftUser,
    lastSerial: {
      get: () => serial,
      set: (next) => {
        serial = next;
      },
    },
    settleMs: 10_000,
    now: () => nowMs,
    epochNow: Date.now,
    ...given,
  });
  open.push(source);
  return source;
}

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

async function read({ chunks }: FileStream): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

const first = { offset: 0, etag: undefined };
const model = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7) % 251));
const oddPath = "a dir/w & <ä> (1)'!*+~%.bin";

const manifestOf = (files: Record<string, Buffer>) =>
  JSON.stringify({
    schema: 1,
    signature: { inputs: [], outputs: [] },
    files: Object.entries(files).map(([path, bytes]) => ({ path, size: bytes.length, sha256: sha256(bytes) })),
  });

describe('a bucket of Swift', { skip: swiftSkip }, () => {
  let swift: Swift;
  let proxy: BrokenProxy;
  let endpoint: URL;

  before(async () => {
    swift = await startSwift();
    proxy = await startBrokenProxy(swift.port);
    endpoint = new URL(`http://127.0.0.1:${swift.port}`);
    await send('PUT', '', '');
  });
  after(async () => {
    proxy?.close();
    await swift?.stop();
  });

  async function send(method: 'PUT' | 'DELETE', key: string, body: string | Buffer): Promise<void> {
    const url = new URL(`/models/${key.split('/').map(encoded).join('/')}`, endpoint);
    const request = { method, url, headers: {}, region: 'us-east-1', keys: swiftUser, epochMs: Date.now() };
    const headers = signed({ ...request, bodySha256: sha256(body) });
    const answer = await fetch(url, { method, headers, body: method === 'PUT' ? body : undefined });
    assert.ok(answer.ok, `${method} ${key}: ${answer.status} ${await answer.text()}`);
  }

  const put = (key: string, body: string | Buffer) => send('PUT', key, body);
  const at = (prefix: string, given: Partial<S3Options> = {}) =>
    sourceAt({ url: new URL(`s3://models/${prefix}`), endpoint, ...given });

  test('as a tree is listed over several pages, settles, is resolved and read', async () => {
    nowMs = 0;
    await put('tree/fraud/config.pbtxt', 'name: "fraud"');
    await put('tree/fraud/labels.txt', 'legit\nfraud\n');
    await put(`tree/fraud/7/${oddPath}`, 'odd');
    for (const version of [7, 8, 9, 10]) await put(`tree/fraud/${version}/model.onnx`, model);
    const source = at('tree');
    const listing = await source.list(signal);
    const [{ name, versions, aliases }] = listing!.models as [(typeof listing & object)['models'][0]];
    assert.ok(swiftPageKeys < 7);
    assert.deepEqual([name, aliases, versions.map(({ version }) => version)], ['fraud', {}, ['7', '8', '9', '10']]);
    assert.ok(versions.every(({ waiting, bytes }) => waiting !== undefined && bytes === model.length));
    assert.equal(await source.list(signal), undefined);
    nowMs = 10_000;
    assert.equal((await source.list(signal))!.models[0]!.versions[0]!.waiting, undefined);
    assert.equal(await source.list(signal), undefined);
    const artifact = await source.resolve('fraud', '7', signal);
    assert.equal(artifact.revision, versions[0]!.revision);
    assert.deepEqual(artifact.config, {
      name: 'config.pbtxt',
      text: 'name: "fraud"',
      labels: { 'labels.txt': 'legit\nfraud\n' },
    });
    assert.deepEqual(artifact.files.map(({ path, bytes }) => [path, bytes]).sort(), [
      [oddPath, 3],
      ['model.onnx', model.length],
    ]);
    for (const file of artifact.files) {
      const bytes = await read(await source.open(file, first, signal));
      assert.deepEqual(bytes, file.path === 'model.onnx' ? model : Buffer.from('odd'));
    }
  });

  test('a version with a manifest does not wait, and is resolved when all of it is there', async () => {
    const weights = Buffer.from('weights');
    await put('listed/fraud/1/manifest.json', manifestOf({ 'model.onnx': model, 'weights.bin': weights }));
    await put('listed/fraud/1/manifest.json.sig', '{}');
    await put('listed/fraud/1/model.onnx', model);
    const source = at('listed');
    assert.equal((await source.list(signal))!.models[0]!.versions[0]!.waiting, undefined);
    await assert.rejects(source.resolve('fraud', '1', signal), {
      code: 'UNAVAILABLE',
      message: /'weights\.bin' has no of 7 bytes that manifest\.json lists/,
    });
    await put('listed/fraud/1/weights.bin', 'weig');
    await source.list(signal);
    await assert.rejects(source.resolve('fraud', '1', signal), { code: 'UNAVAILABLE', message: /has 4 of 7/ });
    await put('listed/fraud/1/weights.bin', weights);
    await source.list(signal);
    const { files, signatures } = await source.resolve('fraud', '1', signal);
    assert.deepEqual(files.map(({ path, sha256: digest }) => [path, digest]).sort(), [
      ['manifest.json', undefined],
      ['model.onnx', sha256(model)],
      ['weights.bin', sha256(weights)],
    ]);
    assert.deepEqual(
      signatures.map(({ path }) => path),
      ['manifest.json.sig'],
    );
  });

  test('a cut file goes on with the rest, and a changed one is refused on any read', async () => {
    await put('cut/fraud/1/model.onnx', model);
    const source = at('cut', { endpoint: new URL(`http://127.0.0.1:${proxy.port}`) });
    const [file] = (await source.resolve('fraud', '1', signal)).files;
    await source.close();
    proxy.faults.push({ cutAfter: 60_000 });
    const broken = await source.open(file!, first, signal);
    const kept: Uint8Array[] = [];
    await assert.rejects(
      async () => {
        for await (const chunk of broken.chunks) kept.push(chunk);
      },
      { code: 'UNAVAILABLE' },
    );
    const head = Buffer.concat(kept);
    assert.ok(head.length > 0 && head.length < model.length);
    const rest = await source.open(file!, { offset: head.length, etag: broken.etag }, signal);
    assert.deepEqual([rest.offset, rest.bytes, rest.etag], [head.length, model.length, broken.etag]);
    assert.deepEqual(Buffer.concat([head, await read(rest)]), model);
    // What came with another ETag is no beginning of this object.
    const other = await source.open(file!, { offset: 10, etag: '"other"' }, signal);
    assert.equal(other.offset, 0);
    assert.equal((await read(other)).length, model.length);
    await put('cut/fraud/1/model.onnx', 'changed');
    for (const from of [first, { offset: head.length, etag: broken.etag }]) {
      await assert.rejects(source.open(file!, from, signal), {
        code: 'FAILED_PRECONDITION',
        message: /has changed since it was listed/,
      });
    }
    await send('DELETE', 'cut/fraud/1/model.onnx', '');
    await assert.rejects(source.open(file!, first, signal), { code: 'NOT_FOUND' });
  });

  test('an index object is read conditionally and keeps its place', async () => {
    const index = (serial: number, url?: string) =>
      JSON.stringify({
        schema: 1,
        serial,
        models: {
          fraud: {
            aliases: { champion: '7' },
            versions: { 7: { files: [{ path: 'model.onnx', size: model.length, sha256: sha256(model), url }] } },
          },
        },
      });
    await put('indexed/index.json', index(5));
    await put('indexed/fraud/7/model.onnx', model);
    const source = at('indexed');
    const listing = await source.list(signal);
    assert.deepEqual(listing!.models[0]!.aliases, { champion: '7' });
    assert.equal(listing!.models[0]!.versions[0]!.waiting, undefined);
    assert.equal(await source.list(signal), undefined);
    const artifact = await source.resolve('fraud', '7', signal);
    const stream = await source.open(artifact.files[0]!, first, signal);
    assert.equal(sha256(await read(stream)), artifact.files[0]!.sha256);
    const rest = await source.open(artifact.files[0]!, { offset: 1000, etag: stream.etag }, signal);
    assert.deepEqual([rest.offset, (await read(rest)).length], [1000, model.length - 1000]);
    await put('indexed/index.json', index(4));
    await assert.rejects(source.list(signal), { kind: 'downgrade' });
    for (const place of ['https://evil.example/x', '../../other/x', 'http://169.254.169.254/', '//h/x', 'http://[']) {
      await put('indexed/index.json', index(6, place));
      await source.list(signal);
      await assert.rejects(source.resolve('fraud', '7', signal), { kind: 'address' }, place);
    }
    // Without its index the bucket does not turn into a tree, which nothing signs.
    await send('DELETE', 'indexed/index.json', '');
    await assert.rejects(source.list(signal), { code: 'NOT_FOUND' });
  });

  test('a signature of the index is verified with its exact bytes', async () => {
    await put('signed/index.json', '{"schema":1,"serial":1,"models":{}}');
    const seen: string[][] = [];
    const verifyIndex = (index: Uint8Array, signature: Uint8Array | undefined) => {
      seen.push([String(Buffer.from(index)), String(signature && Buffer.from(signature))]);
    };
    await at('signed', { verifyIndex }).list(signal);
    await put('signed/index.json.sig', '{"sig":""}');
    await at('signed', { verifyIndex }).list(signal);
    const text = '{"schema":1,"serial":1,"models":{}}';
    assert.deepEqual(seen, [
      [text, 'undefined'],
      [text, '{"sig":""}'],
    ]);
    await put('unsigned/fraud/1/model.onnx', model);
    await assert.rejects(at('unsigned', { verifyIndex }).list(signal), { code: 'NOT_FOUND' });
    await assert.rejects(at('unsigned', { verifyIndex }).resolve('fraud', '1', signal), { code: 'NOT_FOUND' });
    const lastSerial = { get: () => 7, set: () => {} };
    await assert.rejects(at('unsigned', { lastSerial }).list(signal), { code: 'NOT_FOUND' });
    assert.equal((await at('unsigned').list(signal))!.models.length, 1);
  });

  test('wrong keys, missing rights and a missing bucket are told apart', async () => {
    const wrong = { ...swiftUser, secretAccessKey: 'wrong' };
    await assert.rejects(at('tree', { keys: async () => wrong }).list(signal), {
      code: 'UNAUTHENTICATED',
      message: 'bucket: index: SignatureDoesNotMatch',
    });
    const stranger = { accessKeyId: 'test:nobody', secretAccessKey: 'x' };
    await assert.rejects(at('tree', { keys: async () => stranger }).list(signal), { code: 'UNAUTHENTICATED' });
    const reader = { accessKeyId: 'test:reader', secretAccessKey: 'reading' };
    await assert.rejects(at('tree', { keys: async () => reader }).list(signal), { code: 'PERMISSION_DENIED' });
    const nowhere = sourceAt({ url: new URL('s3://nowhere/x'), endpoint });
    await assert.rejects(nowhere.list(signal), { code: 'NOT_FOUND' });
    const late = at('tree', { epochNow: () => Date.now() - 3_600_000 });
    await assert.rejects(late.list(signal), { code: 'UNAVAILABLE', message: /clocks/ });
  });
});

describe('a strict S3', () => {
  let byPath: FakeS3;
  let byHost: FakeS3;

  before(async () => {
    byPath = await startFakeS3('models', 'path');
    byHost = await startFakeS3('models', 'host');
  });
  after(() => {
    byPath.close();
    byHost.close();
  });

  const at = (fake: FakeS3, given: Partial<S3Options> = {}) => {
    fake.asked.length = 0;
    fake.intercept = () => false;
    return sourceAt({
      url: new URL('s3://models/m'),
      endpoint: new URL(`http://127.0.0.1:${fake.port}`),
      region: 'eu-test-1',
      keys: async () => fakeKeys,
      ...given,
    });
  };

  test('is asked at its virtual host, with a session token, in pages', async () => {
    byHost.pageKeys = 2;
    for (const path of ['1/model.onnx', `1/${oddPath}`, '2/model.onnx', 'picture-beside.png']) {
      byHost.objects.set(`m/fraud/${path}`, { bytes: model });
    }
    byHost.objects.set('m/fraud/config.json', { bytes: Buffer.from('{}') });
    const host = { endpoint: new URL(`http://localhost:${byHost.port}`), forcePathStyle: false };
    const source = sourceAt(
      { url: new URL('s3://models/m'), region: 'eu-test-1', keys: async () => fakeKeys, ...host },
      { resolve: async () => ['127.0.0.1'] },
    );
    assert.equal((await source.list(signal))!.models[0]!.versions.length, 2);
    const { files, config } = await source.resolve('fraud', '1', signal);
    assert.deepEqual(
      [config!.name, config!.text, Object.keys(config!.labels)],
      ['config.json', '{}', ['picture-beside.png']],
    );
    const odd = files.find(({ path }) => path === oddPath);
    assert.equal((await read(await source.open(odd!, first, signal))).length, model.length);
  });

  test('gives the digests that were stated at the upload, except those of parts', async () => {
    byPath.objects.clear();
    const digest = createHash('sha256').update(model).digest();
    byPath.objects.set('m/fraud/1/model.onnx', { bytes: model, sha256: digest.toString('base64') });
    byPath.objects.set('m/fraud/1/parts.bin', { bytes: model, sha256: `${digest.toString('base64')}-2` });
    byPath.objects.set('m/fraud/1/none.bin', { bytes: model });
    const { files } = await at(byPath).resolve('fraud', '1', signal);
    assert.deepEqual(Object.fromEntries(files.map(({ path, sha256: stated }) => [path, stated])), {
      'model.onnx': digest.toString('hex'),
      'parts.bin': undefined,
      'none.bin': undefined,
    });
  });

  test('a key that could not be a path in a version refuses its version', async () => {
    byPath.objects.clear();
    byPath.objects.set('m/fraud/1/model.onnx', { bytes: model });
    byPath.objects.set('m/fraud/1/../../../../etc/passwd', { bytes: model });
    byPath.objects.set('m/fraud/2/model.onnx', { bytes: model });
    const source = at(byPath);
    assert.equal((await source.list(signal))!.models[0]!.versions.length, 2);
    await assert.rejects(source.resolve('fraud', '1', signal), { kind: 'traversal' });
    assert.equal((await source.resolve('fraud', '2', signal)).files.length, 1);
    await assert.rejects(source.resolve('fraud', '3', signal), { code: 'NOT_FOUND' });
    await assert.rejects(source.resolve('toString', '1', signal), { code: 'NOT_FOUND' });
  });

  test('an object that changes between the listing and the reading of its version stops it', async () => {
    byPath.objects.clear();
    byPath.objects.set('m/fraud/1/model.onnx', { bytes: model });
    byPath.objects.set('m/fraud/1/manifest.json', { bytes: Buffer.from(manifestOf({ 'model.onnx': model })) });
    const source = at(byPath);
    await source.list(signal);
    byPath.objects.set('m/fraud/1/manifest.json', { bytes: Buffer.from('{}') });
    await assert.rejects(source.resolve('fraud', '1', signal), { message: /manifest\.json: has changed/ });
  });

  test('errors are understood by their code, and their texts are not passed on', async () => {
    const cases: [number, string, string, RegExp][] = [
      [403, 'ExpiredToken', 'UNAUTHENTICATED', /ExpiredToken/],
      [403, 'InvalidAccessKeyId', 'UNAUTHENTICATED', /InvalidAccessKeyId/],
      [403, 'AccessDenied', 'PERMISSION_DENIED', /do not suffice/],
      [403, 'RequestTimeTooSkewed', 'UNAVAILABLE', /clocks/],
      [301, 'PermanentRedirect', 'FAILED_PRECONDITION', /the bucket is in another region, not eu-test-1/],
      [400, 'AuthorizationHeaderMalformed', 'FAILED_PRECONDITION', /another region/],
      [400, 'Strange', 'FAILED_PRECONDITION', /answers 400/],
      [503, 'SlowDown', 'UNAVAILABLE', /answers 503/],
    ];
    for (const [status, name, code, message] of cases) {
      const source = at(byPath);
      byPath.intercept = (_, response) => {
        refuse(response, status, name);
        return true;
      };
      await assert.rejects(source.list(signal), (error: Error & { code: string }) => {
        assert.equal(error.code, code, name);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hidden/);
        return true;
      });
    }
  });

  test('a listing that is none, or does not end, is refused', async () => {
    const pages = [
      '<html></html>',
      'not xml',
      '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>',
      '<ListBucketResult><Contents><Key>x</Key></Contents></ListBucketResult>',
      '<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult/>',
      '<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>',
    ];
    for (const page of pages) {
      const source = at(byPath);
      byPath.intercept = (request, response) => {
        if (!request.url!.includes('list-type')) return false;
        response.end(page);
        return true;
      };
      await assert.rejects(source.list(signal), { code: 'FAILED_PRECONDITION' }, page);
      assert.ok(byPath.asked.length <= 402);
    }
  });

  test('the metadata address is asked neither as an endpoint nor by a redirect', async () => {
    const metadata = sourceAt(
      { url: new URL('s3://models/m'), endpoint: new URL('http://169.254.169.254') },
      { allowHttp: true },
    );
    const isAddress = (error: Refusal) => error.kind === 'address';
    await assert.rejects(metadata.list(signal), isAddress);
    const source = at(byPath);
    byPath.intercept = (_, response) => {
      response.writeHead(307, { location: 'http://169.254.169.254/latest/meta-data/iam/' }).end();
      return true;
    };
    await assert.rejects(source.list(signal), isAddress);
  });

  test('without keys nothing is signed', async () => {
    const source = at(byPath, { keys: async () => undefined });
    byPath.intercept = (request, response) => {
      assert.equal(request.headers.authorization, undefined);
      refuse(response, 403, 'AccessDenied');
      return true;
    };
    await assert.rejects(source.list(signal), { code: 'PERMISSION_DENIED' });
  });

  test('resolving a version takes nothing away from the next listing', async () => {
    byPath.objects.clear();
    byPath.objects.set('m/fraud/1/model.onnx', { bytes: model });
    const source = at(byPath);
    await source.resolve('fraud', '1', signal);
    assert.equal((await source.list(signal))!.models.length, 1);
  });

  test('only the wanted models are listed', async () => {
    byPath.objects.clear();
    for (const name of ['a', 'b']) byPath.objects.set(`m/${name}/1/model.onnx`, { bytes: model });
    const listing = await at(byPath, { models: ['b'] }).list(signal);
    assert.deepEqual(
      listing!.models.map(({ name }) => name),
      ['b'],
    );
  });
});
