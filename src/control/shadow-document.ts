/**
 * PART OF THE ROOT: what shadows have found, as the JSON of the control port; names as in monitoring §9.2.
 *
 * Must not know how it was counted.
 */
import type { Moments } from '../core/moments.js';
import {
  agreementOf,
  differenceEdge,
  disagreementRatioOf,
  kappaOf,
  type MeasureName,
  type Mismatch,
  measureNames,
  type OutcomeCounts,
  type OutputReport,
  type ShadowReport,
} from '../core/shadow-report.js';

interface SpreadDocument {
  readonly n: number;
  readonly mean: number | null;
  readonly std_sample: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly infinite: number;
}

interface MismatchDocument {
  readonly request_id: string;
  readonly output: string;
  readonly item: number;
  readonly max_abs_diff: number | null;
  readonly primary_label: string | null;
  readonly shadow_label: string | null;
}

interface OutputDocument {
  readonly output: string;
  readonly items: number;
  /** By the rule of the route. */
  readonly agreement: number | null;
  readonly match_rate: number | null;
  readonly argmax_agree: number | null;
  readonly label_agreement: number | null;
  readonly cohen_kappa: number | null;
  readonly shape_mismatches: number;
  readonly too_large: number;
  readonly measures: Readonly<Record<MeasureName, SpreadDocument>>;
  /** Of max_abs_diff: `[lower edge, items]`, without empty bins. */
  readonly histogram: readonly (readonly [number, number])[];
}

export interface ShadowDocument {
  readonly route: string;
  readonly shadow: string;
  readonly model: string;
  readonly version: string;
  readonly outcomes: OutcomeCounts;
  readonly pairs: number;
  readonly mismatched_pairs: number;
  readonly disagreement_ratio: number | null;
  readonly status_mismatches: number;
  /** Shadow − primary. */
  readonly latency_ms: SpreadDocument;
  readonly output_bytes: SpreadDocument;
  readonly outputs: readonly OutputDocument[];
  readonly worst: readonly MismatchDocument[];
  /** A fair sample. */
  readonly sampled: readonly MismatchDocument[];
}

export function documentOf(report: ShadowReport): ShadowDocument {
  const { route, shadow, model, version, outcomes, pairs, mismatchedPairs, statusMismatches } = report;
  return {
    route,
    shadow,
    model,
    version,
    outcomes,
    pairs,
    mismatched_pairs: mismatchedPairs,
    disagreement_ratio: disagreementRatioOf(report) ?? null,
    status_mismatches: statusMismatches,
    latency_ms: spreadOf(report.latencyMs),
    output_bytes: spreadOf(report.outputBytes),
    outputs: report.outputs.map(outputOf),
    worst: report.worst.map(mismatchOf),
    sampled: report.sampled.map(mismatchOf),
  };
}

function outputOf(report: OutputReport): OutputDocument {
  const { output, items, matched, argmaxAgreed, argmaxItems, labelAgreed, labelled } = report;
  return {
    output,
    items,
    agreement: agreementOf(report) ?? null,
    match_rate: ratio(matched, items),
    argmax_agree: ratio(argmaxAgreed, argmaxItems),
    label_agreement: ratio(labelAgreed, labelled),
    cohen_kappa: kappaOf(report) ?? null,
    shape_mismatches: report.shapeMismatches,
    too_large: report.tooLarge,
    measures: Object.fromEntries(measureNames.map((name) => [name, spreadOf(report.measures[name])])) as Record<
      MeasureName,
      SpreadDocument
    >,
    histogram: report.histogram.flatMap((count, bin) => (count === 0 ? [] : [[differenceEdge(bin), count] as const])),
  };
}

function mismatchOf({ requestId, output, item, maxAbsDiff, primaryLabel, shadowLabel }: Mismatch): MismatchDocument {
  return {
    request_id: requestId,
    output,
    item,
    max_abs_diff: Number.isFinite(maxAbsDiff) ? maxAbsDiff : null,
    primary_label: primaryLabel === '' ? null : primaryLabel,
    shadow_label: shadowLabel === '' ? null : shadowLabel,
  };
}

function spreadOf({ n, mean, m2, min, max, infinite }: Moments): SpreadDocument {
  return {
    n,
    mean: n === 0 ? null : mean,
    std_sample: n < 2 ? null : Math.sqrt(m2 / (n - 1)),
    min: n === 0 ? null : min,
    max: n === 0 ? null : max,
    infinite,
  };
}

function ratio(count: number, of: number): number | null {
  return of === 0 ? null : count / of;
}
