/** The OCI source against Debian's docker-registry, with artifacts pushed by skopeo and umoci. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { loadConfig } from '../src/config/load.js';
import type { SourceConfig } from '../src/control/network-sources.js';
import { hooksOf } from '../src/control/registry-store.js';
import { trustOf } from '../src/control/trust.js';
import { unpack } from '../src/registry/archive.js';
import type { Source } from '../src/registry/source.js';
import {
  type DockerRegistry,
  dockerRegistrySkip,
  registryUser,
  startDockerRegistry,
} from './servers/docker-registry.js';
import {
  blobOf,
  indexOf,
  manifestOf,
  modelKitOf,
  modelPackOf,
  orasOf,
  packLayer,
  push,
  tarOf,
  writeLayout,
} from './servers/oci-artifacts.js';
import { basicOf, bytesAt, ociSourceAt, rememberedNumbers, signal } from './servers/oci-source.js';
import { type Pair, pairOf } from './signing-fixture.js';
import { openStore } from './store-source.js';

if (dockerRegistrySkip !== false) console.log(`source-oci-registry: skipped, ${dockerRegistrySkip}`);

const folder = mkdtempSync(join(tmpdir(), 'sluice-oci-'));
const open: Source[] = [];
after(async () => {
  await Promise.all(open.map((source) => source.close()));
  rmSync(folder, { recursive: true });
});

function opened(source: Source): Source {
  open.push(source);
  return source;
}

let layouts = 0;
const freshDirectory = () => {
  const directory = join(folder, String(layouts++));
  mkdirSync(directory);
  return directory;
};

const run = promisify(execFile);

/** Pushes a layout, as far as its own checks let it. Not waited for in place: the token server is in this process. */
async function skopeo(layout: string, place: string, options: readonly string[] = []): Promise<void> {
  const from = `oci:${layout}:it`;
  const fixed = ['--insecure-policy', 'copy', '--quiet', '--all', '--preserve-digests', '--dest-tls-verify=false'];
  await run('/usr/bin/skopeo', [...fixed, ...options, from, `docker://${place}`], { timeout: 60_000 });
}

const limits = { bytesMax: 1e9, entriesMax: 10_000, ratioMax: 100, metadataBytesMax: 1024 * 1024 };
const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');

describe('a registry without authentication', { skip: dockerRegistrySkip }, () => {
  let registry: DockerRegistry;
  before(async () => {
    registry = await startDockerRegistry();
  });
  after(() => registry.stop());
  const host = () => `127.0.0.1:${registry.port}`;

  test('an artifact pushed by skopeo is listed by its tag, resolved by its digest and read', async () => {
    const weights = Buffer.alloc(300_000, 'w');
    const artifact = orasOf({ 'model.onnx': weights, 'labels.txt': 'a\nb\n' }, { 'sluice.version': '12' });
    const layout = freshDirectory();
    writeLayout(layout, 'it', artifact);
    await skopeo(layout, `${host()}/models/digits:prod`);
    const source = opened(ociSourceAt(registry.port, { models: { digits: { tag: 'prod' } } }));
    const listing = await source.list(signal);
    assert.deepEqual(listing?.ignored, []);
    const [model] = listing!.models;
    assert.deepEqual(model?.aliases, { prod: '12' });
    assert.deepEqual(
      model?.versions.map(({ version, revision, bytes }) => [version, revision, bytes]),
      [['12', artifact.digest, 300_000]],
    );
    const { files, revision, signatures } = await source.resolve('digits', '12', signal);
    assert.equal(revision, artifact.digest);
    assert.deepEqual(signatures, []);
    assert.deepEqual(
      files.map(({ path, bytes, sha256: digest }) => [path, bytes, digest]),
      [
        ['model.onnx', 300_000, sha256(weights)],
        ['labels.txt', 4, sha256('a\nb\n')],
      ],
    );
    assert.ok((await bytesAt(source, files[0]!)).equals(weights));
  });

  test('a poll without a change is answered 304 and lists nothing; a moved tag is seen at the next one', async () => {
    await push(registry.origin, { repository: 'models/moving', tag: 'prod' }, orasOf({ 'model.onnx': 'one' }));
    const source = opened(ociSourceAt(registry.port, { models: { moving: { tag: 'prod' } } }));
    assert.deepEqual((await source.list(signal))?.models[0]?.aliases, { prod: '1' });
    assert.equal(await source.list(signal), undefined);
    await push(registry.origin, { repository: 'models/moving', tag: 'prod' }, orasOf({ 'model.onnx': 'two' }));
    assert.deepEqual((await source.list(signal))?.models[0]?.aliases, { prod: '2' });
    await push(registry.origin, { repository: 'models/moving', tag: 'prod' }, orasOf({ 'model.onnx': 'one' }));
    assert.deepEqual((await source.list(signal))?.models[0]?.aliases, { prod: '1' });
  });

  test('a blob is resumed where it broke off', async () => {
    const weights = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 251));
    await push(registry.origin, { repository: 'models/resumed', tag: '3' }, orasOf({ 'model.onnx': weights }));
    const source = opened(ociSourceAt(registry.port, { models: { resumed: { tag: '3' } } }));
    await source.list(signal);
    const [file] = (await source.resolve('resumed', '3', signal)).files;
    const { etag, offset } = await source.open(file!, { offset: 0, etag: undefined }, signal);
    assert.equal(offset, 0);
    const rest = await bytesAt(source, file!, { offset: 20_000, etag });
    assert.ok(rest.equals(weights.subarray(20_000)));
  });

  test('tags that are numbers are versions, however many there are', async () => {
    for (const version of ['1', '2', 'v10']) {
      const artifact = orasOf({ 'model.onnx': `weights ${version}` });
      await push(registry.origin, { repository: 'models/many', tag: version }, artifact);
    }
    await push(registry.origin, { repository: 'models/many', tag: 'prod' }, orasOf({ 'model.onnx': 'weights 2' }));
    const newest = opened(ociSourceAt(registry.port, { models: { many: { latest: 2 } } }));
    const [model] = (await newest.list(signal))!.models;
    assert.deepEqual(
      model?.versions.map(({ version }) => version),
      ['2', '10'],
    );
    const byTag = opened(ociSourceAt(registry.port, { models: { many: { aliases: { champion: 'prod' } } } }));
    assert.deepEqual((await byTag.list(signal))!.models[0]?.aliases, { champion: '2' });
  });

  test('an archive that umoci packed is found in a ModelPack and unpacked', async () => {
    const layout = join(freshDirectory(), 'layout');
    const tar = join(freshDirectory(), 'layer.tar');
    writeFileSync(tar, tarOf({ 'model.onnx': 'weights', 'vocab/words.txt': 'a b c' }));
    const umoci = (...parameters: string[]) => run('/usr/bin/umoci', parameters, { timeout: 60_000 });
    await umoci('init', '--layout', layout);
    await umoci('new', '--image', `${layout}:it`);
    await umoci('raw', 'add-layer', '--image', `${layout}:it`, tar);
    await skopeo(layout, `${host()}/models/packed:image`);
    const read = (digest: string) => readFileSync(join(layout, 'blobs', 'sha256', digest.slice(7)));
    const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
    const [layer] = JSON.parse(read(index.manifests[0].digest).toString()).layers;
    assert.equal(layer.mediaType, 'application/vnd.oci.image.layer.v1.tar+gzip');
    const pack = modelPackOf([packLayer('weight.v1.tar+gzip', 'model', read(layer.digest))]);
    await push(registry.origin, { repository: 'models/packed', tag: 'pack' }, pack);

    const source = opened(ociSourceAt(registry.port, { models: { packed: { tags: ['pack', 'image'] } } }));
    const listing = await source.list(signal);
    assert.deepEqual(listing?.models[0]?.aliases, { pack: '1', image: '2' });
    const { files } = await source.resolve('packed', '1', signal);
    const directory = freshDirectory();
    const { chunks } = await source.open(files[0]!, { offset: 0, etag: undefined }, signal);
    const unpacked = await unpack(chunks, files[0]!.archive!, directory, limits);
    assert.deepEqual(
      unpacked.map(({ path }) => path),
      ['model.onnx', 'vocab/words.txt'],
    );
    assert.equal(readFileSync(join(directory, 'model.onnx'), 'utf8'), 'weights');
    await assert.rejects(source.resolve('packed', '2', signal), {
      code: 'FAILED_PRECONDITION',
      message: /container image, which the platform mounts.* is not an artifact of a model/,
    });
  });

  test('a ModelKit and a ModelPack pass through skopeo and are read, also through an index of both', async () => {
    const kit = modelKitOf([
      blobOf('application/vnd.kitops.modelkit.model.v1.tar', tarOf({ 'model.onnx': 'kit' })),
      blobOf('application/vnd.kitops.modelkit.docs.v1.tar', tarOf({ 'README.md': 'text' })),
    ]);
    const pack = modelPackOf([packLayer('weight.v1.raw', 'model.onnx', 'pack')]);
    for (const [tag, artifact] of Object.entries({ kit, pack })) {
      const layout = freshDirectory();
      writeLayout(layout, 'it', artifact);
      await skopeo(layout, `${host()}/models/kinds:${tag}`);
    }
    await push(registry.origin, { repository: 'models/kinds', tag: 'both' }, indexOf([pack, kit]));
    const source = opened(ociSourceAt(registry.port, { models: { kinds: { tags: ['kit', 'pack', 'both'] } } }));
    const [model] = (await source.list(signal))!.models;
    const names = async (tag: string) => (await source.resolve('kinds', model!.aliases[tag]!, signal)).files;
    assert.deepEqual(
      (await names('kit')).map(({ archive }) => archive),
      ['tar'],
    );
    assert.deepEqual(
      (await names('pack')).map(({ path }) => path),
      ['model.onnx'],
    );
    assert.deepEqual(
      (await names('both')).map(({ path, bytes }) => [path, bytes]),
      [['model.onnx', 4]],
    );
  });

  test('a cosign signature beside the artifact comes with it, as this registry knows no referrers', async () => {
    const artifact = orasOf({ 'model.onnx': 'signed' });
    const repository = 'models/signed';
    await push(registry.origin, { repository, tag: '1' }, artifact);
    const payload = JSON.stringify({ critical: { image: { 'docker-manifest-digest': artifact.digest } } });
    const layer = blobOf('application/vnd.dev.cosign.simplesigning.v1+json', payload, {
      'dev.cosignproject.cosign/signature': 'c2lnbmF0dXJl',
    });
    const config = blobOf('application/vnd.oci.image.config.v1+json', '{}');
    const tag = `${artifact.digest.replace(':', '-')}.sig`;
    await push(registry.origin, { repository, tag }, manifestOf({ config, layers: [layer] }));
    const source = opened(ociSourceAt(registry.port, { models: { signed: { tag: '1' } } }));
    await source.list(signal);
    const { signatures } = await source.resolve('signed', '1', signal);
    assert.deepEqual(
      signatures.map(({ path }) => path),
      ['attached.0.cosign.sig'],
    );
    const text = (await bytesAt(source, signatures[0]!)).toString();
    assert.deepEqual(JSON.parse(text), { payload: Buffer.from(payload).toString('base64'), signature: 'c2lnbmF0dXJl' });
  });

  test('what cosign signed by a trusted key is stored under a policy that requires it, and nothing else is', async (context) => {
    const [ours, stranger] = [pairOf('cosign.pub', 'prime256v1'), pairOf('stranger.pub', 'prime256v1')];
    const keys = freshDirectory();
    writeFileSync(join(keys, ours.by), ours.pem);
    const store = await openStore(context, { path: freshDirectory() });
    const repository = 'models/vouched';
    const config = blobOf('application/vnd.oci.image.config.v1+json', '{}');
    const pull = async (tag: string, by: Pair | undefined, about = tag) => {
      const artifactOf = (text: string) => orasOf({ 'model.onnx': text });
      const { digest } = artifactOf(tag);
      await push(registry.origin, { repository, tag }, artifactOf(tag));
      const identity = { 'docker-reference': `${host()}/${repository}` };
      const image = { 'docker-manifest-digest': artifactOf(about).digest };
      const type = 'cosign container image signature';
      const payload = JSON.stringify({ critical: { identity, image, type }, optional: null });
      if (by !== undefined) {
        const signature = sign('sha256', Buffer.from(payload), by.privateKey).toString('base64');
        const layer = blobOf('application/vnd.dev.cosign.simplesigning.v1+json', payload, {
          'dev.cosignproject.cosign/signature': signature,
        });
        await push(
          registry.origin,
          { repository, tag: `${digest.replace(':', '-')}.sig` },
          manifestOf({ config, layers: [layer] }),
        );
      }
      const source = opened(ociSourceAt(registry.port, { models: { vouched: { tags: [tag] } } }));
      await source.list(signal);
      const { registry: trusting } = loadConfig({ env: { SLUICE_REGISTRY_TRUST: keys } }).config;
      const entry = { name: 'oci', type: 'oci', signature: 'require' } as SourceConfig;
      const hooks = hooksOf(entry, trustOf(trusting), { warn: () => {} });
      return store.pull(source, await source.resolve('vouched', tag, signal), hooks);
    };
    const { record } = await pull('1', ours);
    assert.deepEqual([record.verdict.status, record.verdict.by], ['signed', 'cosign.pub']);
    assert.equal((await pull('1', undefined)).record.verdict.status, 'signed');
    const required = (reason: RegExp) => ({ kind: 'signature', message: reason });
    await assert.rejects(pull('2', stranger), required(/it was made by none of 1 trusted keys over its payload$/));
    await assert.rejects(pull('3', ours, '1'), required(/^a signature is required: signed by 0 of 1 trusted keys$/));
    await assert.rejects(pull('4', undefined), required(/^a signature is required: signed by 0 of 1 trusted keys$/));
  });

  test('a tag that is deleted is told, and the version is listed no more', async () => {
    const artifact = orasOf({ 'model.onnx': 'gone soon' });
    await push(registry.origin, { repository: 'models/gone', tag: 'prod' }, artifact);
    const source = opened(ociSourceAt(registry.port, { models: { gone: { tag: 'prod' } } }));
    assert.equal((await source.list(signal))?.models[0]?.versions.length, 1);
    const place = `${registry.origin}/v2/models/gone/manifests/${artifact.digest}`;
    assert.equal((await fetch(place, { method: 'DELETE' })).status, 202);
    const listing = await source.list(signal);
    assert.deepEqual(listing?.ignored, ["gone: there is no tag 'prod'"]);
    assert.deepEqual(listing?.models[0]?.versions, []);
  });

  test('a number given to a digest is the same after a restart', async () => {
    const numbers = rememberedNumbers();
    const listed = async () => {
      const source = opened(ociSourceAt(registry.port, { numbers, models: { moved: { tag: 'prod' } } }));
      return (await source.list(signal))?.models[0]?.aliases;
    };
    for (const content of ['one', 'two']) {
      await push(registry.origin, { repository: 'models/moved', tag: 'prod' }, orasOf({ 'model.onnx': content }));
      await listed();
    }
    assert.deepEqual(await listed(), { prod: '2' });
  });
});

for (const auth of ['htpasswd', 'token'] as const) {
  describe(`a registry that wants ${auth}`, { skip: dockerRegistrySkip }, () => {
    let registry: DockerRegistry;
    before(async () => {
      registry = await startDockerRegistry(auth);
      const layout = freshDirectory();
      writeLayout(layout, 'it', orasOf({ 'model.onnx': 'weights' }));
      const { user, password } = registryUser;
      await skopeo(layout, `127.0.0.1:${registry.port}/models/digits:7`, ['--dest-creds', `${user}:${password}`]);
    });
    after(() => registry.stop());

    const sourceWith = (password: string, allowRealms: readonly string[] = []) => {
      const realm = `127.0.0.1:${registry.tokenPort}`;
      const credentials = basicOf({ ...registryUser, password });
      const models = { digits: { tag: '7' } };
      return opened(ociSourceAt(registry.port, { models, credentials, allowRealms, allowHosts: [realm] }));
    };

    test('with the right password everything is read, and what was learned is used again', async () => {
      const given = registry.tokensGiven();
      const source = sourceWith(registryUser.password);
      assert.equal((await source.list(signal))?.models[0]?.versions[0]?.version, '7');
      const { files } = await source.resolve('digits', '7', signal);
      assert.equal((await bytesAt(source, files[0]!)).toString(), 'weights');
      assert.equal(registry.tokensGiven() - given, auth === 'token' ? 1 : 0);
    });

    test('with a wrong password it is UNAUTHENTICATED, and the password is not in the message', async () => {
      await assert.rejects(sourceWith('wrong one').list(signal), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'UNAUTHENTICATED');
        assert.doesNotMatch(error.message, /wrong one|robot/);
        return true;
      });
    });

    test('without credentials it is UNAUTHENTICATED', async () => {
      const allowHosts = [`127.0.0.1:${registry.tokenPort}`];
      const source = opened(ociSourceAt(registry.port, { models: { digits: { tag: '7' } }, allowHosts }));
      await assert.rejects(source.list(signal), { code: 'UNAUTHENTICATED' });
    });
  });
}
