/**
 * What a gateway process counts of one arm of an experiment or canary, as plain values that add up.
 *
 *   per (experiment, phase, variant)   requests, faults, a latency histogram, predictions     whole since the process started
 *   per key of a phase                 requests, faults, slow requests                        deltas, sent once a minute
 *
 * The arm's counts show bursts, the keys' counts carry the statistics. The histogram is finer than that of the metrics: two
 * p99 can be compared only as well as its bounds allow, here within 19 %.
 *
 * Must not know who counts or what is concluded.
 */
import type { OutcomeCode } from './inference.js';

export interface ArmCounts {
  readonly requests: number;
  /** Requests that ended in a fault of the server. */
  readonly faults: number;
  /** Requests in each bucket of `armLatencyBoundsMs` alone; one more than bounds, the last is everything above. */
  readonly latency: readonly number[];
  /** Predictions in each bin of the model's output, a label or a range of scores; empty where they are not counted. */
  readonly predictions: readonly number[];
}

/** Which arm: the variant assigned, whatever served in the end. */
export interface ArmId {
  readonly experiment: string;
  readonly phase: number;
  readonly variant: string;
}

export interface ArmReport extends ArmId {
  readonly counts: ArmCounts;
}

/**
 * What the keys of an arm did since the last report; one entry of each column for one key. A key is a number of 52 bits at
 * most, made by a keyed hash, equal in every process. Requests that have no key or were overridden are not here; of those that
 * a fallback served only the key is, for what counts is whom the split chose.
 */
export interface KeyDeltas extends ArmId {
  readonly keys: Float64Array;
  readonly requests: Float64Array;
  readonly faults: Float64Array;
  /** Requests that were compared with the experiment's `slowMs`: none as long as it is not known. */
  readonly timed: Float64Array;
  /** Of these, those above it. */
  readonly slow: Float64Array;
}

/** What a gateway process tells at once of all its arms. */
export interface ArmTake {
  readonly arms: readonly ArmReport[];
  readonly keys: readonly KeyDeltas[];
  /** Requests whose keys found no room since the last time. */
  readonly untold: number;
}

const boundsBelowOneMs = 16;
const bounds = 73;

/** Upper bounds: quarter powers of two from 1/16 ms to 16 s. */
export const armLatencyBoundsMs: readonly number[] = Array.from({ length: bounds }, (_, i) => boundOf(i));

function boundOf(index: number): number {
  return 2 ** ((index - boundsBelowOneMs) / 4);
}

export function latencyBucketOf(ms: number): number {
  if (!(ms > 0)) return 0;
  const index = Math.ceil(4 * Math.log2(ms)) + boundsBelowOneMs;
  return index < 0 ? 0 : index > bounds ? bounds : index;
}

/**
 * Whether a request counts against the version that answered. A full queue does: that is how a slow version shows. What the
 * caller did wrong or gave up does not.
 */
export function isServerFault(code: OutcomeCode): boolean {
  return (
    code === 'INTERNAL' ||
    code === 'UNAVAILABLE' ||
    code === 'DEADLINE_EXCEEDED' ||
    code === 'RESOURCE_EXHAUSTED' ||
    code === 'UNIMPLEMENTED'
  );
}

export const noArmCounts: ArmCounts = { requests: 0, faults: 0, latency: [], predictions: [] };

export function addArmCounts(a: ArmCounts, b: ArmCounts): ArmCounts {
  return combine(a, b, 1);
}

/** What came after `earlier`. */
export function armCountsSince(later: ArmCounts, earlier: ArmCounts): ArmCounts {
  return combine(later, earlier, -1);
}

function combine(a: ArmCounts, b: ArmCounts, sign: 1 | -1): ArmCounts {
  return {
    requests: a.requests + sign * b.requests,
    faults: a.faults + sign * b.faults,
    latency: combineColumns(a.latency, b.latency, sign),
    predictions: combineColumns(a.predictions, b.predictions, sign),
  };
}

function combineColumns(a: readonly number[], b: readonly number[], sign: 1 | -1): number[] {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => (a[i] ?? 0) + sign * (b[i] ?? 0));
}
