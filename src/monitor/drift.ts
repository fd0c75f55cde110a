/**
 * Whether a model's inputs or outputs have drifted: one window against the reference (monitoring §12).
 *
 *   counts of each feature ─▶ enough rows? ─▶ effect: psi_corrected ─▶ evidence: χ², Benjamini–Hochberg by family
 *                                                └─▶ status of this window ─▶ persistence ─▶ state ─▶ verdict of the model
 *
 * All four parts are needed. Raw PSI ≥ 0.1 fires on nearly half of the undrifted windows of 100 rows; a p-value alone fires
 * on one window in twenty at any size, and flags a shift of 0.01 σ at a million rows. Other distances are reported beside and
 * do not vote.
 *
 * Must not know sketches, profiles or who is told.
 */
import { benjaminiHochberg } from './adjust.js';
import { groupsBy } from './groups.js';
import { afterWindow, clearPart, type Level, quiet } from './persistence.js';
import type { Family } from './sketch-layout.js';
import { psi, psiNullMean } from './stats/distances.js';
import { chiSquareHomogeneity } from './stats/tests.js';

export interface FeatureWindow {
  readonly name: string;
  /** `features` unless given. */
  readonly family?: Family;
  /** In the bins that distances take: folded for a numeric feature. */
  readonly reference: ArrayLike<number>;
  readonly current: ArrayLike<number>;
  readonly weight?: number;
  readonly critical?: boolean;
  /** Instead of the thresholds of the model. */
  readonly warn?: number;
  readonly alert?: number;
}

export interface DriftOptions {
  /** Rows that both sides need. */
  readonly minN?: number;
  readonly warn?: number;
  readonly alert?: number;
  readonly alpha?: number;
  /** Weight of fired features from which the model has drifted. */
  readonly share?: number;
}

export const driftDefaults: Required<DriftOptions> = { minN: 500, warn: 0.1, alert: 0.25, alpha: 0.05, share: 0.3 };
export const minNLeast = 200;

export type WindowStatus = 'insufficient_data' | 'ok' | 'warn' | 'alert';

export interface FeatureLevels {
  readonly warn: Level;
  readonly alert: Level;
}

/** By `family:name`. Features that a window does not have keep theirs. */
export type DriftState = Readonly<Record<string, FeatureLevels>>;

export interface FeatureDecision {
  readonly name: string;
  readonly family: Family;
  readonly weight: number;
  readonly critical: boolean;
  readonly referenceN: number;
  readonly currentN: number;
  readonly eligible: boolean;
  /** Null when a side is empty. */
  readonly psi: number | null;
  readonly psiNullMean: number | null;
  readonly psiCorrected: number | null;
  readonly p: number | null;
  /** Over the eligible features of the family; null for others. */
  readonly pAdjusted: number | null;
  /** Of this window alone. */
  readonly status: WindowStatus;
  /** After persistence; an alarm outlives windows with too few rows. */
  readonly state: WindowStatus;
}

export interface DriftDecision {
  readonly verdict: 'no_reference' | 'insufficient_data' | 'ok' | 'drift';
  /** Of the eligible features' weight; null without any. */
  readonly driftedWeightShare: number | null;
  readonly outputDrift: boolean;
  readonly multivariateDrift: boolean;
  readonly features: readonly FeatureDecision[];
  /** Names of eligible features of the first family, worst first by psiCorrected × weight. */
  readonly ranking: readonly string[];
  /** For the next window. */
  readonly next: DriftState;
}

/** @param before the `next` of the last window; nothing for the first */
export function decideDrift(
  windows: readonly FeatureWindow[],
  before: DriftState = {},
  options: DriftOptions = {},
): DriftDecision {
  const rule = { ...driftDefaults, ...options };
  const measured = windows.map((window) => measuredOf(window, Math.max(minNLeast, rule.minN)));
  const adjusted = adjustedByFamily(measured);
  const next: Record<string, FeatureLevels> = { ...before };
  const features = measured.map((one, i) => {
    const key = `${one.family}:${one.name}`;
    const thresholds = { warn: windows[i]!.warn ?? rule.warn, alert: windows[i]!.alert ?? rule.alert };
    const pAdjusted = adjusted.get(one) ?? null;
    const status = statusOf(one, thresholds, pAdjusted !== null && pAdjusted <= rule.alpha + roundingOfP);
    const levels = levelsAfter(next[key], one, { status, ...thresholds });
    next[key] = levels;
    return { ...one, pAdjusted, status, state: stateOf(levels, one.eligible) };
  });
  return { ...verdictOf(features, rule.share), features, next };
}

/** A product such as p·m/k must not decide by its last digit. */
const roundingOfP = 1e-12;

type Measured = Omit<FeatureDecision, 'pAdjusted' | 'status' | 'state'>;

function measuredOf(window: FeatureWindow, minN: number): Measured {
  const { name, family = 'features', reference, current, weight = 1, critical = false } = window;
  const [referenceN, currentN] = [totalOf(reference), totalOf(current)];
  const eligible = Math.min(referenceN, currentN) >= minN;
  const [raw, byChance] = [psi(reference, current), psiNullMean(reference, current)];
  return {
    name,
    family,
    weight,
    critical,
    referenceN,
    currentN,
    eligible,
    psi: raw,
    psiNullMean: byChance,
    psiCorrected: raw === null || byChance === null ? null : raw - byChance,
    p: chiSquareHomogeneity(reference, current).p,
  };
}

function totalOf(counts: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i]!;
  return total;
}

function adjustedByFamily(measured: readonly Measured[]): Map<Measured, number> {
  const adjusted = new Map<Measured, number>();
  const eligible = measured.filter((one) => one.eligible);
  for (const [, tested] of groupsBy(eligible, ({ family }) => family)) {
    const ps = benjaminiHochberg(tested.map(({ p }) => p ?? 1));
    for (const [i, one] of tested.entries()) adjusted.set(one, ps[i]!);
  }
  return adjusted;
}

interface Thresholds {
  readonly warn: number;
  readonly alert: number;
}

function statusOf({ eligible, psiCorrected }: Measured, { warn, alert }: Thresholds, isEvident: boolean): WindowStatus {
  if (!eligible || psiCorrected === null) return 'insufficient_data';
  if (!isEvident) return 'ok';
  if (psiCorrected >= alert) return 'alert';
  return psiCorrected >= warn ? 'warn' : 'ok';
}

interface Judged extends Thresholds {
  readonly status: WindowStatus;
}

function levelsAfter(before: FeatureLevels | undefined, one: Measured, judged: Judged): FeatureLevels {
  const levels = before ?? { warn: quiet, alert: quiet };
  if (!one.eligible || one.psiCorrected === null) return levels;
  const { status } = judged;
  const isAlert = status === 'alert';
  return {
    warn: afterWindow(levels.warn, {
      isHit: isAlert || status === 'warn',
      isClear: one.psiCorrected < clearPart * judged.warn,
    }),
    alert: afterWindow(levels.alert, { isHit: isAlert, isClear: one.psiCorrected < clearPart * judged.alert }),
  };
}

function stateOf({ warn, alert }: FeatureLevels, eligible: boolean): WindowStatus {
  if (alert.isFired) return 'alert';
  if (warn.isFired) return 'warn';
  return eligible ? 'ok' : 'insufficient_data';
}

function isFired({ state }: FeatureDecision): boolean {
  return state === 'warn' || state === 'alert';
}

function verdictOf(all: readonly FeatureDecision[], shareMin: number) {
  const inputs = all.filter(({ family }) => family === 'features');
  const eligible = inputs.filter((feature) => feature.eligible);
  const weight = weightOf(eligible);
  const share = weight === 0 ? null : weightOf(eligible.filter(isFired)) / weight;
  const isCritical = inputs.some((feature) => feature.critical && isFired(feature));
  const isDrift = isCritical || (share !== null && share >= shareMin - roundingOfP);
  const isFiredIn = (family: Family) => all.some((feature) => feature.family === family && isFired(feature));
  return {
    verdict: verdictFor(inputs.length, eligible.length, isDrift),
    driftedWeightShare: share,
    outputDrift: isFiredIn('outputs'),
    multivariateDrift: isFiredIn('multivariate'),
    ranking: ranked(eligible),
  };
}

/** A fired critical feature stays drift in a window that has too few rows to clear it. */
function verdictFor(features: number, eligible: number, isDrift: boolean): DriftDecision['verdict'] {
  if (features === 0) return 'no_reference';
  if (isDrift) return 'drift';
  return eligible === 0 ? 'insufficient_data' : 'ok';
}

function weightOf(features: readonly FeatureDecision[]): number {
  return features.reduce((sum, { weight }) => sum + weight, 0);
}

function ranked(features: readonly FeatureDecision[]): string[] {
  return features
    .map(({ name, psiCorrected, weight }) => ({ name, score: (psiCorrected ?? 0) * weight }))
    .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name);
}
