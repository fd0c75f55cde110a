/** The store as a whole: what a version is there, what is refused, what is gone on with, what is removed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { Refusal, type SecurityKind } from '../src/registry/refusal.js';
import type { Artifact, Source } from '../src/registry/source.js';
import { incomingName } from '../src/registry/store/paths.js';
import type { PullHooks } from '../src/registry/store/pull.js';
import type { Store, StoreOptions } from '../src/registry/store/store.js';
import { artifactOf, type FakeFiles, fakeSource, freshPath, openStore, sha256, stated } from './store-source.js';

const small = { 'model.onnx': 'model', 'golden/0.json': '{}' } as const satisfies FakeFiles;

const refused = (kind: SecurityKind, reason: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Refusal, String(error));
  assert.equal(error.kind, kind);
  assert.match(error.message, reason);
  return true;
};

const fails = (code: string, reason: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GatewayError && !(error instanceof Refusal), String(error));
  assert.equal(error.code, code);
  assert.match(error.message, reason);
  return true;
};

/** Everything below incoming/ but the trash. */
const leftIn = async (store: string) => (await readdir(join(store, 'incoming'))).filter((name) => name !== 'trash');

/** One pull into a fresh store. */
async function pulled(
  context: TestContext,
  files: FakeFiles,
  changes: Partial<Artifact> = {},
  hooks: PullHooks = {},
  type: Source['type'] = 'http',
) {
  const path = freshPath(context);
  const store = await openStore(context, { path });
  const source = fakeSource(files, { type });
  return { path, store, source, stored: await store.pull(source, artifactOf(files, changes), hooks) };
}

/** A pull that is refused, and that nothing is left of. */
async function refuses(
  context: TestContext,
  files: FakeFiles,
  check: (error: unknown) => boolean,
  hooks: PullHooks = {},
) {
  const path = freshPath(context);
  const store = await openStore(context, { path });
  await assert.rejects(store.pull(fakeSource(files), artifactOf(files), hooks), check);
  assert.deepEqual(await leftIn(path), []);
  assert.deepEqual(store.versions(), []);
}

describe('a version in the store', () => {
  it('has the files of its source, read-only, under the digest that sha256sum gives', async (context) => {
    const files = { ...small, 'ä.bin': 'umlaut', B: 'capital', 'a-b': 'dash', 'a/b': 'below' };
    const { path, stored } = await pulled(context, files);
    const list = spawnSync(
      'sh',
      [
        '-c',
        'LC_ALL=C; export LC_ALL; find . -type f ! -name store-record.json | sed "s,^./,," | sort | xargs sha256sum',
      ],
      { cwd: stored.directory, encoding: 'utf8' },
    );
    assert.equal(stored.artifactSha256, sha256(list.stdout), list.stderr);
    assert.equal(stored.directory, join(path, 'versions', 'fake', 'fraud', `7@${stored.artifactSha256.slice(0, 12)}`));
    assert.equal(readFileSync(join(stored.directory, 'golden/0.json'), 'utf8'), '{}');
    for (const name of ['model.onnx', 'golden/0.json', 'store-record.json']) {
      assert.equal(statSync(join(stored.directory, name)).mode & 0o777, 0o444, name);
    }
    for (const name of ['', 'golden']) assert.equal(statSync(join(stored.directory, name)).mode & 0o777, 0o555, name);
    assert.equal(statSync(path).mode & 0o777, 0o700);
  });

  it('is found again by the next process, with all that is known of it', async (context) => {
    const path = freshPath(context);
    const first = await openStore(context, { path, now: () => 1_700_000_000_000 });
    const changes = {
      config: { name: 'config.pbtxt', text: 'max_batch_size: 8', labels: { 'labels.txt': 'a\nb' } },
      facts: { tags: { stage: 'prod' }, description: 'd', metrics: { auc: 0.9 }, runId: 'x', created: '' },
    };
    const stored = await first.pull(fakeSource(small), artifactOf(small, changes));
    await first.close();
    const second = await openStore(context, { path });
    assert.deepEqual(second.versions(), [stored]);
    assert.deepEqual(stored.record, {
      schema: 1,
      source: 'fake',
      sourceType: 'http',
      model: 'fraud',
      version: '7',
      revision: 'r1',
      artifactSha256: stored.artifactSha256,
      files: [
        { path: 'model.onnx', bytes: 5, sha256: sha256('model') },
        { path: 'golden/0.json', bytes: 2, sha256: sha256('{}') },
      ],
      ...changes,
      verdict: { status: 'unchecked', by: '', keyId: '', reason: '' },
      signatures: [],
      pulledAt: 1_700_000_000_000,
    });
    assert.equal(second.bytes(), 7);
    assert.equal(second.find({ model: 'fraud', revision: 'r1' }), second.versions()[0]);
    assert.equal(second.find({ model: 'fraud', version: '8' }), undefined);
  });

  it('is not downloaded again under the same revision, nor when the same bytes are stated under another', async (context) => {
    const files = stated({ 'model.onnx': 'model' });
    const { store, source, stored } = await pulled(context, files);
    assert.equal(await store.pull(source, artifactOf(files)), stored);
    const again = await store.pull(source, artifactOf(files, { revision: 'r2' }));
    assert.equal(again.directory, stored.directory);
    assert.equal(again.record.revision, 'r2');
    assert.deepEqual(source.opened, ['model.onnx@0']);
  });

  it('is pulled once when two ask for it at once', async (context) => {
    const store = await openStore(context);
    const source = fakeSource(small);
    const [a, b] = await Promise.all([store.pull(source, artifactOf(small)), store.pull(source, artifactOf(small))]);
    assert.equal(a, b);
    assert.equal(source.opened.length, 2);
  });

  it('keeps its files untouched when its configuration changes, and when the same bytes come again', async (context) => {
    const { path, store, stored } = await pulled(context, small);
    const before = statSync(join(stored.directory, 'model.onnx'), { bigint: true });
    const config = { name: 'config.yaml', text: 'a: 1', labels: {} };
    const changed = await store.pull(fakeSource(small), artifactOf(small, { config }));
    const again = await store.pull(fakeSource(small), artifactOf(small, { config, revision: 'r3' }));
    assert.deepEqual([changed.record.config, again.record.revision], [config, 'r3']);
    const after = statSync(join(stored.directory, 'model.onnx'), { bigint: true });
    assert.deepEqual([after.ino, after.mtimeNs, after.ctimeNs], [before.ino, before.mtimeNs, before.ctimeNs]);
    assert.deepEqual(await leftIn(path), []);
    await store.close();
    assert.deepEqual((await openStore(context, { path })).versions(), [again]);
  });

  it('has its signatures in the record, and files they leave out nowhere', async (context) => {
    const files = { ...small, 'manifest.json.sig': 'one', 'signatures/model.sig': 'two', '.gitignore': '*' };
    const seen: string[] = [];
    const { stored } = await pulled(
      context,
      files,
      { manifests: ['sha256:1'] },
      {
        verify: async (directory, all, signatures, manifests) => {
          seen.push(...all.map((file) => file.path), ...signatures.map(({ path, content }) => `${path}=${content}`));
          assert.deepEqual(manifests, ['sha256:1']);
          assert.equal(readFileSync(join(directory, 'model.onnx'), 'utf8'), 'model');
          return { status: 'signed', by: 'key.pem', keyId: 'id', reason: '', exempt: ['.gitignore'] };
        },
      },
    );
    assert.deepEqual(seen, [
      'model.onnx',
      'golden/0.json',
      '.gitignore',
      'signatures/model.sig=two',
      'manifest.json.sig=one',
    ]);
    assert.deepEqual(readdirSync(stored.directory).sort(), ['golden', 'model.onnx', 'store-record.json']);
    assert.deepEqual(stored.record.verdict, { status: 'signed', by: 'key.pem', keyId: 'id', reason: '' });
    assert.deepEqual(
      stored.record.signatures.map(({ base64 }) => Buffer.from(base64, 'base64').toString()),
      ['two', 'one'],
    );
  });

  it('is judged again when it is there already: the policy may have changed', async (context) => {
    const { store, source } = await pulled(context, { ...small, 'model.sig': 's' });
    const verify: PullHooks['verify'] = async (_, { length: files }, { length: signatures }, manifests) => {
      throw new Refusal('signature', `${files} files, ${signatures} signatures, of ${manifests.join()}`);
    };
    const artifact = artifactOf(small, { manifests: ['sha256:1', 'sha256:2'] });
    const reason = /2 files, 1 signatures, of sha256:1,sha256:2$/;
    await assert.rejects(store.pull(source, artifact, { verify }), refused('signature', reason));
  });

  it('is brought again without the files that its signatures leave out, once they are trusted', async (context) => {
    const files = stated({ ...small, '.gitignore': '*' });
    const verdict = { status: 'signed', by: 'key.pem', keyId: 'id', reason: '' } as const;
    const { store, source, stored } = await pulled(context, files);
    assert.ok(existsSync(join(stored.directory, '.gitignore')));
    const verify = async () => ({ ...verdict, exempt: ['.gitignore'] });
    const again = await store.pull(source, artifactOf(files), { verify });
    assert.deepEqual(readdirSync(again.directory).sort(), ['golden', 'model.onnx', 'store-record.json']);
    assert.deepEqual(again.record.verdict, verdict);
    assert.deepEqual(store.find({ model: 'fraud', version: '7' }), again);
    const opened = source.opened.length;
    assert.deepEqual(await store.pull(source, artifactOf(files), { verify }), again);
    assert.equal(source.opened.length, opened, 'the third time nothing is to be brought');
  });

  it('is brought again when its source has a signature of it that was not there before', async (context) => {
    const { store, source, stored } = await pulled(context, stated(small));
    const verify: PullHooks['verify'] = async (_, __, signatures) => ({
      status: signatures.length > 0 ? 'signed' : 'unsigned',
      by: '',
      keyId: '',
      reason: signatures.map(({ content }) => String(content)).join(),
      exempt: [],
    });
    assert.equal((await store.pull(source, artifactOf(stated(small)), { verify })).record.verdict.status, 'unsigned');
    const signed = stated({ ...small, 'signatures/cosign.json': 'by hand' });
    const again = await store.pull(fakeSource(signed), artifactOf(signed), { verify });
    assert.deepEqual([again.record.verdict.status, again.record.verdict.reason], ['signed', 'by hand']);
    assert.equal(again.artifactSha256, stored.artifactSha256);
  });

  it('of a local folder may change under one number; both are kept until one is collected', async (context) => {
    const { path, store, stored } = await pulled(context, small, {}, {}, 'directory');
    const files = { ...small, 'model.onnx': 'another' };
    const next = await store.pull(fakeSource(files, { type: 'directory' }), artifactOf(files, { revision: 'r2' }));
    assert.notEqual(next.artifactSha256, stored.artifactSha256);
    assert.equal(store.versions().length, 2);
    const last = () => store.find({ model: 'fraud', version: '7' })?.artifactSha256;
    assert.equal(last(), next.artifactSha256);
    // And back: the bytes of before, under the revision of before.
    await store.pull(fakeSource(small, { type: 'directory' }), artifactOf(small));
    assert.equal(last(), stored.artifactSha256);
    await store.close();
    assert.equal((await openStore(context, { path })).find({ model: 'fraud' })?.artifactSha256, stored.artifactSha256);
  });

  it('tells how far it is, and where', async (context) => {
    const steps: string[] = [];
    const told: unknown[] = [];
    await pulled(
      context,
      stated({ 'model.onnx': 'model' }),
      {},
      {
        onStep: (step) => {
          steps.push(step);
        },
        onProgress: ({ doneBytes, totalBytes }) => told.push([doneBytes, totalBytes]),
      },
    );
    assert.deepEqual(steps, ['begun', 'downloaded', 'unpacked', 'verified', 'recorded', 'synced', 'renamed', 'done']);
    assert.deepEqual(told.at(-1), [5, 5]);
  });
});

describe('a list of files', () => {
  const manifest = (files: Readonly<Record<string, string>>, changes: object = {}) =>
    JSON.stringify({
      schema: 1,
      files: Object.entries(files).map(([path, content]) => ({
        path,
        size: Buffer.byteLength(content),
        sha256: sha256(content),
        ...changes,
      })),
      signature: { inputs: [], outputs: [] },
    });

  it('in manifest.json or SHA256SUMS is what the files must be', async (context) => {
    const files = { 'model.onnx': 'model', 'a/b.bin': 'b' };
    const sums = `${sha256('model')}  model.onnx\n${sha256('b')} *./a/b.bin\n`;
    await pulled(context, { ...files, 'manifest.json': manifest(files) });
    await pulled(context, { ...files, SHA256SUMS: sums });
  });

  it('refuses a flipped byte, naming the file and both digests', async (context) => {
    const files = { 'model.onnx': 'modeL', 'manifest.json': manifest({ 'model.onnx': 'model' }) };
    const text = `'model.onnx' was to have sha256 ${sha256('model')}, got ${sha256('modeL')}`;
    await refuses(context, files, refused('digest_mismatch', new RegExp(`model 'fraud' version 7: ${text}`)));
    const sums = { 'model.onnx': 'modeL', SHA256SUMS: `${sha256('model')}  model.onnx\n` };
    await refuses(context, sums, refused('digest_mismatch', new RegExp(text)));
  });

  it('refuses a file too many or missing before anything large is fetched', async (context) => {
    const store = await openStore(context);
    const listed = manifest({ 'model.onnx': 'model' });
    const more = { 'model.onnx': 'model', extra: 'x', 'manifest.json': listed };
    const source = fakeSource(more);
    await assert.rejects(
      store.pull(source, artifactOf(more)),
      refused('digest_mismatch', /'extra' is not listed in manifest.json/),
    );
    assert.deepEqual(source.opened, ['manifest.json@0']);
    await refuses(
      context,
      { 'manifest.json': listed },
      refused('digest_mismatch', /'model.onnx' is listed .* not there/),
    );
  });

  it('refuses a size that differs, and a source that states another digest', async (context) => {
    const files = { 'model.onnx': 'model', 'manifest.json': manifest({ 'model.onnx': 'model' }, { size: 4 }) };
    await refuses(context, files, refused('digest_mismatch', /was to have 4 bytes, got 5 or more/));
    const torn = {
      'model.onnx': { content: 'model', sha256: sha256('other') },
      'manifest.json': manifest({ 'model.onnx': 'model' }),
    };
    await refuses(context, torn, refused('digest_mismatch', /as the source states, got .* in manifest.json/));
  });

  it('that cannot be read refuses the version', async (context) => {
    await refuses(context, { ...small, 'manifest.json': '{' }, fails('FAILED_PRECONDITION', /^manifest.json: /));
    await refuses(
      context,
      { ...small, SHA256SUMS: 'abc  model.onnx' },
      fails('FAILED_PRECONDITION', /SHA256SUMS: line 1/),
    );
    const climbing = `${sha256('')}  ../model.onnx\n`;
    await refuses(context, { ...small, SHA256SUMS: climbing }, fails('FAILED_PRECONDITION', /SHA256SUMS: line 1/));
  });
});

describe('a pull refuses', () => {
  it('a digest or size other than stated', async (context) => {
    const wrong = { 'model.onnx': { content: 'modeL', sha256: sha256('model') } };
    await refuses(context, wrong, refused('digest_mismatch', /was to have sha256/));
    const long = { 'model.onnx': { content: 'model', bytes: 4 } };
    await refuses(context, long, refused('digest_mismatch', /was to have 4 bytes, got 5 or more/));
  });

  it('names that climb, collide or are the store’s own', async (context) => {
    for (const path of ['../a', '/a', 'a/../b', 'a\\b', 'a\0', `${'x'.repeat(256)}`]) {
      await refuses(context, { [path]: 'x' }, refused('traversal', /is not a relative path inside the version/));
    }
    await refuses(context, { a: '1', A: '2' }, refused('traversal', /'A' is there twice, or differs only in case/));
    await refuses(context, { A: '1', 'a/b': '2' }, refused('traversal', /'a' is a file and a directory/));
    await refuses(
      context,
      { 'store-record.json': '{}' },
      fails('FAILED_PRECONDITION', /name of the store's own record/),
    );
    const store = await openStore(context);
    for (const changes of [
      { model: '../x' },
      { model: 'a..b' },
      { model: 'stats' },
      { version: '07' },
      { version: '1/2' },
    ]) {
      await assert.rejects(
        store.pull(fakeSource(small), artifactOf(small, changes)),
        fails('FAILED_PRECONDITION', /cannot be stored/),
      );
    }
    await assert.rejects(
      store.pull(fakeSource(small, { name: 'A/..' }), artifactOf(small)),
      fails('FAILED_PRECONDITION', /source name 'A\/\.\.' cannot be stored/),
    );
  });

  it('more than the limits of a file and of a version, whatever the source says of sizes', async (context) => {
    const files = { a: 'x'.repeat(60), b: 'y'.repeat(60) };
    const store = await openStore(context, { fileBytesMax: 50, versionBytesMax: 1000 });
    await assert.rejects(
      store.pull(fakeSource(files), artifactOf(files)),
      fails('FAILED_PRECONDITION', /'a' has 60 bytes or more, at most 50/),
    );
    const other = await openStore(context, { versionBytesMax: 100 });
    await assert.rejects(
      other.pull(fakeSource(files), artifactOf(files)),
      fails('FAILED_PRECONDITION', /has 120 bytes or more, at most 100/),
    );
    assert.equal(
      (
        await openStore(context, { fileBytesMax: 60, versionBytesMax: 120 }).then((exact) =>
          exact.pull(fakeSource(files), artifactOf(files)),
        )
      ).bytes,
      120,
    );
  });

  it('other bytes under the same version when nobody states a digest, also after the first have left the store', async (context) => {
    const path = freshPath(context);
    const store = await openStore(context, { path, keepVersions: 0 });
    const first = await store.pull(fakeSource(small), artifactOf(small));
    const changed = { ...small, 'model.onnx': 'swapped' };
    const again = (to: Store) => to.pull(fakeSource(changed), artifactOf(changed, { revision: 'r2' }));
    const message = new RegExp(`was ${first.artifactSha256} when it was first pulled`);
    await assert.rejects(again(store), refused('pinned_digest', message));
    assert.deepEqual((await store.collect(new Set(), 0)).removed, [first]);
    await store.close();
    const next = await openStore(context, { path });
    await assert.rejects(again(next), refused('pinned_digest', message));
    assert.equal((await next.pull(fakeSource(small), artifactOf(small))).artifactSha256, first.artifactSha256);
    const honest = stated({ 'model.onnx': 'swapped' });
    await next.pull(fakeSource(honest), artifactOf(honest, { revision: 'r3' }));
  });

  it('what the signatures are refused for', async (context) => {
    const verify = () => Promise.reject(new Refusal('signature', 'nobody signed it'));
    await refuses(context, small, refused('signature', /nobody signed it/), { verify });
  });

  it('what finds no room: in the store, on the disk', async (context) => {
    const files = stated({ 'model.onnx': 'model' });
    const full = await openStore(context, { storeBytesMax: 4 });
    await assert.rejects(
      full.pull(fakeSource(files), artifactOf(files)),
      fails('RESOURCE_EXHAUSTED', /has 5 bytes, the store has 0 of at most 4/),
    );
    await assert.rejects(
      full.pull(fakeSource(small), artifactOf(small)),
      fails('RESOURCE_EXHAUSTED', /has 7 bytes, the store has 0 of at most 4/),
    );
    const crowded = await openStore(context, { spareBytesMin: 2 ** 60 });
    await assert.rejects(
      crowded.pull(fakeSource(files), artifactOf(files)),
      fails('RESOURCE_EXHAUSTED', /the disk has [0-9]+ free, of which 1152921504606847000 stay free/),
    );
  });
});

describe('an archive', () => {
  const files = { 'layer.tar': { content: 'tape', archive: 'tar', sha256: 'right' }, 'notes.txt': 'n' } as const;
  const unpacking =
    (inside: Readonly<Record<string, string>>, seen: unknown[] = []): PullHooks['unpack'] =>
    async (chunks, kind, directory, limits) => {
      const bytes: Uint8Array[] = [];
      for await (const chunk of chunks) bytes.push(chunk);
      seen.push(Buffer.concat(bytes).toString(), kind, limits.entriesMax);
      for (const [path, content] of Object.entries(inside)) writeFileSync(join(directory, path), content);
      return Object.entries(inside).map(([path, content]) => ({
        path,
        bytes: content.length,
        sha256: sha256(content),
      }));
    };

  it('is unpacked into the version once its own digest is right, and does not lie there itself', async (context) => {
    const seen: unknown[] = [];
    const { stored } = await pulled(
      context,
      files,
      {},
      { unpack: unpacking({ 'model.onnx': 'm', 'x.sig': 's' }, seen) },
    );
    assert.deepEqual(seen, ['tape', 'tar', 10_000]);
    assert.deepEqual(readdirSync(stored.directory).sort(), ['model.onnx', 'notes.txt', 'store-record.json']);
    assert.deepEqual(
      stored.record.files.map(({ path }) => path),
      ['notes.txt', 'model.onnx'],
    );
    assert.equal(stored.record.signatures[0]!.path, 'x.sig');
  });

  it('with the wrong digest is never unpacked', async (context) => {
    const wrong = { 'layer.tar': { ...files['layer.tar'], sha256: sha256('other') } };
    const unpack = () => Promise.reject(new Error('unpacked'));
    await refuses(context, wrong, refused('digest_mismatch', /'layer.tar' was to have sha256/), { unpack });
  });

  it('may hold the list of files, and nothing beyond it', async (context) => {
    const SHA256SUMS = `${sha256('m')}  model.onnx\n${sha256('n')}  notes.txt\n`;
    await pulled(context, files, {}, { unpack: unpacking({ 'model.onnx': 'm', SHA256SUMS }) });
    await refuses(context, files, refused('digest_mismatch', /'extra' is not listed in SHA256SUMS/), {
      unpack: unpacking({ 'model.onnx': 'm', SHA256SUMS, extra: 'x' }),
    });
    await refuses(context, files, refused('digest_mismatch', /'model.onnx' was to have sha256/), {
      unpack: unpacking({ 'model.onnx': 'M', SHA256SUMS }),
    });
  });

  it('is refused when its names collide with a file beside it, when it is refused itself, and when nothing unpacks it', async (context) => {
    await refuses(context, files, refused('traversal', /'NOTES.txt' is there twice/), {
      unpack: unpacking({ 'NOTES.txt': 'm' }),
    });
    const unpack = () => Promise.reject(new Refusal('archive', 'a link'));
    await refuses(context, files, refused('archive', /a link/), { unpack });
    await refuses(context, files, fails('UNIMPLEMENTED', /'layer.tar' is an archive/));
  });
});

describe('a stream that breaks', () => {
  const content = Buffer.alloc(2 * 1024 * 1024 + 5, 'weights ');
  const at = 1024 * 1024 + 7;

  it('is gone on with where the source can prove that it is the same file', async (context) => {
    const { source, stored } = await pulled(context, { w: { content, etag: 'e', breaks: [at, at] } });
    assert.deepEqual(source.opened, ['w@0', `w@${at}`, `w@${at}`]);
    assert.equal(stored.record.files[0]!.sha256, sha256(content));
  });

  it('begins again without an etag, and when the source starts over', async (context) => {
    const plain = await pulled(context, { w: { content, breaks: [at] } });
    assert.deepEqual(plain.source.opened, ['w@0', 'w@0']);
    const over = await pulled(context, { w: { content, etag: 'e', startsOver: true, breaks: [at] } });
    assert.deepEqual(over.source.opened, ['w@0', `w@${at}`]);
    assert.equal(over.stored.record.files[0]!.sha256, sha256(content));
  });

  it('is noticed when it looks like an end, as long as anybody said how long the file is', async (context) => {
    const { source } = await pulled(context, { w: { content, bytes: 'right', breaks: [at], endsQuietly: true } });
    assert.equal(source.opened.length, 2);
  });

  it('for good leaves what there is for a later pull, also of another process', async (context) => {
    const path = freshPath(context);
    const store = await openStore(context, { path });
    const files = { w: { content, etag: 'e', breaks: [at, at, at] } };
    const source = fakeSource(files);
    await assert.rejects(
      store.pull(source, artifactOf(files)),
      fails('UNAVAILABLE', /stream of 'w' broke \(ECONNRESET\)/),
    );
    assert.equal(source.opened.length, 3);
    await store.close();
    const next = await openStore(context, { path });
    const later = fakeSource({ w: { content, etag: 'e' } });
    const stored = await next.pull(later, artifactOf(files));
    assert.deepEqual(later.opened, [`w@${at}`]);
    assert.equal(stored.record.files[0]!.sha256, sha256(content));
    assert.deepEqual(await leftIn(path), []);
  });

  it('waits longer each time, and as long as the source asks for', async (context) => {
    const slept: number[] = [];
    const sleep = async (delayMs: number) => void slept.push(delayMs);
    const store = await openStore(context, { retry: { triesMax: 5, sleep, random: () => 0.5 } });
    const asks = new GatewayError('UNAVAILABLE', 'busy', { retryAfterMs: 20_000 });
    const source = fakeSource(small);
    let times = 0;
    const open: Source['open'] = (file, from, signal) =>
      ++times < 4 ? Promise.reject(times === 3 ? asks : new Error('x')) : source.open(file, from, signal);
    await store.pull({ ...source, open }, artifactOf({ 'model.onnx': 'model' }));
    assert.deepEqual(slept, [1500, 2500, 20_000]);
  });

  it('is not waited for once the pull is given up', async (context) => {
    const abort = new AbortController();
    const sleep = (_: number, signal: AbortSignal) => {
      abort.abort();
      return Promise.reject(signal.reason);
    };
    const store = await openStore(context, { retry: { triesMax: 5, sleep, random: () => 0 } });
    const files = { w: { content, breaks: [at] } };
    await assert.rejects(
      store.pull(fakeSource(files), artifactOf(files), { signal: abort.signal }),
      fails('CANCELLED', /given up/),
    );
  });

  it('is not retried when the source says that the file is wrong or gone', async (context) => {
    const store = await openStore(context);
    let times = 0;
    const open = () => {
      times++;
      return Promise.reject(new GatewayError('NOT_FOUND', 'gone'));
    };
    const files = { 'model.onnx': 'model' };
    await assert.rejects(store.pull({ ...fakeSource(files), open }, artifactOf(files)), fails('NOT_FOUND', /gone/));
    assert.equal(times, 1);
  });

  it('left wrong bytes behind: the file is fetched once more before anybody is blamed', async (context) => {
    const path = freshPath(context);
    const store = await openStore(context, { path });
    const files = { w: { content, etag: 'e', sha256: 'right', breaks: [at, at, at] } } as const;
    await assert.rejects(store.pull(fakeSource(files), artifactOf(files)), fails('UNAVAILABLE', /broke/));
    const directory = join(path, 'incoming', incomingName({ source: 'fake', model: 'fraud', version: '7' }, 'r1'));
    const part = readdirSync(directory).find((name) => !name.includes('.'))!;
    const file = await open(join(directory, part), 'r+');
    await file.write('flipped', 100);
    await file.close();
    const later = fakeSource({ w: { content, etag: 'e' } });
    await store.pull(later, artifactOf(files));
    assert.deepEqual(later.opened, [`w@${at}`, 'w@0']);
  });

  it('is given up with its caller, and with the store', async (context) => {
    const path = freshPath(context);
    const store = await openStore(context, { path });
    const abort = new AbortController();
    const files = { w: { content, onChunk: () => abort.abort() } };
    const given = store.pull(fakeSource(files), artifactOf(files), { signal: abort.signal });
    await assert.rejects(given, fails('CANCELLED', /given up/));
    const hanging = { w: { content, onChunk: () => void store.close() } };
    await assert.rejects(
      store.pull(fakeSource(hanging), artifactOf(hanging, { version: '8' })),
      fails('CANCELLED', /given up/),
    );
    await assert.rejects(store.pull(fakeSource(small), artifactOf(small)), fails('UNAVAILABLE', /closed/));
  });
});

describe('links planted in incoming', () => {
  const offer = { source: 'fake', model: 'fraud', version: '7' };
  const files = { w: { content: 'bytes', etag: 'e' } };

  it('in the place of a pull or of a file are removed and not followed', async (context) => {
    const path = freshPath(context);
    const outside = freshPath(context);
    const store = await openStore(context, { path });
    const directory = join(path, 'incoming', incomingName(offer, 'r1'));
    symlinkSync(outside, directory);
    await store.pull(fakeSource(files), artifactOf(files));
    assert.deepEqual(readdirSync(outside), []);
    const part = sha256('w').slice(0, 32);
    const second = join(path, 'incoming', incomingName(offer, 'r2'));
    writeFileSync(join(outside, 'target'), 'mine');
    await mkdir(second);
    symlinkSync(join(outside, 'target'), join(second, part));
    symlinkSync(outside, join(second, 'version'));
    const changed = { w: { content: 'other', sha256: 'right' } } as const;
    const stored = await store.pull(fakeSource(changed), artifactOf(changed, { revision: 'r2' }));
    assert.equal(readFileSync(join(stored.directory, 'w'), 'utf8'), 'other');
    assert.deepEqual(readdirSync(outside), ['target']);
    assert.equal(readFileSync(join(outside, 'target'), 'utf8'), 'mine');
  });
});

describe('opening', () => {
  it('removes what is no version and says so where somebody may miss it', async (context) => {
    const path = freshPath(context);
    const first = await openStore(context, { path });
    const stored = await first.pull(fakeSource(small), artifactOf(small));
    await first.close();
    const models = join(path, 'versions', 'fake');
    await mkdir(join(models, 'half', '1@0123456789ab', 'deep'), { recursive: true });
    await mkdir(join(models, 'torn', '2@0123456789ab'), { recursive: true });
    writeFileSync(join(models, 'torn', '2@0123456789ab', 'store-record.json'), '{"schema":1');
    await mkdir(join(models, 'other', '3@0123456789ab'), { recursive: true });
    writeFileSync(join(models, 'other', '3@0123456789ab', 'store-record.json'), JSON.stringify(stored.record));
    const reports: string[] = [];
    const store = await openStore(context, { path, report: (message) => reports.push(message) });
    assert.deepEqual(store.versions(), [stored]);
    for (const model of ['half', 'torn', 'other']) assert.deepEqual(readdirSync(join(models, model)), [], model);
    assert.equal(reports.length, 2);
    assert.match(reports.join('\n'), /version 2 of model 'torn' is removed, its record cannot be used: /);
    assert.match(reports.join('\n'), /version 3 of model 'other' is removed, .*: it is that of another version/);
  });

  it('removes pulls that are too old or too empty to go on with, and keeps the others', async (context) => {
    const path = freshPath(context);
    await (await openStore(context, { path })).close();
    await mkdir(join(path, 'incoming', 'old', 'version'), { recursive: true });
    await mkdir(join(path, 'incoming', 'empty'));
    writeFileSync(join(path, 'incoming', 'old', 'part'), 'bytes');
    await (await openStore(context, { path, now: () => Date.now() + 23 * 3600 * 1000 })).close();
    assert.deepEqual(await leftIn(path), ['old']);
    await (await openStore(context, { path, now: () => Date.now() + 25 * 3600 * 1000 })).close();
    assert.deepEqual(await leftIn(path), []);
  });
});

describe('collecting', () => {
  it('removes old leftovers of pulls and disturbs none under way', async (context) => {
    const path = freshPath(context);
    let time = Date.now();
    const store = await openStore(context, { path, now: () => time });
    await mkdir(join(path, 'incoming', 'left'));
    writeFileSync(join(path, 'incoming', 'left', 'part'), 'bytes');
    const files = {
      'model.onnx': {
        content: 'model',
        onChunk: async () => {
          time += 25 * 3600 * 1000;
          await store.collect(new Set(), 0);
          assert.deepEqual((await leftIn(path)).length, 1);
        },
      },
    };
    await store.pull(fakeSource(files), artifactOf(files));
    assert.deepEqual(await leftIn(path), []);
  });

  async function filled(context: TestContext, changes: Partial<StoreOptions> = {}) {
    let time = 1000;
    const path = freshPath(context);
    const store = await openStore(context, { ...changes, path, now: () => time });
    const versions = [];
    for (const version of ['1', '2', '9', '10']) {
      const files = { 'model.onnx': `model ${version.padStart(4)}` };
      time += 1000;
      versions.push(await store.pull(fakeSource(files), artifactOf(files, { version, revision: version })));
    }
    const numbers = () => store.versions().map(({ version }) => version);
    return { path, store, versions, numbers, advance: (ms: number) => (time += ms) };
  }

  it('keeps the newest by number and whatever is marked, and removes the rest after the grace time', async (context) => {
    const { store, versions, numbers, advance } = await filled(context, { keepVersions: 1 });
    const keep = new Set([versions[0]!.artifactSha256]);
    await store.collect(keep, 60_000);
    advance(59_999);
    await store.collect(keep, 60_000);
    assert.deepEqual(numbers(), ['1', '2', '9', '10']);
    advance(1);
    const { removed, bytes } = await store.collect(keep, 60_000);
    assert.deepEqual(
      removed.map(({ version }) => version),
      ['2', '9'],
    );
    assert.deepEqual([numbers(), bytes, store.bytes()], [['1', '10'], 20, 20]);
    for (const { directory } of removed) assert.equal(existsSync(directory), false);
  });

  it('counts the grace time anew for what was marked meanwhile', async (context) => {
    const { store, versions, numbers, advance } = await filled(context, { keepVersions: 3 });
    await store.collect(new Set(), 1000);
    advance(900);
    await store.collect(new Set([versions[0]!.artifactSha256]), 1000);
    advance(900);
    await store.collect(new Set(), 1000);
    assert.equal(numbers().length, 4);
    advance(1000);
    await store.collect(new Set(), 1000);
    assert.deepEqual(numbers(), ['2', '9', '10']);
  });

  it('makes room from the oldest on, grace or not, and never from what is marked', async (context) => {
    const { store, versions, numbers } = await filled(context, { keepVersions: 1, storeBytesMax: 40 });
    const keep = new Set([versions[0]!.artifactSha256]);
    await store.collect(keep, 60_000, 10);
    assert.deepEqual(numbers(), ['1', '9', '10']);
    await store.collect(keep, 60_000, 40);
    assert.deepEqual(numbers(), ['1', '10']);
  });

  it('leaves the bytes to whoever has them open', async (context) => {
    const { store, versions } = await filled(context, { keepVersions: 0 });
    const file = await open(join(versions[0]!.directory, 'model.onnx'));
    await store.collect(new Set(), 0);
    assert.equal(await file.readFile('utf8'), 'model    1');
    await file.close();
  });
});
