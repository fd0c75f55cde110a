/**
 * What the two sides of a trial say to each other about it: why a version is refused, the samples that it must answer, and
 * what was recorded of its answers.
 *
 * Must not know processes, files or the runtime.
 */
import type { Tolerance } from './agreement.js';
import type { Tensor } from './tensor.js';

/** Why a version is refused. `crashed`, `timeout` and `golden` hold for good, `memory` until there is more of it. */
export type AdmissionCode =
  | 'parse'
  | 'external_data'
  | 'unsupported'
  | 'signature_mismatch'
  | 'contract'
  | 'golden'
  | 'memory'
  | 'timeout'
  | 'crashed'
  | 'runtime';

/** A request with the answer that its author promises. */
export interface GoldenSample {
  /** What messages call it: the file of its request. */
  readonly name: string;
  readonly inputs: readonly Tensor[];
  /** Outputs asked for; undefined = all. */
  readonly requested: readonly string[] | undefined;
  readonly outputs: readonly Tensor[];
  readonly tolerance: Tolerance;
}

/** Our own record of the answers to the golden samples, one sha256 for each sample, and of what gave them. */
export interface GoldenRecord {
  /** Runtime, machine and options in words; under an equal one the answers must be equal bit for bit. */
  readonly fingerprint: string;
  readonly outputsSha256: readonly string[];
}
