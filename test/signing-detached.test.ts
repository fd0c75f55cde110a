/** Trusted keys, detached ed25519 signatures over a manifest, several of them, and what each policy makes of that. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Refusal } from '../src/registry/refusal.js';
import type { SignatureFile } from '../src/registry/signing/finding.js';
import type { VersionFile } from '../src/registry/signing/statement.js';
import { readTrust } from '../src/registry/signing/trust.js';
import { type SignaturePolicy, verifyDetached, verifySignatures } from '../src/registry/signing/verify.js';
import { bundle, detached, type Pair, pairOf, sha256, trustIn, writeVersion } from './signing-fixture.js';
import { freshDirectory } from './system/server.js';

const require: SignaturePolicy = { mode: 'require' };
const warn: SignaturePolicy = { mode: 'warn' };
const contents = { 'model.onnx': 'weights', 'golden/0.json': '{}' };

interface Signed {
  readonly directory: string;
  readonly files: VersionFile[];
  readonly manifest: Buffer;
}

function signedVersion(context: { after(work: () => void): void }, manifest: object = {}): Signed {
  const directory = freshDirectory(context);
  const files = writeVersion(directory, contents, manifest);
  return { directory, files, manifest: readFileSync(join(directory, 'manifest.json')) };
}

function judge(
  { directory, files }: Signed,
  signatures: readonly SignatureFile[],
  pairs: readonly Pair[],
  policy = warn,
) {
  return verifySignatures({ directory, files, signatures, trust: trustIn(...pairs), policy });
}

const alice = pairOf('alice.pem', 'ed25519');
const bob = pairOf('bob.pem', 'ed25519');

test('a manifest signed by a trusted key vouches for the version, and the key is named by file and id', async (context) => {
  const version = signedVersion(context);
  const verdict = await judge(version, [detached('manifest.json.sig', version.manifest, alice)], [alice, bob], require);
  const keyId = sha256(createPublicKey(alice.pem).export({ type: 'spki', format: 'der' }));
  assert.deepEqual(verdict, { status: 'signed', by: 'alice.pem', keyId, reason: '', exempt: [] });
});

test('without a signature a version is unsigned: told, or refused where one is required', async (context) => {
  const version = signedVersion(context);
  const { status, reason } = await judge(version, [], [alice]);
  assert.deepEqual([status, reason], ['unsigned', 'signed by 0 of 1 trusted keys']);
  await assert.rejects(judge(version, [], [alice], require), (error) => {
    assert.ok(error instanceof Refusal);
    assert.equal(error.kind, 'signature');
    assert.equal(error.message, 'a signature is required: signed by 0 of 1 trusted keys');
    return true;
  });
});

test('a signature by a key that is not trusted vouches for nothing', async (context) => {
  const version = signedVersion(context);
  const signature = detached('manifest.json.sig', version.manifest, bob);
  const { status, by, reason } = await judge(version, [signature], [alice]);
  assert.deepEqual([status, by], ['unknown_key', '']);
  assert.equal(reason, `manifest.json.sig: key ${bob.trusted.keyId} is not trusted`);
  await assert.rejects(judge(version, [signature], [alice], require), Refusal);
});

test('one changed byte of the manifest makes the signature wrong', async (context) => {
  const version = signedVersion(context);
  const other = Buffer.from(version.manifest);
  other[other.length - 1] = 32;
  const verdict = await judge(version, [detached('manifest.json.sig', other, alice)], [alice]);
  assert.equal(verdict.status, 'wrong');
  assert.equal(verdict.reason, "manifest.json.sig: it was not made by key 'alice.pem' over these bytes");
});

test('a key id that belongs to somebody else does not help', async (context) => {
  const version = signedVersion(context);
  const signature = detached('manifest.json.sig', version.manifest, bob, { keyid: alice.trusted.keyId });
  assert.equal((await judge(version, [signature], [alice, bob])).status, 'wrong');
});

test('a signed manifest covers exactly the files that it lists', async (context) => {
  const version = signedVersion(context);
  const signatures = [detached('manifest.json.sig', version.manifest, alice)];
  const reasonFor = async (files: VersionFile[]) => {
    const { status, reason } = await judge({ ...version, files }, signatures, [alice]);
    assert.equal(status, 'wrong');
    return reason.replace('manifest.json.sig: ', '');
  };
  const { files } = version;
  const extra = { path: 'extra.bin', bytes: 1, sha256: sha256('x') };
  assert.equal(await reasonFor([...files, extra]), "'extra.bin' is present but not listed in manifest.json");
  const model = files.findIndex(({ path }) => path === 'model.onnx');
  const changed = files.with(model, { ...files[model]!, sha256: sha256('y') });
  assert.match(await reasonFor(changed), /^'model\.onnx' has sha256 [0-9a-f]{64}, signed was [0-9a-f]{64}$/);
  assert.equal(await reasonFor(files.toSpliced(model, 1)), "'model.onnx' is signed but is not a file of this version");
  assert.equal(await reasonFor(files.filter(({ path }) => path !== 'manifest.json')), 'there is no manifest.json');
});

test('the manifest that is read must be the one that was hashed', async (context) => {
  const version = signedVersion(context);
  const signatures = [detached('manifest.json.sig', version.manifest, alice)];
  writeFileSync(join(version.directory, 'manifest.json'), `${version.manifest} `);
  const { status, reason } = await judge(version, signatures, [alice]);
  assert.deepEqual([status, reason], ['wrong', 'manifest.json.sig: manifest.json is not the file that was hashed']);
});

test('a signature file of another form is wrong, and says which form was expected', async (context) => {
  const version = signedVersion(context);
  const form = 'manifest.json.sig: expected {"alg":"ed25519","keyid":"<64 hex>","sig":"<base64>"}';
  const valid = detached('manifest.json.sig', version.manifest, alice);
  const { sig } = JSON.parse(Buffer.from(valid.content).toString());
  const changed = (change: object) => detached('manifest.json.sig', version.manifest, alice, change);
  const cases: readonly (readonly [SignatureFile, string])[] = [
    [changed({ alg: 'none' }), form],
    [changed({ keyid: alice.trusted.keyId.toUpperCase() }), form],
    [changed({ sig: 7 }), form],
    [changed({ more: 1 }), form],
    [changed({ sig: `${sig}\n` }), 'manifest.json.sig: the signature is not base64'],
    [changed({ sig: sig.replace('==', '') }), 'manifest.json.sig: the signature is not base64'],
    [changed({ sig: '' }), "manifest.json.sig: it was not made by key 'alice.pem' over these bytes"],
    [{ path: valid.path, content: Buffer.from('-----BEGIN') }, 'manifest.json.sig: the signature is not JSON in UTF-8'],
    [
      { path: valid.path, content: Buffer.alloc(65_537, 32) },
      'manifest.json.sig: the signature has 65537 bytes, expected at most 65536',
    ],
  ];
  for (const [signature, expected] of cases) {
    const { status, reason } = await judge(version, [signature], [alice]);
    assert.deepEqual([status, reason], ['wrong', expected]);
  }
});

test('an ed25519 signature does not count for a key of another kind', async (context) => {
  const version = signedVersion(context);
  const curve = pairOf('curve.pem', 'prime256v1');
  const signature = detached('manifest.json.sig', version.manifest, alice, { keyid: curve.trusted.keyId });
  const { reason } = await judge(version, [signature], [curve]);
  assert.equal(reason, "manifest.json.sig: key 'curve.pem' is of kind P-256, expected ed25519");
});

test('as many distinct keys must have signed as the threshold says', async (context) => {
  const version = signedVersion(context);
  const policy: SignaturePolicy = { mode: 'require', threshold: 2 };
  const [first, again, second] = [
    detached('manifest.json.sig', version.manifest, alice),
    detached('manifest.json.2.sig', version.manifest, alice),
    detached('manifest.json.3.sig', version.manifest, bob),
  ];
  const { status, by } = await judge(version, [first, second], [alice, bob], policy);
  assert.deepEqual([status, by], ['signed', 'alice.pem, bob.pem']);
  await assert.rejects(judge(version, [first, again], [alice, bob], policy), {
    message: 'a signature is required: signed by 1 of 2 trusted keys',
  });
  await assert.rejects(judge(version, [first, second], [alice], policy), { message: /is not trusted$/ });
});

test('both forms of signature count towards the threshold', async (context) => {
  const version = signedVersion(context);
  const curve = pairOf('curve.pem', 'secp384r1');
  const signatures = [detached('manifest.json.sig', version.manifest, alice), bundle(version.files, curve)];
  const policy: SignaturePolicy = { mode: 'require', threshold: 2 };
  assert.equal((await judge(version, signatures, [alice, curve], policy)).by, 'alice.pem, curve.pem');
});

test('one wrong signature spoils a right one, one by an unknown key does not', async (context) => {
  const version = signedVersion(context);
  const right = detached('manifest.json.sig', version.manifest, alice);
  const wrong = detached('manifest.json.2.sig', 'other bytes', bob);
  assert.equal((await judge(version, [right, wrong], [alice, bob])).status, 'wrong');
  assert.equal((await judge(version, [right, wrong], [alice])).status, 'signed');
});

test('signature files of no known name vouch for nothing', async (context) => {
  const version = signedVersion(context);
  for (const path of ['model.onnx.sig', 'sub/manifest.json.sig', 'manifest.json.0.sig', 'manifest.json.sig.sig']) {
    const { status } = await judge(version, [detached(path, version.manifest, alice)], [alice]);
    assert.equal(status, 'unsigned', path);
  }
});

test('only the first 64 signatures are looked at', async (context) => {
  const version = signedVersion(context);
  const many = Array.from({ length: 64 }, (_, i) => detached(`manifest.json.${i + 1}.sig`, version.manifest, bob));
  const right = detached('manifest.json.sig', version.manifest, alice);
  assert.equal((await judge(version, [...many, right], [alice])).status, 'unknown_key');
  assert.equal((await judge(version, [...many.slice(1), right], [alice])).status, 'signed');
});

test('where the policy is off nothing is looked at, not even the keys', async () => {
  const trust = () => Promise.reject(new Error('not to be asked'));
  const verdict = await verifySignatures({ directory: '/', files: [], signatures: [], trust, policy: { mode: 'off' } });
  assert.equal(verdict.status, 'unchecked');
});

test('an index is signed as a manifest is, over its exact bytes', async () => {
  const bytes = Buffer.from('{"schema":1}');
  const signed = { bytes, trust: trustIn(alice), policy: require };
  const right = await verifyDetached({ ...signed, signatures: [detached('index.json.sig', bytes, alice)] });
  assert.equal(right.status, 'signed');
  const wrong = {
    ...signed,
    bytes: Buffer.from('{"schema":1} '),
    signatures: [detached('index.json.sig', bytes, alice)],
  };
  await assert.rejects(verifyDetached(wrong), { kind: 'signature', message: /index\.json\.sig: it was not made by/ });
});

test('trusted keys are read from a directory as it is now, and a file that is no public key is named', async (context) => {
  const directory = freshDirectory(context);
  writeFileSync(join(directory, 'alice.pem'), alice.pem);
  writeFileSync(join(directory, 'alice-again.pem'), `\n${alice.pem}\n`);
  writeFileSync(join(directory, 'notes.txt'), 'no key');
  mkdirSync(join(directory, 'folder.pem'));
  writeFileSync(join(directory, 'private.pem'), alice.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(directory, 'two.pem'), `${alice.pem}${bob.pem}`);
  writeFileSync(join(directory, 'broken.pem'), '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n');
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(directory, 'rsa.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  const k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey;
  writeFileSync(join(directory, 'k1.pem'), k1.export({ type: 'spki', format: 'pem' }));
  writeFileSync(join(directory, 'large.pem'), ' '.repeat(65_537));

  const { keys, passedOver } = await readTrust(directory);
  assert.deepEqual(
    keys.map(({ by, keyId }) => [by, keyId]),
    [['alice-again.pem', alice.trusted.keyId]],
  );
  assert.deepEqual(passedOver, [
    "key 'broken.pem' is not used: it cannot be read as a public key",
    "key 'folder.pem' is not used: EISDIR",
    "key 'k1.pem' is not used: expected an ed25519, P-256, P-384 or P-521 key, got ec secp256k1",
    "key 'large.pem' is not used: it has 65537 bytes, expected at most 65536",
    "key 'private.pem' is not used: expected one PEM block PUBLIC KEY, got -----BEGIN PRIVATE KEY-----",
    "key 'rsa.pub' is not used: expected an ed25519, P-256, P-384 or P-521 key, got rsa",
    "key 'two.pem' is not used: expected one PEM block PUBLIC KEY, got -----BEGIN PUBLIC KEY-----, -----BEGIN PUBLIC KEY-----",
  ]);
});

test('a key that is added or taken away counts at the next version', async (context) => {
  const version = signedVersion(context);
  const signatures = [detached('manifest.json.sig', version.manifest, alice)];
  const directory = freshDirectory(context);
  const status = async () => {
    const { directory: files, ...rest } = version;
    const trust = () => readTrust(directory);
    return (await verifySignatures({ ...rest, directory: files, signatures, trust, policy: warn })).status;
  };
  assert.equal(await status(), 'unknown_key');
  writeFileSync(join(freshDirectory(context), 'key'), alice.pem);
  writeFileSync(join(directory, '.alice'), alice.pem);
  symlinkSync('.alice', join(directory, 'alice.pem'));
  assert.equal(await status(), 'signed');
  rmSync(join(directory, 'alice.pem'));
  assert.equal(await status(), 'unknown_key');
});

test('keys that cannot be read refuse nothing for good: it may be tried again', async (context) => {
  const version = signedVersion(context);
  const signatures = [detached('manifest.json.sig', version.manifest, alice)];
  const trust = () => readTrust(join(version.directory, 'none'));
  await assert.rejects(verifySignatures({ ...version, signatures, trust, policy: require }), {
    code: 'UNAVAILABLE',
    message: 'the directory of trusted keys cannot be read (ENOENT)',
  });
  const { status, reason } = await verifySignatures({ ...version, signatures, trust, policy: warn });
  assert.equal(status, 'unknown_key');
  assert.match(reason, /is not trusted; the directory of trusted keys cannot be read \(ENOENT\)$/);
});
