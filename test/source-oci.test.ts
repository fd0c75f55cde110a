/** The OCI source against a registry that can be told to be wrong (registry.md §4.4). */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { zstdObjection } from '../src/registry/inflate.js';
import { createCredentials } from '../src/registry/net/credentials.js';
import { Refusal, type SecurityKind } from '../src/registry/refusal.js';
import type { ArtifactFile, Source } from '../src/registry/source.js';
import type { OciSourceOptions } from '../src/registry/sources/oci.js';
import {
  blobOf,
  digestOf,
  documentOf,
  indexOf,
  manifestOf,
  modelKitOf,
  modelPackOf,
  orasOf,
  packLayer,
  type TestDocument,
  tarOf,
  titled,
} from './servers/oci-artifacts.js';
import { type FakeRegistry, startFakeRegistry } from './servers/oci-registry.js';
import { basicOf, bytesAt, ociSourceAt, signal } from './servers/oci-source.js';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const repository = 'models/digits';

let registry: FakeRegistry;
let open: Source[] = [];
beforeEach(async () => {
  registry = await startFakeRegistry();
});
afterEach(async () => {
  await Promise.all(open.map((source) => source.close()));
  open = [];
  registry.close();
});

type Some = Partial<OciSourceOptions> & { readonly allowHosts?: readonly string[] };

function source(options: Some = {}): Source {
  const made = ociSourceAt(registry.port, { models: { digits: { tag: 'prod' } }, ...options });
  open.push(made);
  return made;
}

/** The files of what `prod` points to. */
async function resolved(document: TestDocument) {
  registry.put(repository, 'prod', document);
  const made = source();
  const listing = await made.list(signal);
  const version = listing!.models[0]!.aliases.prod!;
  return { made, artifact: await made.resolve('digits', version, signal) };
}

async function oneFile(content: string | Buffer = 'weights'): Promise<{ made: Source; file: ArtifactFile }> {
  const { made, artifact } = await resolved(orasOf({ 'model.onnx': content }));
  return { made, file: artifact.files[0]! };
}

const refusal = (kind: SecurityKind, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Refusal, String(error));
  assert.equal(error.kind, kind);
  assert.match(error.message, text);
  return true;
};

const wrong = (message: RegExp) => ({ code: 'FAILED_PRECONDITION', message });

/** What `resolve` says of the artifact. */
async function judged(document: TestDocument, expected: Parameters<typeof assert.rejects>[1]) {
  await assert.rejects(resolved(document), expected);
}

describe('documents', () => {
  test('a manifest whose bytes have another digest is refused', async () => {
    registry.put(repository, 'prod', orasOf({ 'model.onnx': 'a' }));
    const digest = registry.tags.get(`${repository}:prod`)!;
    const other = orasOf({ 'model.onnx': 'b' });
    registry.instead.set(`/v2/${repository}/manifests/${digest}`, (_, response) =>
      response.writeHead(200, { 'content-type': manifestType }).end(other.bytes),
    );
    const made = source();
    const version = (await made.list(signal))!.models[0]!.aliases.prod!;
    await assert.rejects(made.resolve('digits', version, signal), refusal('digest_mismatch', /its digest is sha256:/));
  });

  test('a manifest that is called by another digest in its header is refused', async () => {
    const document = orasOf({ 'model.onnx': 'a' });
    registry.put(repository, 'prod', document);
    registry.instead.set(`/v2/${repository}/manifests/${document.digest}`, (_, response) => {
      const headers = { 'content-type': manifestType, 'docker-content-digest': digestOf('x') };
      response.writeHead(200, headers).end(document.bytes);
    });
    await judged(document, refusal('digest_mismatch', /expected sha256:/));
  });

  test('a registry whose HEAD says no digest is asked for the bytes', async () => {
    const document = orasOf({ 'model.onnx': 'a' });
    registry.instead.set(`/v2/${repository}/manifests/prod`, ({ method }, response) => {
      response.writeHead(200, { 'content-type': manifestType }).end(method === 'HEAD' ? undefined : document.bytes);
    });
    const { artifact } = await resolved(document);
    assert.equal(artifact.revision, document.digest);
  });

  const artifactOf = (value: unknown, mediaType = manifestType) =>
    documentOf({ value, mediaType, blobs: [], members: [] });
  const good = JSON.parse(orasOf({ 'model.onnx': 'a' }).bytes.toString());
  const wrongs: readonly [string, TestDocument, RegExp][] = [
    ['calls itself other than it came as', artifactOf({ ...good, mediaType: 'a/b' }), /its mediaType is 'a\/b'/],
    ['is a manifest and an index at once', artifactOf({ ...good, manifests: [] }), /a manifest and an index at once/],
    ['is of another type', artifactOf({ ...good, mediaType: 'a/b' }, 'a/b'), /'a\/b' is not an OCI manifest/],
    ['is no object', artifactOf(null), /expected an object/],
    ['has no config', artifactOf({ ...good, config: undefined }), /'config': /],
    [
      'has a layer of unknown hash',
      artifactOf({ ...good, layers: [{ ...good.layers[0], digest: `sha512:${'0'.repeat(128)}` }] }),
      /'layers.0.digest': expected sha256/,
    ],
    [
      'has a layer of negative size',
      artifactOf({ ...good, layers: [{ ...good.layers[0], size: -1 }] }),
      /'layers.0.size'/,
    ],
    ['has too many layers', artifactOf({ ...good, layers: Array(10_001).fill(good.layers[0]) }), /'layers': /],
  ];
  for (const [what, document, message] of wrongs) {
    test(`a manifest that ${what} is refused`, () => judged(document, wrong(message)));
  }

  test('a manifest of more than 4 MiB is refused', () =>
    judged(orasOf({ 'model.onnx': 'a' }, { long: 'x'.repeat(4 * 1024 * 1024) }), wrong(/more than 4194304 bytes/)));

  test('a manifest nested too deep is refused', () => {
    const bytes = Buffer.from(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    return judged({ ...orasOf({ a: 'a' }), bytes, digest: digestOf(bytes) }, wrong(/nested/));
  });

  test('an index leads to the first artifact of a model in it, and is the revision itself', async () => {
    const image = manifestOf({ config: blobOf('application/vnd.oci.image.config.v1+json', '{}'), layers: [] });
    const index = indexOf([image, orasOf({ 'model.onnx': 'weights' })]);
    const { artifact } = await resolved(index);
    assert.equal(artifact.revision, index.digest);
    assert.deepEqual(
      artifact.files.map(({ path }) => path),
      ['model.onnx'],
    );
  });

  test('an index without one says what it holds', () => {
    const image = manifestOf({ config: blobOf('application/vnd.oci.image.config.v1+json', '{}'), layers: [] });
    const chart = manifestOf({ config: blobOf('application/vnd.cncf.helm.config.v1+json', '{}'), layers: [] });
    return judged(indexOf([image, chart, indexOf([])]), wrong(/holds .*container image.*helm.config.*another index/));
  });
});

describe('conventions', () => {
  const kit = (type: string, path: string | undefined, content: string | Buffer) =>
    blobOf(
      `application/vnd.kitops.modelkit.${type}`,
      content,
      path === undefined ? undefined : { 'org.cncf.model.filepath': path },
    );

  test('of a ModelPack weights and their configuration are taken, raw or packed; the rest stays', async () => {
    const pack = modelPackOf(
      [
        packLayer('weight.v1.raw', 'model.onnx', 'weights'),
        packLayer('weight.v1.tar', 'parts', tarOf({ 'part.bin': 'p' })),
        packLayer('weight.config.v1.tar+gzip', undefined, 'gz'),
        packLayer('weight.config.v1.raw', 'manifest.json', '{}'),
        packLayer('doc.v1.raw', 'README.md', 'text'),
        packLayer('code.v1.tar+zstd', 'code', 'text'),
        packLayer('dataset.v1.tar', 'data', 'rows'),
      ],
      {
        descriptor: { version: '5', description: 'digits', createdAt: '2026-11-21T10:00:00Z' },
        config: { format: 'ONNX' },
      },
    );
    const { artifact } = await resolved(pack);
    assert.equal(artifact.version, '5');
    assert.deepEqual(
      artifact.files.map(({ path, archive }) => [path, archive]),
      [
        ['model.onnx', undefined],
        ['parts', 'tar'],
        [`layer-${digestOf('gz').slice(7, 19)}.tar`, 'tar+gzip'],
        ['manifest.json', undefined],
      ],
    );
    assert.equal(artifact.facts.description, 'digits');
    assert.equal(artifact.facts.created, '2026-11-21T10:00:00Z');
  });

  test('a ModelPack of another format is refused by its name', () =>
    judged(
      modelPackOf([packLayer('weight.v1.raw', 'm.safetensors', 'w')], { config: { format: 'safetensors' } }),
      wrong(/its format is 'safetensors', expected 'onnx'/),
    ));

  test('zstd is taken where this Node reads it, and refused with what to do about it elsewhere', async () => {
    const annotations = { 'org.opencontainers.image.title': 'd', 'io.deis.oras.content.unpack': 'true' };
    const packed = [
      modelPackOf([packLayer('weight.v1.tar+zstd', 'model', 'z')]),
      modelKitOf([kit('model.v1.tar+zstd', undefined, 'z')]),
      manifestOf({ layers: [blobOf('application/vnd.oci.image.layer.v1.tar+zstd', 'z', annotations)] }),
    ];
    for (const pack of packed) {
      if (zstdObjection === '') assert.equal((await resolved(pack)).artifact.files[0]!.archive, 'tar+zstd');
      else await judged(pack, wrong(/compressed by zstd, .* Node 22\.15 or newer.* push it as raw, tar or tar\+gzip/));
    }
  });

  test('another compression is refused by its name', () =>
    judged(
      modelPackOf([packLayer('weight.v1.tar+xz', 'model', 'z')]),
      wrong(/compressed by xz: push it as raw, tar or tar\+gzip/),
    ));

  test('of a ModelKit model and parts are taken, and the version of its package', async () => {
    const layers = [
      kit('model.v1.tar', undefined, tarOf({ 'model.onnx': 'w' })),
      kit('modelpart.v1.tar+gzip', 'parts', 'gz'),
      kit('model.v1.raw', 'extra.bin', 'raw'),
      kit('code.v1.tar', 'code', 'c'),
      kit('docs.v1.tar', 'docs', 'd'),
      kit('dataset.v1.tar', 'data', 'd'),
    ];
    const { artifact } = await resolved(modelKitOf(layers, { package: { version: '8', description: 'kit' } }));
    assert.equal(artifact.version, '8');
    assert.deepEqual(
      artifact.files.map(({ archive }) => archive),
      ['tar', 'tar+gzip', undefined],
    );
    assert.equal(artifact.facts.description, 'kit');
  });

  test('of an ORAS artifact every titled layer is a file, and a directory an archive', async () => {
    const directory = { 'org.opencontainers.image.title': 'vocab', 'io.deis.oras.content.unpack': 'true' };
    const document = manifestOf({
      artifactType: 'application/vnd.example.any',
      layers: [
        titled('model.onnx', 'weights'),
        titled('deep/er/part.bin', 'part'),
        blobOf('application/vnd.oci.image.layer.v1.tar+gzip', 'gz', directory),
        blobOf('application/octet-stream', 'nameless'),
      ],
    });
    const { artifact } = await resolved(document);
    assert.deepEqual(
      artifact.files.map(({ path, archive }) => [path, archive]),
      [
        ['model.onnx', undefined],
        ['deep/er/part.bin', undefined],
        ['vocab', 'tar+gzip'],
      ],
    );
  });

  for (const path of ['../x', '/x', 'a/../../x', 'a\\b', 'a\0b', '', 'x'.repeat(600)]) {
    test(`a layer named ${JSON.stringify(path.slice(0, 20))} is refused`, () =>
      judged(orasOf({ 'model.onnx': 'a', [path]: 'b' }), refusal('traversal', /is not a path inside a version/)));
  }

  test('two layers of one name are refused, in other letters too', () =>
    judged(orasOf({ 'model.onnx': 'a', 'MODEL.onnx': 'b' }), wrong(/two layers are named 'MODEL.onnx'/)));

  test('an artifact of which no layer is taken is refused', () =>
    judged(modelPackOf([packLayer('doc.v1.raw', 'README.md', 'text')]), wrong(/none of its 1 layers is a file/)));

  test('a raw weight layer without a name is refused', () =>
    judged(modelPackOf([packLayer('weight.v1.raw', undefined, 'w')]), wrong(/has no org.cncf.model.filepath/)));

  test('signatures among the layers are apart from the files', async () => {
    const { artifact } = await resolved(
      orasOf({ 'model.onnx': 'w', 'manifest.json': '{}', 'manifest.json.sig': '{}', 'model.sig': '{}' }),
    );
    assert.deepEqual(
      artifact.files.map(({ path }) => path),
      ['model.onnx', 'manifest.json'],
    );
    assert.deepEqual(
      artifact.signatures.map(({ path }) => path),
      ['manifest.json.sig', 'model.sig'],
    );
  });

  test('a configuration among the files is read, with the labels that it names', async () => {
    const text = 'name: "digits" output [{ name: "y" data_type: TYPE_FP32 dims: [2] label_filename: "labels.txt" }]';
    const { artifact } = await resolved(orasOf({ 'model.onnx': 'w', 'config.pbtxt': text, 'labels.txt': 'a\nb' }));
    assert.deepEqual(artifact.config, { name: 'config.pbtxt', text, labels: { 'labels.txt': 'a\nb' } });
    assert.equal(artifact.files.length, 3);
  });
});

describe('blobs', () => {
  const place = (content: string | Buffer) => `/v2/${repository}/blobs/${digestOf(content)}`;

  test('a server that ignores the range starts over', async () => {
    const { made, file } = await oneFile();
    registry.instead.set(place('weights'), (_, response) => response.writeHead(200).end('weights'));
    const stream = await made.open(file, { offset: 3, etag: `"${digestOf('weights')}"` }, signal);
    assert.equal(stream.offset, 0);
    for await (const _ of stream.chunks);
  });

  test('what is no longer there is started over, and so is what is resumed by another proof', async () => {
    const { made, file } = await oneFile();
    const etag = `"${digestOf('weights')}"`;
    assert.equal((await bytesAt(made, file, { offset: 7, etag })).toString(), 'weights');
    assert.equal((await bytesAt(made, file, { offset: 3, etag: '"other"' })).toString(), 'weights');
    assert.equal((await bytesAt(made, file, { offset: 3, etag })).toString(), 'ghts');
  });

  test('a range that was not asked for is refused', async () => {
    const { made, file } = await oneFile();
    registry.instead.set(place('weights'), (_, response) =>
      response.writeHead(206, { 'content-range': 'bytes 2-6/7' }).end('ights'),
    );
    const from = { offset: 3, etag: `"${digestOf('weights')}"` };
    await assert.rejects(made.open(file, from, signal), refusal('digest_mismatch', /expected 3-6 of 7/));
  });

  test('a blob of another length is refused before it is read, or as soon as it is too long', async () => {
    const { made, file } = await oneFile();
    registry.instead.set(place('weights'), (_, response) =>
      response.writeHead(200, { 'content-length': 8 }).end('weights!'),
    );
    await assert.rejects(bytesAt(made, file), refusal('digest_mismatch', /8 bytes come, expected 7/));
    registry.instead.set(place('weights'), (_, response) => {
      response.writeHead(200);
      response.write('weights');
      response.end('!');
    });
    await assert.rejects(bytesAt(made, file), refusal('digest_mismatch', /more than 7 bytes come/));
  });

  test('a blob that ends early is UNAVAILABLE, for it can be asked for again', async () => {
    const { made, file } = await oneFile();
    registry.instead.set(place('weights'), (_, response) => {
      response.writeHead(200);
      response.end('wei');
    });
    await assert.rejects(bytesAt(made, file), { code: 'UNAVAILABLE', message: /ended after 3 of 7 bytes/ });
  });

  test('a config whose bytes have another digest is refused', async () => {
    const pack = modelPackOf([packLayer('weight.v1.raw', 'model.onnx', 'w')]);
    const [config] = pack.blobs;
    const length = config!.bytes.length;
    registry.instead.set(`/v2/${repository}/blobs/${config!.descriptor.digest}`, (_, response) =>
      response.writeHead(200).end('x'.repeat(length)),
    );
    await judged(pack, refusal('digest_mismatch', /its digest is/));
  });

  test('a blob that is gone is NOT_FOUND, one that is forbidden PERMISSION_DENIED', async () => {
    const { made, file } = await oneFile();
    for (const [status, code] of [
      [404, 'NOT_FOUND'],
      [403, 'PERMISSION_DENIED'],
      [418, 'FAILED_PRECONDITION'],
    ] as const) {
      registry.instead.set(place('weights'), (_, response) => response.writeHead(status).end());
      await assert.rejects(bytesAt(made, file), { code });
    }
  });
});

describe('tags', () => {
  const listed =
    (tags: readonly string[], link?: string) =>
    (request: IncomingMessage, response: import('node:http').ServerResponse) => {
      const headers: Record<string, string> = { 'content-type': 'application/json' };
      if (link !== undefined && !request.url?.includes('last=')) headers.link = link;
      const own = request.url?.includes('last=') ? ['9'] : tags;
      response.writeHead(200, headers).end(JSON.stringify({ tags: own }));
    };
  const versions = async (made: Source) => (await made.list(signal))!.models[0]!.versions.map(({ version }) => version);
  const newest: Some = { models: { digits: { latest: 5 } } };

  beforeEach(() => {
    for (const tag of ['3', '9']) registry.put(repository, tag, orasOf({ 'model.onnx': tag }));
  });

  test('a list in pages is followed on the same host', async () => {
    const link = `</v2/${repository}/tags/list?n=1&last=3>; rel="next"`;
    registry.instead.set(`/v2/${repository}/tags/list`, listed(['3', '../x', 'prod'], link));
    assert.deepEqual(await versions(source(newest)), ['3', '9']);
  });

  test('a page on another host is refused and not asked for', async () => {
    const other = await startFakeRegistry();
    const link = `<${other.origin}/v2/${repository}/tags/list?last=3>; rel="next"`;
    registry.instead.set(`/v2/${repository}/tags/list`, listed(['3'], link));
    await assert.rejects(source(newest).list(signal), refusal('redirect', /its tags continue on 127.0.0.1/));
    assert.equal(other.asked.length, 0);
    other.close();
  });

  test('a page that leads to itself ends', async () => {
    const link = `</v2/${repository}/tags/list?n=1000>; rel="next"`;
    registry.instead.set(`/v2/${repository}/tags/list`, listed(['3'], link));
    assert.deepEqual(await versions(source(newest)), ['3']);
  });

  test('where tags cannot be listed, a tag still has a number', async () => {
    registry.put(repository, 'prod', orasOf({ 'model.onnx': 'other' }));
    registry.instead.set(`/v2/${repository}/tags/list`, (_, response) => response.writeHead(405).end());
    assert.deepEqual(await versions(source()), ['1']);
  });
});

describe('listing', () => {
  test('a poll without a change is one conditional HEAD for each tag', async () => {
    registry.put(repository, 'prod', orasOf({ 'model.onnx': 'w' }));
    const made = source();
    await made.list(signal);
    registry.asked.length = 0;
    assert.equal(await made.list(signal), undefined);
    const digest = registry.tags.get(`${repository}:prod`);
    assert.deepEqual(
      registry.asked.map(({ method, path }) => [method, path]),
      [['HEAD', `/v2/${repository}/manifests/prod`]],
    );
    assert.equal(registry.asked[0]?.headers['if-none-match'], `"${digest}"`);
  });

  test('one repository that cannot be read does not stop the others, all of them do', async () => {
    registry.put(repository, 'prod', orasOf({ 'model.onnx': 'w' }));
    registry.instead.set('/v2/models/secret/manifests/prod', (_, response) => response.writeHead(403).end());
    const made = source({ models: { digits: { tag: 'prod' }, secret: { tag: 'prod' } } });
    const listing = await made.list(signal);
    assert.deepEqual(
      listing?.models.map(({ name, versions }) => [name, versions.length]),
      [
        ['digits', 1],
        ['secret', 0],
      ],
    );
    assert.match(listing?.ignored.join() ?? '', /does not allow to pull models\/secret:prod/);
    await assert.rejects(source({ models: { secret: { tag: 'prod' } } }).list(signal), { code: 'PERMISSION_DENIED' });
  });

  test('a registry that is down is UNAVAILABLE', async () => {
    const made = source();
    registry.close();
    await assert.rejects(made.list(signal), { code: 'UNAVAILABLE' });
  });

  test('content that cannot be read is listed, and resolving it says why', async () => {
    registry.put(repository, 'prod', orasOf({ '../x': 'w' }));
    const made = source();
    assert.deepEqual((await made.list(signal))?.models[0]?.aliases, { prod: '1' });
    await assert.rejects(made.resolve('digits', '1', signal), refusal('traversal', /"\.\.\/x"/));
  });

  test('a version that is not listed is resolved by the tag of its number', async () => {
    registry.put(repository, '4', orasOf({ 'model.onnx': 'four' }));
    const { files } = await source().resolve('digits', '4', signal);
    assert.equal(files[0]?.sha256, digestOf('four').slice(7));
    await assert.rejects(source().resolve('digits', '5', signal), { code: 'NOT_FOUND' });
    await assert.rejects(source().resolve('other', '5', signal), { code: 'NOT_FOUND' });
  });

  test('annotations are the tags that policies look at', async () => {
    registry.put(
      repository,
      'prod',
      orasOf({ 'model.onnx': 'w' }, { approved: 'yes', 'org.opencontainers.image.version': '6' }),
    );
    const [version] = (await source().list(signal))!.models[0]!.versions;
    assert.equal(version?.version, '6');
    assert.equal(version?.facts.tags.approved, 'yes');
  });

  test('names that cannot be one are told at the start', () => {
    const odd: OciSourceOptions['models'][] = [
      { Fraud: { tag: 'prod' } },
      { 'a b': { tag: 'prod' } },
      { digits: { tag: '../x' } },
      { digits: { tags: ['ok', 'a b'] } },
      { digits: { aliases: { v7: 'prod' } } },
      { digits: { latest: 0 } },
      { digits: { tag: 'prod', repository: '../x' } },
    ];
    for (const models of odd) {
      assert.throws(() => source({ models }), { code: 'FAILED_PRECONDITION' }, JSON.stringify(models));
    }
    source({ models: { Fraud: { tag: 'prod', repository: 'team/fraud' } } });
  });
});

describe('signatures', () => {
  const signatureOf = (payload: unknown) =>
    manifestOf({
      config: blobOf('application/vnd.oci.image.config.v1+json', '{}'),
      layers: [
        blobOf('application/vnd.dev.cosign.simplesigning.v1+json', JSON.stringify(payload), {
          'dev.cosignproject.cosign/signature': 'c2ln',
          'dev.sigstore.cosign/certificate': 'PEM',
          'dev.sigstore.cosign/bundle': '{"Payload":1}',
        }),
      ],
    });
  const payloadFor = (digest: string) => ({ critical: { image: { 'docker-manifest-digest': digest } } });
  const artifact = orasOf({ 'model.onnx': 'w' });
  const cosignTag = `${artifact.digest.replace(':', '-')}.sig`;

  test('of cosign only what speaks about this manifest is given, with all that proves it', async () => {
    registry.put(repository, cosignTag, signatureOf(payloadFor(artifact.digest)));
    const { made, artifact: found } = await resolved(artifact);
    const text = (await bytesAt(made, found.signatures[0]!)).toString();
    const payload = Buffer.from(JSON.stringify(payloadFor(artifact.digest))).toString('base64');
    assert.deepEqual(JSON.parse(text), { payload, signature: 'c2ln', certificate: 'PEM', bundle: '{"Payload":1}' });
    assert.deepEqual(found.manifests, [artifact.digest]);
  });

  for (const [what, payload] of [
    ['another manifest', payloadFor(digestOf('other'))],
    ['nothing', {}],
    ['null', null],
  ] as const) {
    test(`a cosign payload about ${what} is not given on`, async () => {
      registry.put(repository, cosignTag, signatureOf(payload));
      assert.deepEqual((await resolved(artifact)).artifact.signatures, []);
    });
  }

  const bundle = (subject: TestDocument) =>
    manifestOf({
      artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      layers: [blobOf('application/vnd.dev.sigstore.bundle.v0.3+json', '{"bundle":1}')],
      subject,
    });

  test('referrers are asked for, and by the tag of the digest where the registry does not know them', async () => {
    const bill = manifestOf({
      artifactType: 'application/spdx+json',
      layers: [titled('sbom', '{}')],
      subject: artifact,
    });
    const index = indexOf([bundle(artifact), bill, bundle(orasOf({ other: 'x' }))]);
    registry.put(repository, artifact.digest.replace(':', '-'), index);
    const byTag = (await resolved(artifact)).artifact.signatures;
    assert.deepEqual(
      byTag.map(({ path, bytes }) => [path, bytes]),
      [['attached.0.sigstore.json', 12]],
    );
    registry.tags.delete(`${repository}:${artifact.digest.replace(':', '-')}`);
    registry.instead.set(`/v2/${repository}/referrers/${artifact.digest}`, (_, response) =>
      response.writeHead(200, { 'content-type': index.mediaType }).end(index.bytes),
    );
    const { made, artifact: found } = await resolved(artifact);
    assert.equal((await bytesAt(made, found.signatures[0]!)).toString(), '{"bundle":1}');
  });
});

describe('authentication', () => {
  const user = { user: 'robot', password: 'secret' };
  const basic = `Basic ${Buffer.from('robot:secret').toString('base64')}`;
  let tokens: {
    readonly port: number;
    readonly asked: { url: URL; authorization: string | undefined }[];
    close(): void;
  };
  let answers: unknown[];
  let time = 0;

  before(async () => {
    const asked: { url: URL; authorization: string | undefined }[] = [];
    const server = createServer((request, response) => {
      asked.push({ url: new URL(request.url!, 'http://x'), authorization: request.headers.authorization });
      const body = answers.shift();
      response
        .writeHead(body === undefined ? 401 : 200, { 'content-type': 'application/json' })
        .end(JSON.stringify(body));
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address() as AddressInfo;
    tokens = { port, asked, close: () => void server.close().closeAllConnections() };
  });
  after(() => tokens.close());
  beforeEach(() => {
    tokens.asked.length = 0;
    time = 0;
    registry.put(repository, 'prod', orasOf({ 'model.onnx': 'w' }));
  });

  /** Lets in whoever has one of these headers, and challenges everybody else. */
  const wants = (accepted: readonly string[], challenge: string) => {
    registry.gate = ({ headers }, response) => {
      if (accepted.includes(headers.authorization ?? '')) return false;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
      return true;
    };
  };
  const realm = (host = `127.0.0.1:${tokens.port}`) =>
    `Bearer realm="http://${host}/token?own=1",service="reg",scope="registry:catalog:*"`;
  const made = (some: Some = {}) =>
    source({ credentials: basicOf(user), allowHosts: [`127.0.0.1:${tokens.port}`], now: () => time, ...some });

  test('Basic credentials are sent only after they were asked for, and at once from then on', async () => {
    wants([basic], 'Basic realm="models"');
    await made().list(signal);
    const sent = registry.asked.map(({ headers }) => headers.authorization);
    assert.equal(sent[0], undefined);
    assert.ok(sent.length > 2 && sent.slice(1).every((header) => header === basic));
  });

  test('a token is asked for with our scope, used while it lives, and asked for anew after that', async () => {
    wants(['Bearer t1', 'Bearer t2'], realm());
    answers = [
      { token: 't1', expires_in: 100 },
      { access_token: 't2', expires_in: 100 },
    ];
    const list = made();
    await list.list(signal);
    time = 89_000;
    await list.list(signal);
    assert.equal(tokens.asked.length, 1);
    const [{ url, authorization }] = tokens.asked as [(typeof tokens.asked)[0]];
    assert.deepEqual(Object.fromEntries(url.searchParams), {
      own: '1',
      service: 'reg',
      scope: `repository:${repository}:pull`,
    });
    assert.equal(authorization, basic);
    time = 91_000;
    await list.list(signal);
    assert.equal(tokens.asked.length, 2);
    assert.equal(registry.asked.at(-1)?.headers.authorization, 'Bearer t2');
  });

  test('a token that is suddenly invalid is renewed once', async () => {
    wants(['Bearer t1'], realm());
    answers = [{ token: 't1' }, { token: 't2' }, { token: 't3' }];
    const list = made();
    await list.list(signal);
    wants(['Bearer t2'], `${realm()},error="invalid_token"`);
    await list.list(signal);
    assert.equal(tokens.asked.length, 2);
    wants([], `${realm()},error="invalid_token"`);
    answers = [{ token: 't3' }, { token: 't4' }, { token: 't5' }];
    await assert.rejects(list.list(signal), { code: 'UNAUTHENTICATED' });
    assert.equal(tokens.asked.length, 4);
  });

  test('a token that is not enough is PERMISSION_DENIED, without asking again', async () => {
    wants([], `${realm()},error="insufficient_scope"`);
    answers = [{ token: 't1' }, { token: 't2' }];
    await assert.rejects(made().list(signal), { code: 'PERMISSION_DENIED' });
    assert.equal(tokens.asked.length, 1);
  });

  test('credentials never go to a realm on another host, unless the operator named it', async () => {
    wants(['Bearer t1'], realm(`localhost:${tokens.port}`));
    answers = [{ token: 't1' }];
    const host = `localhost:${tokens.port}`;
    const refused = made({ allowHosts: [host] }).list(signal);
    await assert.rejects(refused, {
      code: 'UNAUTHENTICATED',
      message: /realm localhost:\d+ is not on the registry's host/,
    });
    assert.equal(tokens.asked.length, 0);
    await made({ allowHosts: [host], allowRealms: [host] }).list(signal);
    assert.equal(tokens.asked[0]?.authorization, basic);
  });

  test('without credentials a token is asked for without them, wherever the realm is', async () => {
    wants(['Bearer t1'], realm(`localhost:${tokens.port}`));
    answers = [{ token: 't1' }];
    await source({ allowHosts: [`localhost:${tokens.port}`] }).list(signal);
    assert.deepEqual(
      tokens.asked.map(({ authorization }) => authorization),
      [undefined],
    );
  });

  test('a realm at an address that was not named is not connected to', async () => {
    wants([], realm());
    await assert.rejects(source().list(signal), refusal('address', /loopback/));
    assert.equal(tokens.asked.length, 0);
  });

  for (const [what, challenge] of [
    ['is no URL', 'Bearer realm="here"'],
    ['is missing', 'Bearer service="reg"'],
    ['is of an unknown scheme', 'Digest realm="x"'],
    ['is empty', ''],
  ] as const) {
    test(`a challenge that ${what} is UNAUTHENTICATED`, async () => {
      wants([], challenge);
      await assert.rejects(made().list(signal), { code: 'UNAUTHENTICATED' });
    });
  }

  test('an answer without a token that a header can carry is UNAUTHENTICATED', async () => {
    wants([], realm());
    for (const body of [{}, null, [], { token: 7 }, { token: 'a b' }, { token: 'a\r\nx: y' }, { token: '' }]) {
      answers = [body];
      await assert.rejects(made().list(signal), { code: 'UNAUTHENTICATED', message: /gives no token/ });
    }
  });

  test('a configured token is sent as it is and to nobody else', async () => {
    const credentials = createCredentials({ tokenEnv: 'T' }, { T: 'static' });
    wants(['Bearer static'], realm());
    await made({ credentials }).list(signal);
    wants(['Bearer other'], realm());
    await assert.rejects(made({ credentials }).list(signal), { code: 'UNAUTHENTICATED' });
    assert.equal(tokens.asked.length, 0);
  });

  test('a redirect of a blob to another origin goes without the Authorization header', async () => {
    const elsewhere = await startFakeRegistry();
    elsewhere.put(repository, undefined, orasOf({ 'model.onnx': 'w' }));
    wants([basic], 'Basic realm="models"');
    const place = `/v2/${repository}/blobs/${digestOf('w')}`;
    registry.instead.set(place, (_, response) =>
      response.writeHead(307, { location: `${elsewhere.origin}${place}` }).end(),
    );
    const list = made({ allowHosts: [`127.0.0.1:${elsewhere.port}`] });
    const version = (await list.list(signal))!.models[0]!.aliases.prod!;
    const { files } = await list.resolve('digits', version, signal);
    assert.equal((await bytesAt(list, files[0]!)).toString(), 'w');
    assert.deepEqual(
      elsewhere.asked.map(({ path, headers }) => [path, headers.authorization]),
      [[place, undefined]],
    );
    elsewhere.close();
  });
});
