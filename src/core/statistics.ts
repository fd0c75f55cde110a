/**
 * The V2 statistics of one version as plain values, which merge by addition.
 *
 * Sums of nanoseconds pass 2^53 after 104 worker-days, so they are bigint; counts stay numbers.
 *
 * Must not know JSON or protobuf, or who counts.
 */

/** How often, and how long in all. */
export interface DurationSum {
  readonly count: number;
  readonly ns: bigint;
}

/** Runs of one batch size. */
export interface BatchStatistics {
  readonly rows: number;
  readonly computeInput: DurationSum;
  readonly computeInfer: DurationSum;
  readonly computeOutput: DurationSum;
}

export interface VersionStatistics {
  readonly model: string;
  readonly version: string;
  /** Milliseconds since the epoch; 0 = never. */
  readonly lastInference: number;
  /** Rows. */
  readonly inferenceCount: number;
  /** Runs of the model. */
  readonly executionCount: number;
  readonly success: DurationSum;
  readonly fail: DurationSum;
  readonly queue: DurationSum;
  readonly computeInput: DurationSum;
  readonly computeInfer: DurationSum;
  readonly computeOutput: DurationSum;
  readonly cacheHit: DurationSum;
  readonly cacheMiss: DurationSum;
  /** Ascending by rows. */
  readonly batches: readonly BatchStatistics[];
  /** Held now; 0 = not known. Ends with its process, unlike everything else here. */
  readonly memoryBytes: number;
}

const none: DurationSum = { count: 0, ns: 0n };

/** A version that has not been asked yet. */
export function emptyStatistics(model: string, version: string): VersionStatistics {
  return {
    model,
    version,
    lastInference: 0,
    inferenceCount: 0,
    executionCount: 0,
    success: none,
    fail: none,
    queue: none,
    computeInput: none,
    computeInfer: none,
    computeOutput: none,
    cacheHit: none,
    cacheMiss: none,
    batches: [],
    memoryBytes: 0,
  };
}

/** Two parts of the same version's statistics as one. */
export function mergeStatistics(a: VersionStatistics, b: VersionStatistics): VersionStatistics {
  return {
    model: a.model,
    version: a.version,
    lastInference: Math.max(a.lastInference, b.lastInference),
    inferenceCount: a.inferenceCount + b.inferenceCount,
    executionCount: a.executionCount + b.executionCount,
    success: add(a.success, b.success),
    fail: add(a.fail, b.fail),
    queue: add(a.queue, b.queue),
    computeInput: add(a.computeInput, b.computeInput),
    computeInfer: add(a.computeInfer, b.computeInfer),
    computeOutput: add(a.computeOutput, b.computeOutput),
    cacheHit: add(a.cacheHit, b.cacheHit),
    cacheMiss: add(a.cacheMiss, b.cacheMiss),
    batches: mergeBatches(a.batches, b.batches),
    memoryBytes: a.memoryBytes + b.memoryBytes,
  };
}

function add(a: DurationSum, b: DurationSum): DurationSum {
  return { count: a.count + b.count, ns: a.ns + b.ns };
}

function mergeBatches(a: readonly BatchStatistics[], b: readonly BatchStatistics[]): BatchStatistics[] {
  const byRows = new Map(a.map((batch) => [batch.rows, batch]));
  for (const batch of b) {
    const known = byRows.get(batch.rows);
    byRows.set(batch.rows, known === undefined ? batch : addBatch(known, batch));
  }
  return [...byRows.values()].sort((x, y) => x.rows - y.rows);
}

function addBatch(a: BatchStatistics, b: BatchStatistics): BatchStatistics {
  return {
    rows: a.rows,
    computeInput: add(a.computeInput, b.computeInput),
    computeInfer: add(a.computeInfer, b.computeInfer),
    computeOutput: add(a.computeOutput, b.computeOutput),
  };
}
