/**
 * What the shadows of a process have found, as plain values that merge: what a gateway process sends up, control adds up and
 * the command line shows (monitoring §9.2).
 *
 * Field names of the measures are those of the JSON API. An undefined measure is NaN while it is counted and `missing` here.
 *
 * Must not know how requests are copied or compared.
 */
import { type Moments, mergeMoments } from './moments.js';

/** How a request ended for a shadow. All but the first three mean that the shadow did not run. */
export const shadowOutcomes = [
  'ok',
  'error',
  'timeout',
  'sampled_out',
  'queue_full',
  'bytes',
  'breaker',
  'loop_lag',
  'body_too_large',
  'not_ready',
  /** The primary itself was refused, cancelled or too late: there is nothing to compare, and no time for it. */
  'primary_refused',
  /** The caller asked for the very version that is the shadow. */
  'same_version',
  /** The shadow was taken out of its route meanwhile. */
  'removed',
] as const;
export type ShadowOutcome = (typeof shadowOutcomes)[number];
export type OutcomeCounts = Readonly<Record<ShadowOutcome, number>>;

/** Measures of one item of one output, in the order of `Measures.values`. */
export const measureNames = [
  'max_abs_diff',
  'mean_abs_diff',
  'rmse',
  'cosine',
  'kl_primary_shadow_nats',
  'js_distance_bits',
  'topk_overlap',
] as const;
export type MeasureName = (typeof measureNames)[number];

/** Bins of `max_abs_diff`: powers of 10 from 1e-12 in quarter steps, left-closed; what lies outside is in the end bins. */
export const differenceBins = 40;

/** Lower edge of a bin. */
export function differenceEdge(bin: number): number {
  return 10 ** (-12 + bin / 4);
}

export interface LabelCount {
  readonly label: string;
  readonly primary: number;
  readonly shadow: number;
}

/** A request on which primary and shadow differ: its worst item. */
export interface Mismatch {
  readonly requestId: string;
  readonly output: string;
  readonly item: number;
  /** NaN for texts. */
  readonly maxAbsDiff: number;
  /** Empty when the output has no labels. */
  readonly primaryLabel: string;
  readonly shadowLabel: string;
  /** u("mismatch:" + requestId): decides which are kept. */
  readonly u: number;
}

export interface OutputReport {
  readonly output: string;
  readonly items: number;
  /** Items that agree by the rule of the route. */
  readonly agreed: number;
  /** Items whose every element matches within the tolerance. */
  readonly matched: number;
  /** Items of numbers whose first maximum stands at the same index. */
  readonly argmaxAgreed: number;
  /** Items of numbers. */
  readonly argmaxItems: number;
  readonly labelled: number;
  readonly labelAgreed: number;
  /** By first appearance; what comes beyond the limit counts together as `…`. */
  readonly labels: readonly LabelCount[];
  readonly shapeMismatches: number;
  /** Pairs whose output was too large to compare. */
  readonly tooLarge: number;
  readonly measures: Readonly<Record<MeasureName, Moments>>;
  readonly histogram: readonly number[];
}

export interface ShadowReport {
  readonly route: string;
  readonly shadow: string;
  readonly model: string;
  readonly version: string;
  readonly outcomes: OutcomeCounts;
  /** Requests that both answered, compared. */
  readonly pairs: number;
  /** Compared pairs with at least one item that does not agree. */
  readonly mismatchedPairs: number;
  /** One answered and the other failed, or they failed with different codes. */
  readonly statusMismatches: number;
  /** Shadow − primary: queue and run, in milliseconds. */
  readonly latencyMs: Moments;
  /** Shadow − primary. */
  readonly outputBytes: Moments;
  readonly outputs: readonly OutputReport[];
  /** Of greatest difference, worst first. */
  readonly worst: readonly Mismatch[];
  /** A fair sample, by ascending u. */
  readonly sampled: readonly Mismatch[];
}

export const worstMax = 20;
export const sampledMax = 1000;
export const labelsMax = 1000;
/** All labels beyond the limit. */
export const otherLabel = '…';

/** Worst first; NaN (texts) last, equal ones by sample order. */
export function byDifference(a: Mismatch, b: Mismatch): number {
  const [x, y] = [Number.isNaN(a.maxAbsDiff) ? -1 : a.maxAbsDiff, Number.isNaN(b.maxAbsDiff) ? -1 : b.maxAbsDiff];
  return x === y ? bySample(a, b) : x > y ? -1 : 1;
}

export function bySample(a: Mismatch, b: Mismatch): number {
  if (a.u !== b.u) return a.u - b.u;
  return a.requestId < b.requestId ? -1 : a.requestId > b.requestId ? 1 : 0;
}

/** Share of items that agree by the rule; undefined before the first. */
export function agreementOf({ agreed, items }: OutputReport): number | undefined {
  return items === 0 ? undefined : agreed / items;
}

/** Share of the pairs that differ somewhere: what an alert looks at. */
export function disagreementRatioOf({ mismatchedPairs, pairs }: ShadowReport): number | undefined {
  return pairs === 0 ? undefined : mismatchedPairs / pairs;
}

/** Counts of predicted labels, and how many were equal on both sides. */
type LabelAgreement = Pick<OutputReport, 'labelled' | 'labelAgreed' | 'labels'>;

/** Cohen's κ of the labels: agreement beyond what chance gives. Undefined without labels, or when chance alone gives all. */
export function kappaOf({ labelled, labelAgreed, labels }: LabelAgreement): number | undefined {
  if (labelled === 0) return undefined;
  let byChance = 0;
  for (const { primary, shadow } of labels) byChance += (primary / labelled) * (shadow / labelled);
  return byChance >= 1 ? undefined : (labelAgreed / labelled - byChance) / (1 - byChance);
}

/** Reports of several processes: those of one shadow and version as one, in the order in which they came. */
export function mergeReports(reports: readonly ShadowReport[]): ShadowReport[] {
  const merged = new Map<string, ShadowReport>();
  for (const report of reports) {
    const key = [report.route, report.shadow, report.model, report.version].join('\n');
    const known = merged.get(key);
    merged.set(key, known === undefined ? report : mergePair(known, report));
  }
  return [...merged.values()];
}

function mergePair(a: ShadowReport, b: ShadowReport): ShadowReport {
  const outcomes = { ...a.outcomes };
  for (const outcome of shadowOutcomes) outcomes[outcome] += b.outcomes[outcome];
  return {
    route: a.route,
    shadow: a.shadow,
    model: a.model,
    version: a.version,
    outcomes,
    pairs: a.pairs + b.pairs,
    mismatchedPairs: a.mismatchedPairs + b.mismatchedPairs,
    statusMismatches: a.statusMismatches + b.statusMismatches,
    latencyMs: mergeMoments(a.latencyMs, b.latencyMs),
    outputBytes: mergeMoments(a.outputBytes, b.outputBytes),
    outputs: mergeNamed(a.outputs, b.outputs, ({ output }) => output, mergeOutput),
    worst: [...a.worst, ...b.worst].sort(byDifference).slice(0, worstMax),
    sampled: [...a.sampled, ...b.sampled].sort(bySample).slice(0, sampledMax),
  };
}

function mergeOutput(a: OutputReport, b: OutputReport): OutputReport {
  const measures = { ...a.measures };
  for (const name of measureNames) measures[name] = mergeMoments(a.measures[name], b.measures[name]);
  return {
    output: a.output,
    items: a.items + b.items,
    agreed: a.agreed + b.agreed,
    matched: a.matched + b.matched,
    argmaxAgreed: a.argmaxAgreed + b.argmaxAgreed,
    argmaxItems: a.argmaxItems + b.argmaxItems,
    labelled: a.labelled + b.labelled,
    labelAgreed: a.labelAgreed + b.labelAgreed,
    labels: mergeNamed(a.labels, b.labels, ({ label }) => label, mergeLabel),
    shapeMismatches: a.shapeMismatches + b.shapeMismatches,
    tooLarge: a.tooLarge + b.tooLarge,
    measures,
    histogram: a.histogram.map((count, bin) => count + b.histogram[bin]!),
  };
}

function mergeLabel(a: LabelCount, b: LabelCount): LabelCount {
  return { label: a.label, primary: a.primary + b.primary, shadow: a.shadow + b.shadow };
}

function mergeNamed<T>(a: readonly T[], b: readonly T[], nameOf: (item: T) => string, merge: (a: T, b: T) => T): T[] {
  const merged = new Map(a.map((item) => [nameOf(item), item]));
  for (const item of b) {
    const known = merged.get(nameOf(item));
    merged.set(nameOf(item), known === undefined ? item : merge(known, item));
  }
  return [...merged.values()];
}
