/**
 * What a load generator found, whichever it was.
 *
 * Must not know how load is made.
 */

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Answers that were not a success, and connections that failed. */
  readonly errors: number;
  /** Told by a load that is its own server. */
  readonly cpuUs?: number;
  readonly rssBytes?: number;
}

/** Runs against one server at a time. */
export type Load = (seconds: number) => Promise<LoadResult>;
