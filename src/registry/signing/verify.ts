/**
 * Who vouches for a version: every signature that came with it, judged by the keys that are trusted and the policy.
 *
 *   manifest.json.sig, manifest.json.<n>.sig ─▶ ed25519 over the manifest, which lists every file ┐
 *   model.sig ─▶ OpenSSF model signing v1, which lists every file itself                          ┴▶ distinct keys ≥ threshold
 *
 * One wrong signature spoils the rest, because something was changed after it was made; one by a key that is not trusted
 * neither helps nor harms.
 *
 * Must not know where versions come from or where they are stored.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { manifestFileName, parseManifest } from '../manifest.js';
import { Refusal } from '../refusal.js';
import { openBundle } from './bundle.js';
import { checkDetached } from './detached.js';
import { type Finding, type SignatureFile, wrong } from './finding.js';
import { checkStatement, type VersionFile } from './statement.js';
import { noTrust, type Trust, type TrustedKey } from './trust.js';

export interface SignaturePolicy {
  /** `off` = not looked at. `warn` = told. `require` = refused unless signed. */
  readonly mode: 'off' | 'warn' | 'require';
  /** Distinct keys that must have signed; default 1. */
  readonly threshold?: number;
}

export interface SignatureVerdict {
  /** `unchecked` = the policy is off. `unsigned` = too few signatures, or none. */
  readonly status: 'signed' | 'unsigned' | 'wrong' | 'unknown_key' | 'unchecked';
  /** File names of the trusted keys that signed, joined by ", "; empty when none did. */
  readonly by: string;
  /** Their ids in the same order and form. */
  readonly keyId: string;
  /** Why it is not `signed`; empty when it is. */
  readonly reason: string;
  /** Files that the signatures leave out on purpose and that must not become part of the version. */
  readonly exempt: readonly string[];
}

interface Judged {
  readonly signatures: readonly SignatureFile[];
  /** Reads the trusted keys. */
  readonly trust: () => Promise<Trust>;
  readonly policy: SignaturePolicy;
}

export interface SignedVersion extends Judged {
  /** Where the files lie. */
  readonly directory: string;
  /** All of them but signatures, with the sha256 that was computed from their bytes. */
  readonly files: readonly VersionFile[];
}

const signaturesMax = 64;
const manifestSignature = /^manifest\.json(\.[1-9][0-9]{0,3})?\.sig$/;
const unchecked: SignatureVerdict = { status: 'unchecked', by: '', keyId: '', reason: '', exempt: [] };

/**
 * @throws Refusal `signature` when the policy requires what is not there
 * @throws UNAVAILABLE when the policy requires it and the trusted keys cannot be read
 */
export function verifySignatures(version: SignedVersion): Promise<SignatureVerdict> {
  return verified(version, (signature, keys) => check(signature, version, keys));
}

/** Detached signatures over the bytes of one file that lists everything else: an index. Throws as above. */
export function verifyDetached(signed: Judged & { readonly bytes: Uint8Array }): Promise<SignatureVerdict> {
  return verified(signed, async ({ content }, keys) => checkDetached(content, signed.bytes, keys));
}

type Look = (signature: SignatureFile, keys: readonly TrustedKey[]) => Promise<Finding | undefined>;

async function verified({ policy, signatures, trust: read }: Judged, look: Look): Promise<SignatureVerdict> {
  if (policy.mode === 'off') return unchecked;
  const trust = await trustUnder(policy, read);
  const findings: Finding[] = [];
  for (const signature of signatures.slice(0, signaturesMax)) {
    const finding = await judged(signature, () => look(signature, trust.keys));
    if (finding !== undefined) findings.push(finding);
  }
  const verdict = verdictOf(findings, trust, policy.threshold ?? 1);
  if (policy.mode !== 'require' || verdict.status === 'signed') return verdict;
  throw new Refusal('signature', `a signature is required: ${verdict.reason}`);
}

async function trustUnder(policy: SignaturePolicy, read: () => Promise<Trust>): Promise<Trust> {
  if (policy.mode === 'require') return read();
  return read().catch((error) => ({ ...noTrust, passedOver: [(error as Error).message] }));
}

/** A refusal of what is in a signature is a finding about it; its reason begins with the name of the file. */
async function judged({ path }: SignatureFile, look: () => Promise<Finding | undefined>): Promise<Finding | undefined> {
  try {
    const finding = await look();
    return finding === undefined || finding.status === 'signed'
      ? finding
      : { status: finding.status, reason: `${path}: ${finding.reason}` };
  } catch (error) {
    return { status: 'wrong', reason: `${path}: ${(error as Error).message}` };
  }
}

/** @returns undefined for a file of another kind, which vouches for nothing here */
async function check(
  { path, content }: SignatureFile,
  version: SignedVersion,
  keys: readonly TrustedKey[],
): Promise<Finding | undefined> {
  if (manifestSignature.test(path)) {
    const manifest = await manifestOf(version);
    const finding = checkDetached(content, manifest, keys);
    if (finding.status === 'signed') checkListed(manifest.toString('utf8'), version.files);
    return finding;
  }
  if (path !== 'model.sig') return undefined;
  const opened = openBundle(content, keys);
  if (opened.status !== 'signed') return opened;
  return { ...opened, exempt: checkStatement(opened.payload, version.files, version.signatures.map(hashed)) };
}

/** The manifest's bytes, which must be those that were hashed. */
async function manifestOf({ directory, files }: SignedVersion): Promise<Buffer> {
  const listed = files.find(({ path }) => path === manifestFileName);
  if (listed === undefined) throw wrong(`there is no ${manifestFileName}`);
  const bytes = await readFile(join(directory, manifestFileName));
  if (sha256(bytes) !== listed.sha256) throw wrong(`${manifestFileName} is not the file that was hashed`);
  return bytes;
}

/** A signature over the manifest covers a file because the manifest lists it. */
function checkListed(manifest: string, files: readonly VersionFile[]): void {
  const listed = new Map(parseManifest(manifest).files.map((file) => [file.path, file]));
  for (const { path, sha256: got } of files) {
    if (path === manifestFileName) continue;
    const file = listed.get(path);
    if (file === undefined) throw wrong(`'${path}' is present but not listed in ${manifestFileName}`);
    if (file.sha256 !== got) throw wrong(`'${path}' has sha256 ${got}, signed was ${file.sha256}`);
    listed.delete(path);
  }
  for (const path of listed.keys()) throw wrong(`'${path}' is signed but is not a file of this version`);
}

function verdictOf(findings: readonly Finding[], trust: Trust, threshold: number): SignatureVerdict {
  const signed = findings.filter((finding) => finding.status === 'signed');
  const keys = [...new Map(signed.map(({ key }) => [key.keyId, key])).values()];
  const verdict = (status: SignatureVerdict['status'], reason: string): SignatureVerdict => ({
    status,
    by: keys.map(({ by }) => by).join(', '),
    keyId: keys.map(({ keyId }) => keyId).join(', '),
    reason,
    exempt: [...new Set(signed.flatMap(({ exempt }) => exempt))],
  });
  const wrongOne = findings.find((finding) => finding.status === 'wrong');
  if (wrongOne !== undefined) return verdict('wrong', wrongOne.reason);
  if (keys.length >= threshold) return verdict('signed', '');
  const unknown = findings.find((finding) => finding.status === 'unknown_key');
  const reason = unknown?.reason ?? `signed by ${keys.length} of ${threshold} trusted keys`;
  return verdict(unknown === undefined ? 'unsigned' : 'unknown_key', [reason, ...trust.passedOver].join('; '));
}

function hashed({ path, content }: SignatureFile): VersionFile {
  return { path, bytes: content.length, sha256: sha256(content) };
}

function sha256(of: Uint8Array): string {
  return createHash('sha256').update(of).digest('hex');
}
