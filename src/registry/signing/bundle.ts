/**
 * OpenSSF model signing v1 with a key: a Sigstore bundle that carries a DSSE envelope, signed by ECDSA.
 *
 *   bundle ─▶ payload type, one signature, key by its hint ─▶ ECDSA over the pre-authentication encoding ─▶ payload
 *
 * The payload is looked into only after its signature held. A bundle without a key but with a certificate (keyless) needs
 * @sigstore/verify, which is no part of this build, and is told apart so that people know what is missing.
 *
 * Must not know what the payload says.
 */
import { verify } from 'node:crypto';
import { z } from 'zod';
import { bytesOfBase64, type Finding, jsonOf, signatureBytesMax, wrong } from './finding.js';
import type { KeyKind, TrustedKey } from './trust.js';

const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const payloadType = 'application/vnd.in-toto+json';

/** Other members are allowed: the format says that verifiers pass over what they do not know. */
const schema = z.object({
  mediaType: z.literal(mediaType),
  verificationMaterial: z.object({
    publicKey: z.object({ hint: z.string().regex(/^[0-9a-f]{64}$/) }).optional(),
    certificate: z.unknown().optional(),
    x509CertificateChain: z.unknown().optional(),
  }),
  dsseEnvelope: z.object({
    payload: z.string(),
    payloadType: z.literal(payloadType),
    signatures: z
      .array(z.object({ sig: z.string().max(4096) }))
      .min(1)
      .max(1),
  }),
});

/** The hash follows the curve. */
const hashOf: Readonly<Record<Exclude<KeyKind, 'ed25519'>, string>> = {
  'P-256': 'sha256',
  'P-384': 'sha384',
  'P-521': 'sha512',
};

export type Opened =
  | { readonly status: 'signed'; readonly key: TrustedKey; readonly payload: Buffer }
  | Exclude<Finding, { status: 'signed' }>;

/** @throws FAILED_PRECONDITION when the bundle is not of the form above */
export function openBundle(content: Uint8Array, keys: readonly TrustedKey[]): Opened {
  const parsed = schema.safeParse(jsonOf('the bundle', content, signatureBytesMax));
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw wrong(`it is no bundle of OpenSSF model signing v1: '${path.join('.')}': ${message}`);
  }
  const { verificationMaterial, dsseEnvelope } = parsed.data;
  const hint = verificationMaterial.publicKey?.hint;
  if (hint === undefined) return { status: 'unknown_key', reason: reasonWithoutKey(verificationMaterial) };
  const key = keys.find((candidate) => candidate.hint === hint);
  if (key === undefined) return { status: 'unknown_key', reason: `the key with hint ${hint} is not trusted` };
  if (key.kind === 'ed25519') throw wrong(`key '${key.by}' is of kind ed25519, expected P-256, P-384 or P-521`);
  const payload = bytesOfBase64('the payload', dsseEnvelope.payload);
  const signature = bytesOfBase64('the signature', dsseEnvelope.signatures[0]!.sig);
  const isRight = verify(hashOf[key.kind], encoded(payload), { key: key.key, dsaEncoding: 'der' }, signature);
  if (isRight) return { status: 'signed', key, payload };
  return { status: 'wrong', reason: `it was not made by key '${key.by}' over this payload` };
}

/** The pre-authentication encoding of DSSE: lengths in bytes, decimal. */
function encoded(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
}

function reasonWithoutKey(material: {
  readonly certificate?: unknown;
  readonly x509CertificateChain?: unknown;
}): string {
  if (material.certificate === undefined && material.x509CertificateChain === undefined) return 'it names no key';
  return 'it is keyless (a certificate instead of a key), which cannot be verified here: sign with a key';
}
