/** Keys, versions of a few files, and signatures over them exactly by their formats, made with nothing but node:crypto. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SignatureFile } from '../src/registry/signing/finding.js';
import type { VersionFile } from '../src/registry/signing/statement.js';
import { type Trust, type TrustedKey, trustedKey } from '../src/registry/signing/trust.js';

export interface Pair {
  readonly by: string;
  readonly pem: string;
  readonly privateKey: KeyObject;
  readonly trusted: TrustedKey;
}

export type Curve = 'prime256v1' | 'secp384r1' | 'secp521r1';

export function pairOf(by: string, kind: 'ed25519' | Curve): Pair {
  const { publicKey, privateKey } =
    kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: kind });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
  return { by, pem, privateKey, trusted: trustedKey(by, pem) };
}

export function trustIn(...pairs: readonly Pair[]): () => Promise<Trust> {
  return async () => ({ keys: pairs.map(({ trusted }) => trusted), passedOver: [] });
}

export function sha256(of: string | Uint8Array): string {
  return createHash('sha256').update(of).digest('hex');
}

/** Writes files and says what they are; with `manifest`, one that lists them all. */
export function writeVersion(
  directory: string,
  contents: Readonly<Record<string, string>>,
  manifest: object | undefined = undefined,
): VersionFile[] {
  const all: Record<string, string> = { ...contents };
  if (manifest !== undefined) {
    const files = filesOf(contents).map(({ path, bytes, sha256 }) => ({ path, size: bytes, sha256 }));
    all['manifest.json'] = JSON.stringify({ schema: 1, files, signature: { inputs: [], outputs: [] }, ...manifest });
  }
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return filesOf(all);
}

function filesOf(contents: Readonly<Record<string, string>>): VersionFile[] {
  return Object.entries(contents).map(([path, text]) => ({
    path,
    bytes: Buffer.byteLength(text),
    sha256: sha256(text),
  }));
}

/** `manifest.json.sig` (registry.md §10.1). */
export function detached(path: string, bytes: string | Uint8Array, pair: Pair, change: object = {}): SignatureFile {
  const sig = sign(null, Buffer.from(bytes), pair.privateKey).toString('base64');
  return { path, content: Buffer.from(JSON.stringify({ alg: 'ed25519', keyid: pair.trusted.keyId, sig, ...change })) };
}

export interface BundleChange {
  readonly statement?: (statement: Statement) => object;
  /** The payload's bytes after it was signed. */
  readonly payload?: (payload: Buffer) => Buffer;
  readonly bundle?: (bundle: Record<string, unknown>) => object;
  readonly hash?: string;
  readonly dsaEncoding?: 'der' | 'ieee-p1363';
  readonly pae?: (payload: Buffer) => Buffer;
}

export interface Resource {
  readonly name: string;
  readonly algorithm: string;
  readonly digest: string;
}

export interface Statement {
  readonly _type: string;
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicateType: string;
  readonly predicate: {
    readonly serialization: Readonly<Record<string, unknown>>;
    readonly resources: readonly Resource[];
  };
}

const payloadType = 'application/vnd.in-toto+json';
const hashes: Readonly<Record<string, string>> = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512' };

export function rootOf(resources: readonly Resource[]): string {
  return sha256(Buffer.concat(resources.map(({ digest }) => Buffer.from(digest, 'hex'))));
}

export function statementOf(files: readonly VersionFile[]): Statement {
  const resources = files.map(({ path, sha256 }) => ({ name: path, algorithm: 'sha256', digest: sha256 }));
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'digits', digest: { sha256: rootOf(resources) } }],
    predicateType: 'https://model_signing/signature/v1.0',
    predicate: {
      serialization: { method: 'files', hash_type: 'sha256', allow_symlinks: false, ignore_paths: ['model.sig'] },
      resources,
    },
  };
}

/** `model.sig` of OpenSSF model signing v1 (registry.md §10.2). */
export function bundle(files: readonly VersionFile[], pair: Pair, change: BundleChange = {}): SignatureFile {
  const statement = statementOf(files);
  const payload = Buffer.from(JSON.stringify(change.statement?.(statement) ?? statement, null, 2));
  const pae = change.pae?.(payload) ?? preAuthentication(payload);
  const hash = change.hash ?? hashes[pair.trusted.kind]!;
  const signature = sign(hash, pae, { key: pair.privateKey, dsaEncoding: change.dsaEncoding ?? 'der' });
  const whole = {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: sha256(pair.pem) }, tlogEntries: [] },
    dsseEnvelope: {
      payload: (change.payload?.(payload) ?? payload).toString('base64'),
      payloadType,
      signatures: [{ sig: signature.toString('base64'), keyid: '' }],
    },
  };
  return { path: 'model.sig', content: Buffer.from(JSON.stringify(change.bundle?.(whole) ?? whole)) };
}

export function preAuthentication(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 28 ${payloadType} ${payload.length} `), payload]);
}
