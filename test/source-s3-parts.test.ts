/** The parts of the S3 source that need no server: signatures against the published vectors, XML, keys, addresses. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bucketUrl, prefixOf } from '../src/registry/sources/s3-bucket.js';
import { createS3Keys } from '../src/registry/sources/s3-keys.js';
import { signed } from '../src/registry/sources/s3-sign.js';
import { Settling, treeOf } from '../src/registry/sources/s3-tree.js';
import { readXml, textIn } from '../src/registry/sources/s3-xml.js';

describe('signature version 4', () => {
  // "Signature Calculations for the Authorization Header", Amazon S3 API Reference: its four examples.
  const keys = {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  };
  const epochMs = Date.parse('2013-05-24T00:00:00Z');
  const bucket = 'https://examplebucket.s3.amazonaws.com';
  const vectors: Record<
    string,
    { url: string; method?: string; headers?: Record<string, string>; body?: string; signature: string }
  > = {
    'an object with a range': {
      url: `${bucket}/test.txt`,
      headers: { range: 'bytes=0-9' },
      signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    },
    'a query without a value': {
      url: `${bucket}/?lifecycle`,
      signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    },
    'a listing': {
      url: `${bucket}/?max-keys=2&prefix=J`,
      signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    },
    'an upload with a key to be encoded': {
      method: 'PUT',
      url: `${bucket}/test%24file.text`,
      headers: { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      body: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    },
  };

  for (const [name, { url, method = 'GET', headers = {}, body, signature }] of Object.entries(vectors)) {
    test(`equals the published one of ${name}`, () => {
      const request = { method, url: new URL(url), headers, region: 'us-east-1', keys, epochMs, bodySha256: body };
      const { authorization } = signed(request);
      const names = ['host', ...Object.keys(headers), 'x-amz-content-sha256', 'x-amz-date'].sort().join(';');
      const scope = 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request';
      assert.equal(authorization, `AWS4-HMAC-SHA256 Credential=${scope},SignedHeaders=${names},Signature=${signature}`);
    });
  }

  test('the order and the encoding of a query do not matter, a port and a session token do', () => {
    const of = (url: string, sessionToken?: string) =>
      signed({ method: 'GET', url: new URL(url), headers: {}, region: 'r', keys: { ...keys, sessionToken }, epochMs });
    assert.equal(of(`${bucket}/?b=1&a=%2f`).authorization, of(`${bucket}/?a=%2F&b=1`).authorization);
    assert.notEqual(of(`${bucket}/`).authorization, of(`${bucket}:8443/`).authorization);
    const withToken = of(`${bucket}/`, 'session');
    assert.equal(withToken['x-amz-security-token'], 'session');
    assert.match(withToken.authorization!, /;x-amz-security-token,/);
  });
});

describe('XML', () => {
  test('is read as elements and text', () => {
    const root = readXml('<?xml version="1.0"?>\n<a xmlns="x"><k>1 &amp; &#50;&#x33; &lt;&quot;</k><e/><k>2</k></a>\n');
    assert.deepEqual([root.name, root.children.length, textIn(root, 'k')], ['a', 3, '1 & 23 <"']);
    assert.deepEqual([textIn(root, 'e'), textIn(root, 'none')], ['', undefined]);
  });

  test('with anything else in it, or too much of it, is refused', () => {
    const wrong = [
      ...['', 'text', '<a>', '</a>', '<a></b>', '<a/><b/>', '<a', '<a>&unknown;</a>', '<a>&#xd800;</a>', '<a>& b</a>'],
      ...['<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', '<a><!-- c --></a>', '<a><![CDATA[x]]></a>', '<1/>'],
      '<a>'.repeat(20) + '</a>'.repeat(20),
      `<a>${'<b/>'.repeat(100_001)}</a>`,
      '<a>&toString;</a>',
    ];
    for (const text of wrong) {
      assert.throws(() => readXml(text), { code: 'FAILED_PRECONDITION' }, text.slice(0, 60));
    }
  });
});

describe('a place in S3', () => {
  const place = (url: string, more: object = {}) => ({
    url: new URL(url),
    region: 'eu-central-1',
    forcePathStyle: false,
    ...more,
  });

  test('is addressed by host or by path', () => {
    assert.equal(bucketUrl(place('s3://models')).href, 'https://models.s3.eu-central-1.amazonaws.com/');
    const endpoint = new URL('http://127.0.0.1:9000');
    assert.equal(
      bucketUrl(place('s3://models/x', { endpoint, forcePathStyle: true })).href,
      'http://127.0.0.1:9000/models/',
    );
    const local = new URL('http://localhost:9000');
    assert.equal(bucketUrl(place('s3://models', { endpoint: local })).href, 'http://models.localhost:9000/');
  });

  test('has a prefix that ends in one slash, or none', () => {
    assert.deepEqual(
      ['s3://b', 's3://b/', 's3://b/a', 's3://b//a/b//', 's3://b/a%20b/'].map((url) => prefixOf(place(url))),
      ['', '', 'a/', 'a/b/', 'a b/'],
    );
  });

  test('that is none is refused', () => {
    for (const url of ['https://models/x', 's3:///x', 's3://a_$/x']) {
      assert.throws(() => bucketUrl(place(url)), { code: 'INVALID_ARGUMENT' }, url);
    }
  });
});

test('keys come from where configuration says, else from the usual variables, else there are none', async () => {
  const environment = { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'S', AWS_SESSION_TOKEN: 'T', U: 'u', P: 'p' };
  assert.deepEqual(await createS3Keys({ userEnv: 'U', passwordEnv: 'P' }, environment)(), {
    accessKeyId: 'u',
    secretAccessKey: 'p',
    sessionToken: undefined,
  });
  assert.deepEqual(await createS3Keys({}, environment)(), {
    accessKeyId: 'A',
    secretAccessKey: 'S',
    sessionToken: 'T',
  });
  assert.equal(await createS3Keys({}, {})(), undefined);
  await assert.rejects(createS3Keys({}, { AWS_ACCESS_KEY_ID: 'A' })(), { message: /AWS_SECRET_ACCESS_KEY is not set/ });
});

describe('keys as a tree', () => {
  const object = (key: string, etag = 'e') => ({ key, etag: `"${etag}"`, bytes: key.length });

  test('are models, versions and files, with a sentence for what is passed over', () => {
    const keys = [
      ...['m/a/10/model.onnx', 'm/a/9/model.onnx', 'm/a/9/data/w.bin', 'm/a/config.pbtxt', 'm/a/9/', 'm/'],
      ...['m/a/01/model.onnx', 'm/a/new/model.onnx', 'm/b/1/other.onnx', 'm/c/1/a.onnx', 'm/c/1/b.onnx', 'm/stray'],
      ...['m/.hidden/1/model.onnx', 'other/x/1/model.onnx', 'm/d/1/deep/model.onnx'],
    ];
    const { models, ignored } = treeOf(
      keys.map((key) => object(key)),
      'm/',
    );
    assert.deepEqual(
      [...models].map(([name, { versions }]) => [name, [...versions.keys()]]),
      [
        ['a', ['9', '10']],
        ['b', ['1']],
      ],
    );
    assert.deepEqual(
      models
        .get('a')!
        .versions.get('9')!
        .files.map(({ path }) => path),
      ['model.onnx', 'data/w.bin'],
    );
    assert.deepEqual(ignored, [
      "'.hidden' is not a model name",
      "a: '01' is not a version number",
      "a: 'new' is not a version number",
      'c/1: there is no model.onnx',
      'd/1: there is no model.onnx',
    ]);
  });

  test('a version settles when two looks far enough apart show the same', () => {
    const settling = new Settling(10_000);
    const look = (etag: string, nowMs: number, ...more: string[]) => {
      const tree = treeOf([object('a/1/model.onnx', etag), ...more.map((key) => object(key))], '');
      return settling.listed(tree, nowMs)[0]!.versions[0]!.waiting !== undefined;
    };
    assert.equal(look('x', 0), true);
    assert.equal(look('x', 9_999), true);
    assert.equal(look('x', 10_000), false);
    assert.equal(look('x', 10_001), false);
    assert.equal(look('y', 11_000), true, 'another ETag begins anew');
    assert.equal(look('y', 20_000, 'a/1/weights.bin'), true, 'so does another file');
    assert.equal(look('y', 30_000, 'a/1/weights.bin'), false);
    assert.equal(look('z', 31_000, 'a/1/manifest.json'), false, 'a list of its files makes waiting needless');
  });

  test('one look is never enough, however late it comes', () => {
    const settling = new Settling(0);
    const tree = treeOf([object('a/1/model.onnx')], '');
    assert.notEqual(settling.listed(tree, 5)[0]!.versions[0]!.waiting, undefined);
    assert.equal(settling.listed(tree, 5)[0]!.versions[0]!.waiting, undefined);
  });
});
