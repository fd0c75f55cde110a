/**
 * What the control port says of the versions it knows, and the command line shows.
 *
 * Must not know either end.
 */

/** What `GET /admin/models` answers. */
export interface ServedListing {
  readonly models: readonly ServedVersion[];
  readonly sources: readonly SourceState[];
}

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
  readonly source: string;
  /** The version digest; empty before the version was admitted. */
  readonly sha256: string;
  /** Labels that lead to it. */
  readonly labels: readonly string[];
}

/** One source, as `GET /admin/sources` tells it. */
export interface SourceState {
  readonly name: string;
  readonly type: string;
  readonly isUp: boolean;
  readonly reason: string;
  /** RFC 3339; null = it has not answered yet. */
  readonly lastSuccess: string | null;
}
