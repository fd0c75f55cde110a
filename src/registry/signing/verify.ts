/**
 * Who vouches for a version: every signature that came with it, judged by who is trusted and the policy.
 *
 *   signature files ─▶ a finding each (`forms`) ─▶ distinct signers ≥ threshold ─▶ verdict
 *
 * One wrong signature spoils the rest, because something was changed after it was made; one by a signer who is not trusted
 * neither helps nor harms.
 *
 * Must not know where versions come from or where they are stored.
 */
import { Refusal } from '../refusal.js';
import { checkDetached } from './detached.js';
import type { Finding, SignatureFile } from './finding.js';
import { findingOf, type SignedFiles } from './forms.js';
import { noTrust, type Trust } from './trust.js';

export interface SignaturePolicy {
  /** `off` = not looked at. `warn` = told. `require` = refused unless signed. */
  readonly mode: 'off' | 'warn' | 'require';
  /** Distinct signers that there must be; default 1. */
  readonly threshold?: number;
}

export interface SignatureVerdict {
  /** `unchecked` = the policy is off. `unsigned` = too few signatures, or none. */
  readonly status: 'signed' | 'unsigned' | 'wrong' | 'unknown_key' | 'unchecked';
  /** File names of the trusted keys that signed, or the names in certificates, joined by ", "; empty when there are none. */
  readonly by: string;
  /** Ids of the keys, issuers of the certificates, in the same order and form. */
  readonly keyId: string;
  /** Why it is not `signed`; empty when it is. */
  readonly reason: string;
  /** Files that the signatures leave out on purpose and that must not become part of the version. */
  readonly exempt: readonly string[];
}

interface Judged {
  readonly signatures: readonly SignatureFile[];
  /** Reads who is trusted. */
  readonly trust: () => Promise<Trust>;
  readonly policy: SignaturePolicy;
}

export interface SignedVersion extends Judged, SignedFiles {}

const signaturesMax = 64;
const unchecked: SignatureVerdict = { status: 'unchecked', by: '', keyId: '', reason: '', exempt: [] };

/**
 * @throws Refusal `signature` when the policy requires what is not there
 * @throws UNAVAILABLE when the policy requires it and the trusted keys cannot be read
 */
export function verifySignatures(version: SignedVersion): Promise<SignatureVerdict> {
  return verified(version, (signature, trust) => findingOf(signature, version, trust));
}

/** Detached signatures over the bytes of one file that lists everything else: an index. Throws as above. */
export function verifyDetached(signed: Judged & { readonly bytes: Uint8Array }): Promise<SignatureVerdict> {
  return verified(signed, async ({ content }, { keys }) => checkDetached(content, signed.bytes, keys));
}

type Look = (signature: SignatureFile, trust: Trust) => Promise<Finding | undefined>;

async function verified({ policy, signatures, trust: read }: Judged, look: Look): Promise<SignatureVerdict> {
  if (policy.mode === 'off') return unchecked;
  const trust = await trustUnder(policy, read);
  const findings: Finding[] = [];
  for (const signature of signatures.slice(0, signaturesMax)) {
    const finding = await judged(signature, () => look(signature, trust));
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

function verdictOf(findings: readonly Finding[], trust: Trust, threshold: number): SignatureVerdict {
  const signed = findings.filter((finding) => finding.status === 'signed');
  const signers = [...new Map(signed.map(({ signer }) => [`${signer.keyId} ${signer.by}`, signer])).values()];
  const verdict = (status: SignatureVerdict['status'], reason: string): SignatureVerdict => ({
    status,
    by: signers.map(({ by }) => by).join(', '),
    keyId: signers.map(({ keyId }) => keyId).join(', '),
    reason,
    exempt: [...new Set(signed.flatMap(({ exempt }) => exempt))],
  });
  const wrongOne = findings.find((finding) => finding.status === 'wrong');
  if (wrongOne !== undefined) return verdict('wrong', wrongOne.reason);
  if (signers.length >= threshold) return verdict('signed', '');
  const unknown = findings.find((finding) => finding.status === 'unknown_key');
  const reason = unknown?.reason ?? `signed by ${signers.length} of ${threshold} trusted keys`;
  return verdict(unknown === undefined ? 'unsigned' : 'unknown_key', [reason, ...trust.passedOver].join('; '));
}
