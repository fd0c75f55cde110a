/**
 * One line of the list of what is served: the answer of `GET /admin/models`, `{"models": [ServedVersion, …]}`.
 *
 * Must not know who makes it or who reads it.
 */

export interface ServedTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

export interface ServedVersion {
  readonly name: string;
  readonly version: string;
  readonly state: string;
  /** Why it is not ready; empty when there is nothing to say. */
  readonly reason: string;
  /** It answers requests that name no version. */
  readonly default: boolean;
  readonly inputs: readonly ServedTensor[];
  readonly outputs: readonly ServedTensor[];
  /** Rows merged into one run; 0 = not batched. */
  readonly max_batch_size: number;
}
