/**
 * What a pull is given to do its work with, and whom it tells. All of it is optional: without a function that checks
 * signatures nothing is checked, without one that unpacks an archive is refused.
 *
 * Must not know how a pull works.
 */
import type { ArchiveKind } from '../inflate.js';
import type { SignatureVerdict, StoredFile } from './record.js';
import type { PullProgress } from './tally.js';

/** Where a pull is. The last four are the store's. */
export type PullStep = 'begun' | 'downloaded' | 'unpacked' | 'verified' | 'recorded' | 'synced' | 'renamed' | 'done';

export interface SignatureFile {
  readonly path: string;
  readonly content: Uint8Array;
}

/**
 * @param manifests those of the artifact
 * @throws Refusal `signature` when the policy says so
 */
export type VerifySignatures = (
  directory: string,
  files: readonly StoredFile[],
  signatures: readonly SignatureFile[],
  manifests: readonly string[],
) => Promise<SignatureVerdict & { readonly exempt: readonly string[] }>;

export interface UnpackLimits {
  readonly bytesMax: number;
  readonly entriesMax: number;
  readonly ratioMax: number;
  readonly metadataBytesMax: number;
}

/** Unpacks into a directory, under its own rules of names; nothing stays when it throws. */
export type Unpack = (
  chunks: AsyncIterable<Uint8Array>,
  kind: ArchiveKind,
  directory: string,
  limits: UnpackLimits,
) => Promise<readonly StoredFile[]>;

export interface PullHooks {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PullProgress) => void;
  /** The pull goes on when it resolves. */
  readonly onStep?: (step: PullStep) => void | Promise<void>;
  readonly verify?: VerifySignatures;
  readonly unpack?: Unpack;
}
