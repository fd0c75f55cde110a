/**
 * Whether a version has become worse on labelled rows than it was, or than the champion is (monitoring §14.3).
 *
 *   drop = reference − current, oriented so that positive is worse, with a one-sided 95 % interval
 *   lower end above the margin: degraded        upper end below: ok        otherwise undecided
 *
 * Three labels can thus never raise an alarm, and silence is never reported as health.
 *
 * Must not know where labels come from.
 */
import type { Look } from './persistence.js';
import { newcombeInterval, type Share, wilsonInterval } from './proportion.js';
import { normalQuantile } from './special.js';

/** A metric that is a share of rows: accuracy, precision, recall. */
export interface ShareMeasure {
  readonly kind: 'share';
  readonly value: number;
  /** Undefined for a constant of which nobody knows the rows. */
  readonly n?: number;
}

/** Any other, with its standard error: AUC, MAE, log-loss. */
export interface ErrorMeasure {
  readonly kind: 'mean';
  readonly value: number;
  /** 0 for a constant. */
  readonly standardError: number;
  readonly n?: number;
}

export type Measure = ShareMeasure | ErrorMeasure;

export interface DegradationOptions {
  readonly margin?: number;
  readonly labelsMin?: number;
  readonly lowerIsBetter?: boolean;
}

export interface Degradation {
  readonly verdict: 'insufficient_data' | 'degraded' | 'ok' | 'undecided';
  readonly drop: number;
  readonly low: number;
  readonly high: number;
  readonly margin: number;
  readonly n: number;
}

/** Two-sided 90 %, which is one-sided 95 % at each end. */
const alpha = 0.1;
const defaults: Required<DegradationOptions> = { margin: 0.02, labelsMin: 200, lowerIsBetter: false };

export function decideDegradation(reference: Measure, current: Measure, options: DegradationOptions = {}): Degradation {
  const { margin, labelsMin, lowerIsBetter } = { ...defaults, ...options };
  const drop = lowerIsBetter ? current.value - reference.value : reference.value - current.value;
  const { low, high } = lowerIsBetter ? dropInterval(current, reference) : dropInterval(reference, current);
  const n = current.n ?? 0;
  return { verdict: verdictOf(n < labelsMin, low > margin, high <= margin), drop, low, high, margin, n };
}

function verdictOf(isFew: boolean, isWorse: boolean, isFine: boolean): Degradation['verdict'] {
  if (isFew) return 'insufficient_data';
  if (isWorse) return 'degraded';
  return isFine ? 'ok' : 'undecided';
}

/** Of a − b. */
function dropInterval(a: Measure, b: Measure): { low: number; high: number } {
  if (a.kind === 'mean' || b.kind === 'mean') return normalInterval(a, b);
  if (a.n !== undefined && b.n !== undefined) {
    return newcombeInterval(sharesOf(b, b.n), sharesOf(a, a.n), alpha) ?? unknown;
  }
  if (b.n !== undefined) {
    const ofB = wilsonInterval(sharesOf(b, b.n), alpha);
    return ofB === null ? unknown : { low: a.value - ofB.high, high: a.value - ofB.low };
  }
  if (a.n === undefined) return { low: a.value - b.value, high: a.value - b.value };
  const ofA = wilsonInterval(sharesOf(a, a.n), alpha);
  return ofA === null ? unknown : { low: ofA.low - b.value, high: ofA.high - b.value };
}

const unknown = { low: -Infinity, high: Infinity };

function sharesOf({ value }: ShareMeasure, n: number): Share {
  return { hits: value * n, n };
}

function normalInterval(a: Measure, b: Measure): { low: number; high: number } {
  const half = normalQuantile(1 - alpha / 2) * Math.hypot(errorOf(a), errorOf(b));
  return { low: a.value - b.value - half, high: a.value - b.value + half };
}

function errorOf(measure: Measure): number {
  if (measure.kind === 'mean') return measure.standardError;
  return measure.n === undefined ? 0 : Math.sqrt((measure.value * (1 - measure.value)) / measure.n);
}

/** One window for `afterWindow`; null when it says nothing. An undecided window neither fires nor clears. */
export function degradationLook({ verdict }: Degradation): Look | null {
  return verdict === 'insufficient_data' ? null : { isHit: verdict === 'degraded', isClear: verdict === 'ok' };
}
