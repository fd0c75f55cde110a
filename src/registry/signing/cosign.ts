/**
 * What cosign says about a manifest in a registry, and with it about every file that follows from the manifest's digest.
 *
 *   simple signing  payload that names the manifest, a signature over its bytes ─┬▶ any trusted key, for it names none
 *                                                                                └▶ certificate and log entry ─▶ keyless
 *   in a bundle     in-toto statement whose subject is the manifest (its signature is that of the bundle)
 *
 * Must not know registries: which manifests a version came from is told.
 */
import { createHash, verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { hashOf } from './bundle.js';
import { bytesOfBase64, type Fault, type Finding, jsonOf, wrong } from './finding.js';
import { openKeyless } from './keyless.js';
import type { Trust, TrustedKey } from './trust.js';

const contentBytesMax = 1024 * 1024;
const payloadBytesMax = 64 * 1024;

/** As the source wrote it from a layer and its annotations. */
const schema = z.object({
  payload: z.string(),
  signature: z.string().max(8192),
  certificate: z
    .string()
    .max(64 * 1024)
    .optional(),
  bundle: z
    .string()
    .max(512 * 1024)
    .optional(),
});

const simpleSigning = z.object({ critical: z.object({ image: z.object({ 'docker-manifest-digest': z.string() }) }) });

/** The promise of the log, beside the signature. */
const logPromise = z.object({
  SignedEntryTimestamp: z.string(),
  Payload: z.object({
    body: z.string().max(256 * 1024),
    integratedTime: z.int().min(0),
    logIndex: z.int().min(0),
    logID: z.string().regex(/^[0-9a-f]{64}$/),
  }),
});
const logBody = z.object({ kind: z.literal('hashedrekord'), apiVersion: z.string() });

const statement = z.object({
  _type: z.literal('https://in-toto.io/Statement/v1'),
  subject: z
    .array(z.object({ digest: z.object({ sha256: z.string() }) }))
    .min(1)
    .max(64),
});

/**
 * @param manifests digests of which one must be what is signed
 * @throws FAILED_PRECONDITION when it cannot be read
 */
export async function checkSimpleSigning(
  content: Uint8Array,
  manifests: readonly string[],
  trust: Trust,
): Promise<Finding> {
  const given = read('the signature', schema, jsonOf('the signature', content, contentBytesMax));
  const payload = bytesOfBase64('the payload', given.payload);
  const signature = bytesOfBase64('the signature', given.signature);
  const opened =
    given.certificate === undefined
      ? openByAnyKey(payload, signature, trust.keys)
      : await openByCertificate({ payload, signature, certificate: given.certificate, bundle: given.bundle }, trust);
  if (opened.status !== 'signed') return opened;
  const spoken = read('the payload', simpleSigning, jsonOf('the payload', payload, payloadBytesMax));
  return aboutOne([spoken.critical.image['docker-manifest-digest']], manifests) ?? { ...opened, exempt: [] };
}

/** @throws FAILED_PRECONDITION when the statement cannot be read. @returns undefined when it is about one of `manifests` */
export function manifestFault(payload: Uint8Array, manifests: readonly string[]): Fault | undefined {
  const { subject } = read('its statement', statement, jsonOf('the payload', payload, payloadBytesMax));
  return aboutOne(
    subject.map(({ digest }) => `sha256:${digest.sha256}`),
    manifests,
  );
}

function aboutOne(spoken: readonly string[], manifests: readonly string[]): Fault | undefined {
  if (spoken.some((digest) => manifests.includes(digest))) return undefined;
  const reason = `it speaks about manifest ${spoken[0]!.slice(0, 200)}, this version is of ${manifests.join(', ')}`;
  return { status: 'unknown_key', reason };
}

function openByAnyKey(payload: Buffer, signature: Buffer, keys: readonly TrustedKey[]) {
  const signer = keys.find((key) => isBy(key, payload, signature));
  if (signer !== undefined) return { status: 'signed', signer } as const;
  return {
    status: 'unknown_key',
    reason: `it was made by none of ${keys.length} trusted keys over its payload`,
  } as const;
}

/** Its releases do not agree whether the hash follows the curve. */
function isBy({ kind, key }: TrustedKey, payload: Buffer, signature: Buffer): boolean {
  if (kind === 'ed25519') return verify(null, payload, key, signature);
  const hashes = new Set(['sha256', hashOf[kind]]);
  return [...hashes].some((hash) => verify(hash, payload, { key, dsaEncoding: 'der' }, signature));
}

interface Certified {
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly certificate: string;
  readonly bundle: string | undefined;
}

async function openByCertificate({ payload, signature, certificate, bundle }: Certified, { keyless }: Trust) {
  if (bundle === undefined) {
    const reason =
      'it has a certificate and no entry of a transparency log beside it, so nobody knows when it was made';
    return { status: 'unknown_key', reason } as const;
  }
  const { SignedEntryTimestamp, Payload } = read(
    'its log entry',
    logPromise,
    jsonOf('its log entry', Buffer.from(bundle), contentBytesMax),
  );
  const body = bytesOfBase64('the body of its log entry', Payload.body);
  const { kind, apiVersion } = read('its log entry', logBody, jsonOf('its log entry', body, contentBytesMax));
  const entry = {
    logIndex: Payload.logIndex,
    logId: { keyId: Buffer.from(Payload.logID, 'hex').toString('base64') },
    kindVersion: { kind, version: apiVersion },
    integratedTime: Payload.integratedTime,
    inclusionPromise: { signedEntryTimestamp: SignedEntryTimestamp },
    canonicalizedBody: Payload.body,
  };
  const digest = createHash('sha256').update(payload).digest('base64');
  const same = {
    mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.1',
    verificationMaterial: {
      x509CertificateChain: { certificates: [{ rawBytes: derOf(certificate).toString('base64') }] },
      tlogEntries: [entry],
    },
    messageSignature: {
      messageDigest: { algorithm: 'SHA2_256', digest },
      signature: signature.toString('base64'),
    },
  };
  return openKeyless(same, keyless, payload);
}

function derOf(pem: string): Buffer {
  try {
    return new X509Certificate(pem).raw;
  } catch {
    throw wrong('its certificate cannot be read');
  }
}

function read<T>(what: string, form: z.ZodType<T>, value: unknown): T {
  const result = form.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw wrong(`${what} is none of cosign: '${path.join('.')}': ${message}`);
}
