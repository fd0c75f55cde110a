/** OpenSSF model signing v1 with a key: each check of registry.md §10.2 has a bundle that only it refuses. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VersionFile } from '../src/registry/signing/statement.js';
import { verifySignatures } from '../src/registry/signing/verify.js';
import {
  type BundleChange,
  bundle,
  type Curve,
  detached,
  pairOf,
  rootOf,
  type Statement,
  sha256,
  trustIn,
  writeVersion,
} from './signing-fixture.js';
import { freshDirectory } from './system/server.js';

const curves: readonly Curve[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const key = pairOf('release.pem', 'prime256v1');

function fileOf(path: string, text = path): VersionFile {
  return { path, bytes: text.length, sha256: sha256(text) };
}

const files = [fileOf('config.json'), fileOf('model.onnx'), fileOf('weights/0.bin')];

async function judge(change: BundleChange = {}, there: readonly VersionFile[] = files, pairs = [key]) {
  const signatures = [bundle(files, key, change)];
  const trust = trustIn(...pairs);
  const verdict = await verifySignatures({ directory: '', files: there, signatures, trust, policy: { mode: 'warn' } });
  return { ...verdict, reason: verdict.reason.replace('model.sig: ', '') };
}

async function assertWrong(reason: string | RegExp, change: BundleChange, there = files): Promise<void> {
  const verdict = await judge(change, there);
  assert.equal(verdict.status, 'wrong', verdict.reason);
  if (typeof reason === 'string') assert.equal(verdict.reason, reason);
  else assert.match(verdict.reason, reason);
}

/** The statement with another list of resources and a root that fits it. */
function listing(statement: Statement, resources: Statement['predicate']['resources']): Statement {
  const subject = [{ name: 'digits', digest: { sha256: rootOf(resources) } }];
  return { ...statement, subject, predicate: { ...statement.predicate, resources } };
}

function serializedBy(statement: Statement, change: object): Statement {
  const { predicate } = statement;
  return { ...statement, predicate: { ...predicate, serialization: { ...predicate.serialization, ...change } } };
}

test('each curve signs with its own hash and vouches for every file', async () => {
  for (const curve of curves) {
    const pair = pairOf(`${curve}.pem`, curve);
    const verdict = await verifySignatures({
      directory: '',
      files,
      signatures: [bundle(files, pair)],
      trust: trustIn(key, pair),
      policy: { mode: 'require' },
    });
    assert.deepEqual([verdict.status, verdict.by, verdict.exempt], ['signed', `${curve}.pem`, []]);
  }
});

test('a signature with a hash that does not follow the curve is wrong', async () => {
  await assertWrong("it was not made by key 'release.pem' over this payload", { hash: 'sha512' });
  const pair = pairOf('p384.pem', 'secp384r1');
  const signatures = [bundle(files, pair, { hash: 'sha256' })];
  const { status } = await verifySignatures({
    directory: '',
    files,
    signatures,
    trust: trustIn(pair),
    policy: { mode: 'warn' },
  });
  assert.equal(status, 'wrong');
});

test('only DER is a form of the signature', async () => {
  await assertWrong(/^it was not made by key/, { dsaEncoding: 'ieee-p1363' });
});

test('only the pre-authentication encoding of DSSE is signed, not that of releases before 1.0', async () => {
  const reason = "it was not made by key 'release.pem' over this payload";
  const type = 'application/vnd.in-toto+json';
  const python = (payload: Buffer) => `b'${payload.toString().replaceAll('\n', '\\n')}'`;
  await assertWrong(reason, {
    pae: (payload) => Buffer.from(`DSSEV1 28 ${type} ${payload.length} ${python(payload)}`),
  });
  await assertWrong(reason, { pae: (payload) => payload });
  await assertWrong(reason, { pae: (payload) => Buffer.from(`DSSEv1 28 ${type} ${payload.length}${payload}`) });
});

test('lengths in the encoding are counted in bytes', async () => {
  const named = (statement: Statement) => ({ ...statement, subject: [{ ...statement.subject[0]!, name: 'Größe €' }] });
  assert.equal((await judge({ statement: named })).status, 'signed');
});

test('a payload that was changed after it was signed is wrong, and is not looked into', async () => {
  const changed = (payload: Buffer) => Buffer.from(payload.toString().replace('digits', 'digitz'));
  await assertWrong(/^it was not made by key/, { payload: changed });
  await assertWrong(/^it was not made by key/, { payload: () => Buffer.from('no JSON') });
});

test('a bundle of another form is wrong, and the reason names the member', async () => {
  const cases: readonly (readonly [string, (whole: Record<string, unknown>) => object])[] = [
    ['mediaType', (whole) => ({ ...whole, mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.2' })],
    ['verificationMaterial', ({ verificationMaterial: _, ...rest }) => rest],
    ['verificationMaterial.publicKey.hint', (whole) => ({ ...whole, verificationMaterial: { publicKey: {} } })],
    ['dsseEnvelope.payloadType', (whole) => withEnvelope(whole, { payloadType: 'application/json' })],
    ['dsseEnvelope.signatures', (whole) => withEnvelope(whole, { signatures: [] })],
    ['dsseEnvelope.signatures', (whole) => withEnvelope(whole, { signatures: [{ sig: 'AA==' }, { sig: 'AA==' }] })],
    ['dsseEnvelope', ({ dsseEnvelope: _, ...rest }) => ({ ...rest, messageSignature: {} })],
  ];
  for (const [member, change] of cases) {
    const verdict = await judge({ bundle: change });
    assert.equal(verdict.status, 'wrong', member);
    assert.ok(
      verdict.reason.startsWith(`it is no bundle of OpenSSF model signing v1: '${member}': `),
      `${member}: ${verdict.reason}`,
    );
  }
  await assertWrong('the payload is not base64', { bundle: (whole) => withEnvelope(whole, { payload: 'e30' }) });
  await assertWrong('the signature is not base64', {
    bundle: (whole) => withEnvelope(whole, { signatures: [{ sig: '*' }] }),
  });
});

function withEnvelope(whole: Record<string, unknown>, change: object): object {
  return { ...whole, dsseEnvelope: { ...(whole.dsseEnvelope as object), ...change } };
}

test('the hint must be that of a trusted key, and of one that can have signed', async () => {
  const stranger = pairOf('stranger.pem', 'prime256v1');
  const { status, reason } = await judge({}, files, [stranger]);
  assert.deepEqual([status, reason], ['unknown_key', `the key with hint ${sha256(key.pem)} is not trusted`]);
  const hinted = (pem: string): BundleChange => ({
    bundle: (whole) => ({ ...whole, verificationMaterial: { publicKey: { hint: sha256(pem) } } }),
  });
  assert.equal((await judge(hinted(stranger.pem), files, [key, stranger])).status, 'wrong');
  const edwards = pairOf('edwards.pem', 'ed25519');
  const { reason: kind } = await judge(hinted(edwards.pem), files, [key, edwards]);
  assert.equal(kind, "key 'edwards.pem' is of kind ed25519, expected P-256, P-384 or P-521");
});

test('a key may also be hinted at as cosign does it, by the hash of its DER', async () => {
  const hint = Buffer.from(key.trusted.keyId, 'hex').toString('base64');
  const hinted: BundleChange = { bundle: (whole) => ({ ...whole, verificationMaterial: { publicKey: { hint } } }) };
  assert.equal((await judge(hinted)).by, 'release.pem');
});

test('a keyless bundle is told apart from one that names no key', async () => {
  const material = (verificationMaterial: object): BundleChange => ({
    bundle: (whole) => ({ ...whole, verificationMaterial }),
  });
  const keyless = await judge(material({ certificate: { rawBytes: 'AA==' }, tlogEntries: [] }));
  assert.deepEqual(
    [keyless.status, keyless.reason],
    ['unknown_key', 'it is keyless (a certificate instead of a key), and registry.trusted_root names no authorities'],
  );
  const nameless = await judge(material({ tlogEntries: [] }));
  assert.deepEqual([nameless.status, nameless.reason], ['unknown_key', 'it names no key']);
});

test('a statement of another kind is not supported, and the reason names the member', async () => {
  const cases: readonly (readonly [string, (statement: Statement) => object])[] = [
    ['_type', (statement) => ({ ...statement, _type: 'https://in-toto.io/Statement/v0.1' })],
    ['predicateType', (statement) => ({ ...statement, predicateType: 'https://model_signing/Digests/v0.1' })],
    ['subject', (statement) => ({ ...statement, subject: [] })],
    ['subject', (statement) => ({ ...statement, subject: [...statement.subject, ...statement.subject] })],
    ['subject.0.digest.sha256', (statement) => ({ ...statement, subject: [{ digest: { sha512: 'ab' } }] })],
    ['predicate.serialization.method', (statement) => serializedBy(statement, { method: 'shards' })],
    ['predicate.serialization.hash_type', (statement) => serializedBy(statement, { hash_type: 'blake2b' })],
    [
      'predicate.resources.0.algorithm',
      (statement) =>
        listing(
          statement,
          statement.predicate.resources.map((resource) => ({ ...resource, algorithm: 'blake2b' })),
        ),
    ],
    [
      'predicate.resources.0.digest',
      (statement) => ({
        ...statement,
        predicate: { ...statement.predicate, resources: [{ name: 'a', algorithm: 'sha256', digest: 'zz' }] },
      }),
    ],
  ];
  for (const [member, statement] of cases) {
    const verdict = await judge({ statement });
    assert.equal(verdict.status, 'wrong', member);
    assert.ok(verdict.reason.startsWith(`its statement is not supported: '${member}': `), verdict.reason);
  }
});

test('symbolic links may be allowed, because there are none here', async () => {
  assert.equal((await judge({ statement: (one) => serializedBy(one, { allow_symlinks: true }) })).status, 'signed');
});

test('the root is the hash of the digests in the order in which they are listed', async () => {
  const backwards = (statement: Statement) => listing(statement, statement.predicate.resources.toReversed());
  assert.equal((await judge({ statement: backwards })).status, 'signed');
  const reordered = (statement: Statement) => ({ ...backwards(statement), subject: statement.subject });
  await assertWrong(/^its digests give the root [0-9a-f]{64}, its subject says [0-9a-f]{64}$/, {
    statement: reordered,
  });
});

test('every file is signed and every signed file is there, with its bytes', async () => {
  await assertWrong("'extra.bin' is present but not signed", {}, [...files, fileOf('extra.bin')]);
  await assertWrong("'model.onnx' is signed but is not a file of this version", {}, files.toSpliced(1, 1));
  await assertWrong(
    /^'model\.onnx' has sha256 [0-9a-f]{64}, signed was [0-9a-f]{64}$/,
    {},
    files.with(1, fileOf('model.onnx', 'other')),
  );
  const twice = (statement: Statement) =>
    listing(statement, [...statement.predicate.resources, statement.predicate.resources[0]!]);
  await assertWrong("'config.json' is listed twice", { statement: twice });
});

test('what a signature leaves out on purpose is handed back, so that it is left out of the version', async () => {
  const left = ['.gitattributes', '.git/config', '.github/ci.yml', '.gitignore', 'notes/a.txt', 'todo'].map((path) =>
    fileOf(path),
  );
  const ignoring = (statement: Statement) => serializedBy(statement, { ignore_paths: ['notes', 'todo'] });
  const verdict = await judge({ statement: ignoring }, [...files, ...left]);
  assert.equal(verdict.status, 'signed');
  assert.deepEqual(
    verdict.exempt,
    left.map(({ path }) => path),
  );
  await assertWrong("'notes.txt' is present but not signed", { statement: ignoring }, [...files, fileOf('notes.txt')]);
});

test('a file that is left out and signed all the same must be what was signed', async () => {
  const ignoring = (statement: Statement) => serializedBy(statement, { ignore_paths: ['model.onnx'] });
  const { status, exempt } = await judge({ statement: ignoring });
  assert.deepEqual([status, exempt], ['signed', []]);
  await assertWrong(/^'model\.onnx' has sha256/, { statement: ignoring }, files.with(1, fileOf('model.onnx', 'other')));
});

test('a signature over the manifest may itself be signed by the bundle', async (context) => {
  const directory = freshDirectory(context);
  const version = writeVersion(directory, { 'model.onnx': 'weights' }, {});
  const alice = pairOf('alice.pem', 'ed25519');
  const manifest = detached('manifest.json.sig', readFileSync(join(directory, 'manifest.json')), alice);
  const listed = [...version, fileOf('manifest.json.sig', Buffer.from(manifest.content).toString())];
  const signed = { directory, files: version, trust: trustIn(alice, key), policy: { mode: 'warn' } } as const;
  const verdict = await verifySignatures({ ...signed, signatures: [manifest, bundle(listed, key)] });
  assert.deepEqual([verdict.status, verdict.by], ['signed', 'alice.pem, release.pem']);
  const without = await verifySignatures({ ...signed, signatures: [bundle(listed, key)] });
  assert.equal(without.reason, "model.sig: 'manifest.json.sig' is signed but is not a file of this version");
});
