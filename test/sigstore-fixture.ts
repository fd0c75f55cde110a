/**
 * A Sigstore of our own: authority, log of certificates and transparency log, whose keys are the pinned trusted root, and
 * signatures made with them as OpenSSF model signing v1 and cosign make them. Nothing is asked over a network.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mock } from 'node:test';
import { initializeCA, initializeCTLog, initializeTLog } from '@sigstore/mock';
import type { SignatureFile } from '../src/registry/signing/finding.js';
import type { VersionFile } from '../src/registry/signing/statement.js';
import { preAuthentication, statementOf } from './signing-fixture.js';

const issuerOid = '1.3.6.1.4.1.57264.1.8';
const day = 86_400_000;
/** Everything happened a day ago: certificates live for ten minutes, so all of them have expired. */
const begin = Date.now() - day;

export interface Sigstore {
  /** TrustedRoot JSON, as a file would hold it. */
  readonly root: Record<string, unknown>;
  /** Has a certificate given, and the signature of one key logged `logAfterMs` later. */
  readonly certified: (who: Who, signed: Buffer, entryOf: (made: Made) => object) => Promise<Certified>;
}

export interface Who {
  readonly name: string;
  readonly issuer: string;
  readonly logAfterMs?: number;
}

interface Made {
  readonly signature: string;
  /** PEM in base64, as the log has it. */
  readonly verifier: string;
}

export interface Certified {
  readonly signature: string;
  readonly certificate: Buffer;
  readonly entry: LogEntry;
}

export interface LogEntry {
  readonly body: string;
  readonly integratedTime: number;
  readonly logID: string;
  readonly logIndex: number;
  readonly verification: {
    readonly signedEntryTimestamp: string;
    readonly inclusionProof: {
      readonly logIndex: number;
      readonly treeSize: number;
      readonly rootHash: string;
      readonly hashes: readonly string[];
      readonly checkpoint: string;
    };
  };
}

function keyPair() {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
}

function derOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

function logOf(baseUrl: string, key: KeyObject): object {
  const rawBytes = derOf(key);
  return {
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: {
      rawBytes: rawBytes.toString('base64'),
      keyDetails: 'PKIX_ECDSA_P256_SHA_256',
      validFor: { start: new Date(begin - day).toISOString() },
    },
    logId: { keyId: createHash('sha256').update(rawBytes).digest('base64') },
  };
}

export async function sigstore(): Promise<Sigstore> {
  const [authority, certificates, entries] = [keyPair(), keyPair(), keyPair()];
  const url = 'https://rekor.example';
  const clock = new Date(begin);
  // The certificate of the authority itself begins when it is made, by the clock of the process.
  mock.timers.enable({ apis: ['Date'], now: begin - day });
  const ctlog = await initializeCTLog(certificates, clock);
  const ca = await initializeCA(authority, ctlog, clock);
  mock.timers.reset();
  const root = {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [logOf(url, entries.publicKey)],
    certificateAuthorities: [
      {
        subject: { organization: 'example', commonName: 'example' },
        uri: 'https://fulcio.example',
        certChain: { certificates: [{ rawBytes: Buffer.from(bytesOf(ca.rootCertificate)).toString('base64') }] },
        validFor: { start: new Date(begin - day).toISOString() },
      },
    ],
    ctlogs: [logOf('https://ctfe.example', certificates.publicKey)],
    timestampAuthorities: [],
  };
  const certified: Sigstore['certified'] = async ({ name, issuer, logAfterMs = 1000 }, signed, entryOf) => {
    const { publicKey, privateKey } = keyPair();
    const extensions = [{ oid: issuerOid, value: issuer }];
    const certificate = bytesOf(
      await ca.issueCertificate({
        publicKey: derOf(publicKey) as Buffer<ArrayBuffer>,
        subjectAltName: name,
        extensions,
      }),
    );
    const signature = sign('sha256', signed, privateKey).toString('base64');
    const tlog = await initializeTLog(url, entries, new Date(begin + logAfterMs));
    const verifier = Buffer.from(pemOf(certificate)).toString('base64');
    const logged = (await tlog.log(entryOf({ signature, verifier }))) as unknown as Record<string, LogEntry>;
    return { signature, certificate, entry: Object.values(logged)[0]! };
  };
  return { root, certified };
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

export function pemOf(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

const hexOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const base64OfHex = (text: string) => Buffer.from(text, 'hex').toString('base64');

function recordOf(signed: Buffer, made: Made): object {
  return {
    apiVersion: '0.0.1',
    kind: 'hashedrekord',
    spec: {
      data: { hash: { algorithm: 'sha256', value: hexOf(signed) } },
      signature: { content: made.signature, publicKey: { content: made.verifier } },
    },
  };
}

interface BundleForm {
  /** Of the log entry. */
  readonly kind?: 'dsse' | 'hashedrekord';
  readonly signed?: Buffer;
}

/** A bundle of version 0.3 around any payload. */
export async function keylessBundle(
  from: Sigstore,
  who: Who,
  payload: Buffer,
  { kind = 'dsse', signed = preAuthentication(payload) }: BundleForm = {},
): Promise<Record<string, unknown>> {
  const { signature, certificate, entry } = await from.certified(who, signed, (made) =>
    kind === 'hashedrekord'
      ? recordOf(signed, made)
      : {
          apiVersion: '0.0.1',
          kind,
          spec: { payloadHash: { algorithm: 'sha256', value: hexOf(payload) }, signatures: [made] },
        },
  );
  const { signedEntryTimestamp, inclusionProof } = entry.verification;
  const { checkpoint, logIndex, treeSize, rootHash, hashes } = inclusionProof;
  const logged = {
    logIndex: String(entry.logIndex),
    logId: { keyId: base64OfHex(entry.logID) },
    kindVersion: { kind, version: '0.0.1' },
    integratedTime: String(entry.integratedTime),
    inclusionPromise: { signedEntryTimestamp },
    inclusionProof: {
      logIndex: String(logIndex),
      rootHash: base64OfHex(rootHash),
      treeSize: String(treeSize),
      hashes: hashes.map(base64OfHex),
      checkpoint: { envelope: checkpoint },
    },
    canonicalizedBody: entry.body,
  };
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: {
      certificate: { rawBytes: certificate.toString('base64') },
      tlogEntries: [logged],
    },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: 'application/vnd.in-toto+json',
      signatures: [{ sig: signature }],
    },
  };
}

export function keylessStatement(files: readonly VersionFile[]): Buffer {
  return Buffer.from(JSON.stringify(statementOf(files)));
}

export function file(path: string, value: object): SignatureFile {
  return { path, content: Buffer.from(JSON.stringify(value)) };
}

/** What the source makes of a layer that cosign pushed with its annotations. */
export async function keylessCosign(from: Sigstore, who: Who, payload: Buffer): Promise<Record<string, string>> {
  const { signature, certificate, entry } = await from.certified(who, payload, (made) => recordOf(payload, made));
  const { body, integratedTime, logIndex, logID, verification } = entry;
  const SignedEntryTimestamp = verification.signedEntryTimestamp;
  return {
    payload: payload.toString('base64'),
    signature,
    certificate: pemOf(certificate),
    bundle: JSON.stringify({ SignedEntryTimestamp, Payload: { body, integratedTime, logIndex, logID } }),
  };
}
