/**
 * A Sigstore bundle that carries a DSSE envelope, as OpenSSF model signing v1 and cosign write it: signed by a key, or by one
 * that a certificate stands for.
 *
 *   bundle ─▶ payload type, one signature ─┬▶ key by its hint ─▶ ECDSA over the pre-authentication encoding ┬▶ payload
 *                                          └▶ certificate ─▶ keyless ───────────────────────────────────────┘
 *
 * The payload is looked into only after its signature held.
 *
 * Must not know what the payload says.
 */
import { verify } from 'node:crypto';
import { z } from 'zod';
import { bytesOfBase64, type Fault, jsonOf, type Signer, signatureBytesMax, wrong } from './finding.js';
import { openKeyless } from './keyless.js';
import type { KeyKind, Trust, TrustedKey } from './trust.js';

const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const payloadType = 'application/vnd.in-toto+json';

/** Other members are allowed: the format says that verifiers pass over what they do not know. */
const schema = z.object({
  mediaType: z.literal(mediaType),
  verificationMaterial: z.object({
    publicKey: z.object({ hint: z.string().regex(/^([0-9a-f]{64}|[A-Za-z0-9+/]{43}=)$/) }).nullish(),
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
export const hashOf: Readonly<Record<Exclude<KeyKind, 'ed25519'>, string>> = {
  'P-256': 'sha256',
  'P-384': 'sha384',
  'P-521': 'sha512',
};

export type Opened = { readonly status: 'signed'; readonly signer: Signer; readonly payload: Buffer } | Fault;

/** @throws FAILED_PRECONDITION when the bundle is not of the form above */
export async function openBundle(content: Uint8Array, { keys, keyless }: Trust): Promise<Opened> {
  const bundle = jsonOf('the bundle', content, signatureBytesMax);
  const parsed = schema.safeParse(bundle);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw wrong(`it is no bundle of OpenSSF model signing v1: '${path.join('.')}': ${message}`);
  }
  const { verificationMaterial, dsseEnvelope } = parsed.data;
  const payload = bytesOfBase64('the payload', dsseEnvelope.payload);
  const signature = bytesOfBase64('the signature', dsseEnvelope.signatures[0]!.sig);
  const hint = verificationMaterial.publicKey?.hint;
  if (hint !== undefined) return openByKey(payload, signature, { hint, keys });
  const { certificate, x509CertificateChain } = verificationMaterial;
  if ((certificate ?? x509CertificateChain ?? null) === null)
    return { status: 'unknown_key', reason: 'it names no key' };
  const opened = await openKeyless(bundle, keyless, encoded(payload));
  return opened.status === 'signed' ? { ...opened, payload } : opened;
}

function openByKey(
  payload: Buffer,
  signature: Buffer,
  { hint, keys }: { readonly hint: string; readonly keys: readonly TrustedKey[] },
): Opened {
  const key = keys.find((candidate) => candidate.hint === hint || base64OfId(candidate) === hint);
  if (key === undefined) return { status: 'unknown_key', reason: `the key with hint ${hint} is not trusted` };
  if (key.kind === 'ed25519') throw wrong(`key '${key.by}' is of kind ed25519, expected P-256, P-384 or P-521`);
  const isRight = verify(hashOf[key.kind], encoded(payload), { key: key.key, dsaEncoding: 'der' }, signature);
  if (isRight) return { status: 'signed', signer: key, payload };
  return { status: 'wrong', reason: `it was not made by key '${key.by}' over this payload` };
}

/** How cosign names a key. */
function base64OfId({ keyId }: TrustedKey): string {
  return Buffer.from(keyId, 'hex').toString('base64');
}

/** The pre-authentication encoding of DSSE: lengths in bytes, decimal. */
function encoded(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
}
