/**
 * What the control port says of the versions it knows, and the command line shows.
 *
 * Must not know either end.
 */

/** One line of the answer of `GET /admin/models`. */
export interface ServedVersion {
  readonly model: string;
  readonly version: string;
  readonly state: string;
  readonly reason: string;
  /** It answers when no version is named. */
  readonly isDefault: boolean;
  /** `image FP32 [-1,64]`. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** 0 = not batched. */
  readonly maxBatchSize: number;
}
