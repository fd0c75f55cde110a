/** Signatures by a certificate that lived for minutes: judged by a pinned root, and by who is expected to sign. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { SignatureFile } from '../src/registry/signing/finding.js';
import type { Identity } from '../src/registry/signing/keyless.js';
import type { VersionFile } from '../src/registry/signing/statement.js';
import { readTrustedRoot } from '../src/registry/signing/trusted-root.js';
import { verifySignatures } from '../src/registry/signing/verify.js';
import { bundle, pairOf, sha256 } from './signing-fixture.js';
import { file, keylessBundle, keylessCosign, keylessStatement, type Sigstore, sigstore } from './sigstore-fixture.js';
import { freshDirectory } from './system/server.js';

const ci = 'https://ci.example/acme/models/release.yml@refs/heads/main';
const issuer = 'https://token.example';
const who = { name: ci, issuer };
const expected: Identity[] = [{ name: ci, issuer }];
const fileOf = (path: string): VersionFile => ({ path, bytes: path.length, sha256: sha256(path) });
const files = [fileOf('config.json'), fileOf('model.onnx')];
const manifest = `sha256:${sha256('manifest')}`;
const key = pairOf('release.pem', 'prime256v1');

let ours: Sigstore;
let valid: Record<string, unknown>;
before(async () => {
  ours = await sigstore();
  valid = await keylessBundle(ours, who, keylessStatement(files));
});

interface Judging {
  readonly context: { after(work: () => void): void };
  readonly identities?: readonly Identity[];
  readonly root?: unknown;
  readonly there?: readonly VersionFile[];
  readonly mode?: 'warn' | 'require';
}

async function judge(signatures: readonly SignatureFile[], judging: Judging) {
  const { context, identities = expected, root = ours.root, there = files, mode = 'warn' } = judging;
  const path = join(freshDirectory(context), 'trusted_root.json');
  writeFileSync(path, typeof root === 'string' ? root : JSON.stringify(root));
  const keyless = { identities, root: () => readTrustedRoot(path) };
  const verdict = await verifySignatures({
    directory: '',
    files: there,
    signatures,
    manifests: [manifest],
    trust: async () => ({ keys: [key.trusted], keyless, passedOver: [] }),
    policy: { mode },
  });
  return { ...verdict, reason: verdict.reason.replace(/^\S+: /, '').replaceAll(path, 'ROOT') };
}

const inBundle = (change: (whole: typeof valid) => object) => file('model.sig', change(structuredClone(valid)));

test('who signed is named by certificate and issuer, long after that certificate has expired', async (context) => {
  const verdict = await judge([file('model.sig', valid)], { context, mode: 'require' });
  assert.deepEqual(verdict, { status: 'signed', by: ci, keyId: issuer, reason: '', exempt: [] });
});

test('an expected name may be a pattern', async (context) => {
  const identities = [{ name: /^(?:https:\/\/ci\.example\/acme\/.*)$/, issuer }];
  assert.equal((await judge([file('model.sig', valid)], { context, identities })).status, 'signed');
});

test('another name, or the same by another issuer, is nobody who is expected', async (context) => {
  for (const identities of [[], [{ name: 'https://ci.example', issuer }], [{ name: ci, issuer: `${issuer}/` }]]) {
    const { status, reason, by } = await judge([file('model.sig', valid)], { context, identities });
    assert.deepEqual(
      [status, by, reason],
      ['unknown_key', '', `'${ci}' of issuer '${issuer}' is not among registry.identities`],
    );
  }
  await assert.rejects(judge([file('model.sig', valid)], { context, identities: [], mode: 'require' }), {
    kind: 'signature',
    message: /^a signature is required: model\.sig: 'https:.*' is not among registry\.identities$/,
  });
});

test('what other authorities gave proves nothing', async (context) => {
  const others = await sigstore();
  const { status, reason } = await judge([file('model.sig', valid)], { context, root: others.root });
  assert.equal(status, 'unknown_key');
  assert.match(reason, /^its certificate does not hold by the trusted root: /);
  const mixed = { ...ours.root, tlogs: others.root.tlogs };
  const byOtherLog = await judge([file('model.sig', valid)], { context, root: mixed });
  assert.equal(byOtherLog.status, 'unknown_key');
  assert.match(byOtherLog.reason, /^its log entry does not hold by the trusted root: /);
  const unlogged = await judge([file('model.sig', valid)], {
    context,
    root: { ...ours.root, ctlogs: others.root.ctlogs },
  });
  assert.match(unlogged.reason, /^its certificate does not hold by the trusted root: SCT /);
});

test('a signature that was logged when its certificate had expired proves nothing', async (context) => {
  const late = await keylessBundle(ours, { ...who, logAfterMs: 11 * 60_000 }, keylessStatement(files));
  const { status, reason } = await judge([file('model.sig', late)], { context });
  assert.equal(status, 'unknown_key');
  assert.match(reason, /certificate is not valid or expired at the specified date$/);
});

test('a payload or signature that was changed afterwards is wrong', async (context) => {
  const other = await keylessBundle(ours, who, keylessStatement([fileOf('model.onnx')]));
  const envelope = other.dsseEnvelope as { payload: string; signatures: object[] };
  const swapped = inBundle((whole) => ({
    ...whole,
    dsseEnvelope: { ...(whole.dsseEnvelope as object), payload: envelope.payload },
  }));
  const wrong = await judge([swapped], { context, there: [fileOf('model.onnx')] });
  assert.deepEqual(
    [wrong.status, wrong.reason],
    ['wrong', 'its log entry is that of another signature (DSSE payload hash mismatch)'],
  );
  const foreign = await judge([inBundle((whole) => ({ ...whole, dsseEnvelope: envelope }))], { context });
  assert.match(foreign.reason, /^its log entry is that of another signature/);
});

test('an envelope may be logged as bytes that were signed, which newer logs do', async (context) => {
  const logged = await keylessBundle(ours, who, keylessStatement(files), { kind: 'hashedrekord' });
  assert.equal((await judge([file('model.sig', logged)], { context })).status, 'signed');
  const other = { ...logged, dsseEnvelope: valid.dsseEnvelope };
  assert.equal((await judge([file('model.sig', other)], { context })).status, 'wrong');
});

test('a signature over other bytes is wrong, though it was logged', async (context) => {
  const unsigned = await keylessBundle(ours, who, keylessStatement(files), { signed: Buffer.from('other') });
  const { status, reason } = await judge([file('model.sig', unsigned)], { context });
  assert.deepEqual([status, reason], ['wrong', 'it was not made by the key of its certificate over this payload']);
});

test('a statement about other files is wrong, whoever signed it', async (context) => {
  const verdict = await judge([file('model.sig', valid)], { context, there: [...files, fileOf('extra.bin')] });
  assert.deepEqual([verdict.status, verdict.reason], ['wrong', "'extra.bin' is present but not signed"]);
});

test('a bundle that is out of bounds is refused before anything reads it', async (context) => {
  interface Entry {
    readonly logId: object;
    readonly inclusionProof: object;
  }
  const entryWith = (change: (entry: Entry) => object) =>
    inBundle((whole) => {
      const material = whole.verificationMaterial as { tlogEntries: Entry[] };
      return { ...whole, verificationMaterial: { ...material, tlogEntries: material.tlogEntries.map(change) } };
    });
  const proofWith = (change: object) =>
    entryWith((entry) => ({ ...entry, inclusionProof: { ...entry.inclusionProof, ...change } }));
  const cases: readonly (readonly [SignatureFile, RegExp])[] = [
    [proofWith({ logIndex: '9'.repeat(1_000_000) }), /inclusionProof\.logIndex'/],
    [proofWith({ checkpoint: { envelope: 'a\n1\nAA==\n\n\u2014 ((.+)+)+! AAAAAAAA\n' } }), /checkpoint\.envelope'/],
    [proofWith({ hashes: Array(65).fill('AA==') }), /inclusionProof\.hashes'/],
    [entryWith(({ logId: _, ...entry }) => entry), /tlogEntries\.0\.logId'/],
    [inBundle((whole) => ({ ...whole, verificationMaterial: { certificate: {} } })), /certificate\.rawBytes'/],
    [
      inBundle((whole) => ({
        ...whole,
        messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest: '' }, signature: '' },
      })),
      /'messageSignature': expected an envelope or a signature of its own, got both$/,
    ],
  ];
  for (const [signature, reason] of cases) {
    const verdict = await judge([signature], { context });
    assert.equal(verdict.status, 'wrong');
    assert.match(verdict.reason, /^it is no keyless bundle: /);
    assert.match(verdict.reason, reason);
  }
  const broken = await judge(
    [
      inBundle((whole) => ({
        ...whole,
        verificationMaterial: { ...(whole.verificationMaterial as object), certificate: { rawBytes: 'AAAA' } },
      })),
    ],
    { context },
  );
  assert.match(broken.reason, /cannot be read$/);
});

test('a key is judged as before, whatever the state of the trusted root', async (context) => {
  const { status, by } = await judge([bundle(files, key)], { context, root: 'no JSON' });
  assert.deepEqual([status, by], ['signed', 'release.pem']);
  const broken = await judge([file('model.sig', valid)], { context, root: 'no JSON' });
  assert.equal(broken.status, 'unknown_key');
  assert.equal(broken.reason, "the trusted root 'ROOT' is not used: it is not JSON in UTF-8");
});

test('a trusted root says in one line what is wrong with it', async (context) => {
  const { root } = ours;
  const [log] = root.tlogs as object[];
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [{ ...root, mediaType: 'application/json' }, /'mediaType': expected that of a trusted root$/],
    [{ ...root, ctlogs: [] }, /'ctlogs': /],
    [
      { ...root, tlogs: [{ ...log, publicKey: { rawBytes: 'AAAA' } }] },
      /'tlogs\.0\.publicKey\.rawBytes': expected a pub/,
    ],
    [
      { ...root, certificateAuthorities: [{ certChain: { certificates: [{ rawBytes: 'AAAA' }] } }] },
      /'certificateAuthorities\.0\.certChain\.certificates\.0\.rawBytes': expected a certificate$/,
    ],
    [' '.repeat(1024 * 1024 + 1), /it has 1048577 bytes, expected at most 1048576$/],
  ];
  for (const [given, reason] of cases) {
    const verdict = await judge([file('model.sig', valid)], { context, root: given });
    assert.match(verdict.reason, /^the trusted root 'ROOT' is not used: [^\n]*$/);
    assert.match(verdict.reason, reason);
  }
  await assert.rejects(readTrustedRoot('/none'), { message: /'\/none' is not used: it cannot be read \(ENOENT\)$/ });
});

const speaking = (digest: string) =>
  Buffer.from(JSON.stringify({ critical: { image: { 'docker-manifest-digest': digest } } }));

test('cosign without a key is judged the same, by what it attached to the manifest', async (context) => {
  const signed = await keylessCosign(ours, who, speaking(manifest));
  const path = 'attached.0.cosign.sig';
  assert.equal((await judge([file(path, signed)], { context })).by, ci);
  const changed = { ...signed, payload: speaking(`sha256:${sha256('other')}`).toString('base64') };
  assert.equal((await judge([file(path, changed)], { context })).status, 'unknown_key', 'anybody may attach it');
  assert.equal((await judge([file(path, changed), bundle(files, key)], { context })).status, 'signed');
  const { bundle: _, ...unlogged } = signed;
  assert.match((await judge([file(path, unlogged)], { context })).reason, /^it has a certificate and no entry/);
  const other = await keylessCosign(ours, who, speaking(`sha256:${sha256('other')}`));
  const { status, reason } = await judge([file(path, other)], { context });
  assert.equal(status, 'unknown_key');
  assert.match(reason, /^it speaks about manifest sha256:[0-9a-f]{64}, this version is of sha256:[0-9a-f]{64}$/);
});

test('a bundle attached to a manifest counts when it is a signature, and does no harm when it is something else', async (context) => {
  const statement = (predicateType: string, digest: string) =>
    Buffer.from(
      JSON.stringify({
        _type: 'https://in-toto.io/Statement/v1',
        subject: [{ digest: { sha256: digest.slice('sha256:'.length) } }],
        predicateType,
        predicate: {},
      }),
    );
  const attached = async (payload: Buffer) => file('attached.0.sigstore.json', await keylessBundle(ours, who, payload));
  const cosign = 'https://sigstore.dev/cosign/sign/v1';
  assert.equal((await judge([await attached(statement(cosign, manifest))], { context })).by, ci);
  const other = await judge([await attached(statement(cosign, `sha256:${sha256('other')}`))], { context });
  assert.match(other.reason, /^it speaks about manifest/);
  const provenance = await attached(statement('https://slsa.dev/provenance/v1', manifest));
  const { status, reason } = await judge([provenance], { context });
  assert.deepEqual(
    [status, reason],
    ['unknown_key', "its statement is 'https://slsa.dev/provenance/v1', which is no signature"],
  );
  const garbage = file('attached.1.sigstore.json', {});
  assert.equal((await judge([provenance, garbage, bundle(files, key)], { context })).status, 'signed');
});
