/**
 * Signatures whose key lived for minutes: a certificate says who held it, a transparency log when. Both are judged offline by
 * a pinned trusted root, and by who is expected to sign.
 *
 *   limits ─▶ time by the log ─▶ certificate at that time ─▶ its log of certificates ─▶ log entry ─▶ signature ─▶ identity
 *
 * The judging is that of @sigstore/verify, loaded when the first such signature is met. Everything that it is given has limits
 * first: it reads numbers of any length, and takes names in a checkpoint for patterns.
 *
 * Must not know files of a version, or what was signed.
 */
import { createHash } from 'node:crypto';
import type { VerificationError } from '@sigstore/verify';
import { z } from 'zod';
import { type Fault, type Signer, wrong } from './finding.js';
import type { TrustedRoot } from './trusted-root.js';

/** Whoever holds a certificate with this name, given by this issuer. */
export interface Identity {
  /** The subject's alternative name; a pattern must match all of it. */
  readonly name: string | RegExp;
  readonly issuer: string;
}

export interface Keyless {
  readonly identities: readonly Identity[];
  /** Reads the pinned file. Throws saying what is wrong with it. */
  readonly root: () => Promise<TrustedRoot>;
}

const text = (charactersMax: number) => z.string().max(charactersMax);
const integer = z.union([z.int().min(0), z.string().regex(/^[0-9]{1,19}$/)]).transform(String);
const certificate = z.object({ rawBytes: text(64 * 1024) });
const checkpoint = z.object({
  envelope: text(16 * 1024).refine(
    (note) => signatureLines(note).every((line) => /^\u2014 [\w.:~/-]{1,256} [\w+/=-]{1,1024}$/.test(line)),
    'expected lines "— <name of a log> <base64>" after the empty one',
  ),
});
const entry = z.object({
  logIndex: integer,
  logId: z.object({ keyId: text(256) }),
  kindVersion: z.object({ kind: text(64), version: text(64) }),
  integratedTime: integer.nullish(),
  inclusionPromise: z.object({ signedEntryTimestamp: text(4096) }).nullish(),
  inclusionProof: z
    .object({
      logIndex: integer,
      rootHash: text(256).nullish(),
      treeSize: integer.nullish(),
      hashes: z.array(text(256)).max(64).nullish(),
      checkpoint,
    })
    .nullish(),
  canonicalizedBody: text(256 * 1024),
});

/** What is passed on: no more than this. */
const schema = z
  .object({
    mediaType: text(128),
    verificationMaterial: z.object({
      certificate: certificate.nullish(),
      x509CertificateChain: z.object({ certificates: z.array(certificate).min(1).max(8) }).nullish(),
      tlogEntries: z.array(entry).min(1).max(4),
      timestampVerificationData: z
        .object({
          rfc3161Timestamps: z
            .array(z.object({ signedTimestamp: text(64 * 1024) }))
            .max(4)
            .nullish(),
        })
        .nullish(),
    }),
    dsseEnvelope: z
      .object({
        payload: z.string(),
        payloadType: text(256),
        signatures: z.array(z.object({ sig: text(4096) })).max(1),
      })
      .nullish(),
    messageSignature: z
      .object({ messageDigest: z.object({ algorithm: text(64), digest: text(256) }), signature: text(4096) })
      .nullish(),
  })
  .refine(
    ({ dsseEnvelope, messageSignature }) => (dsseEnvelope ?? null) === null || (messageSignature ?? null) === null,
    { path: ['messageSignature'], message: 'expected an envelope or a signature of its own, got both' },
  );

/**
 * @param bundle a Sigstore bundle that holds a certificate
 * @param signed the bytes that its signature is over
 * @throws FAILED_PRECONDITION when the bundle is not of its form
 */
export async function openKeyless(
  bundle: unknown,
  keyless: Keyless | undefined,
  signed: Buffer,
): Promise<{ readonly status: 'signed'; readonly signer: Signer } | Fault> {
  if (keyless === undefined) {
    const reason = 'it is keyless (a certificate instead of a key), and registry.trusted_root names no authorities';
    return { status: 'unknown_key', reason };
  }
  const parsed = schema.safeParse(bundle);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw wrong(`it is no keyless bundle: '${path.join('.')}': ${message}`);
  }
  let root: TrustedRoot;
  try {
    root = await keyless.root();
  } catch (error) {
    return { status: 'unknown_key', reason: (error as Error).message };
  }
  const found = await signerOf(asLogged(parsed.data, signed), root, signed);
  if ('status' in found) return found;
  const { name, issuer } = found;
  if (!(shown.test(name) && shown.test(issuer)))
    return { status: 'unknown_key', reason: 'its certificate names nobody, or not in plain letters' };
  if (keyless.identities.some((expected) => isIdentity(expected, found)))
    return { status: 'signed', signer: { by: name, keyId: issuer } };
  return { status: 'unknown_key', reason: `'${name}' of issuer '${issuer}' is not among registry.identities` };
}

type Given = z.infer<typeof schema>;

/** Newer logs take an envelope like any other bytes that were signed, and the judge compares like with like. */
function asLogged(given: Given, signed: Buffer): Given {
  const { dsseEnvelope, verificationMaterial } = given;
  if (!verificationMaterial.tlogEntries.every(({ kindVersion }) => kindVersion.kind === 'hashedrekord')) return given;
  const signature = dsseEnvelope?.signatures[0]?.sig;
  if (signature === undefined) return given;
  const digest = createHash('sha256').update(signed).digest('base64');
  return {
    ...given,
    dsseEnvelope: null,
    messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest }, signature },
  };
}

interface Named {
  readonly name: string;
  readonly issuer: string;
}

/** What a certificate says of people is shown to people. */
const shown = /^[!-~]{1,512}$/;

async function signerOf(given: Given, root: TrustedRoot, signed: Buffer): Promise<Named | Fault> {
  const { bundleFromJSON } = await import('@sigstore/bundle');
  const { toSignedEntity, toTrustMaterial, VerificationError: Judged, Verifier } = await import('@sigstore/verify');
  try {
    const entity = toSignedEntity(bundleFromJSON(given), signed);
    const material = toTrustMaterial(root as unknown as Parameters<typeof toTrustMaterial>[0]);
    const { identity } = new Verifier(material).verify(entity);
    return { name: identity?.subjectAlternativeName ?? '', issuer: identity?.extensions?.issuer ?? '' };
  } catch (error) {
    if (error instanceof Judged) return faultOf(error);
    throw wrong('it is no keyless bundle: its certificate or its log entry cannot be read');
  }
}

/** Only what a trusted signer would not have left behind is wrong; by whom the rest is made is not known. */
function faultOf({ code, message, cause }: VerificationError): Fault {
  const detail = cause instanceof Error ? cause.message : message;
  switch (code) {
    case 'SIGNATURE_ERROR':
      return { status: 'wrong', reason: 'it was not made by the key of its certificate over this payload' };
    case 'TLOG_BODY_ERROR':
      return { status: 'wrong', reason: `its log entry is that of another signature (${detail})` };
    case 'CERTIFICATE_ERROR':
      return { status: 'unknown_key', reason: `its certificate does not hold by the trusted root: ${detail}` };
    default:
      return { status: 'unknown_key', reason: `its log entry does not hold by the trusted root: ${detail}` };
  }
}

function isIdentity(expected: Identity, { name, issuer }: Named): boolean {
  if (expected.issuer !== issuer) return false;
  return typeof expected.name === 'string' ? expected.name === name : expected.name.test(name);
}

/** Of a note that ends in its signatures; a line that is none when it has none. */
function signatureLines(note: string): string[] {
  const at = note.indexOf('\n\n');
  return note
    .slice(at < 0 ? 0 : at + 2)
    .replace(/\n$/, '')
    .split('\n');
}
