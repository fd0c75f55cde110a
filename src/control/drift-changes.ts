/**
 * PART OF THE ROOT: what one window changed in what had fired before it.
 *
 * Must not know windows.
 */
import type { QualityCheck, QualityResult, QualityState } from '../monitor/data-quality.js';
import type { DriftDecision, DriftState } from '../monitor/drift.js';
import type { Level } from '../monitor/persistence.js';
import type { Family } from '../monitor/sketch-layout.js';

export type DriftLevel = 'ok' | 'warn' | 'alert';

/** A feature whose level is another one now. */
export interface FeatureChange {
  readonly feature: string;
  readonly family: Family;
  readonly from: DriftLevel;
  readonly to: DriftLevel;
  readonly psi_corrected: number | null;
  readonly p_adjusted: number | null;
}

export interface QualityChange {
  readonly feature: string;
  readonly check: QualityCheck;
  readonly value: number | null;
  readonly reference: number | null;
}

export interface DriftChanges {
  readonly risen: readonly FeatureChange[];
  readonly fallen: readonly FeatureChange[];
  readonly qualityFired: readonly QualityChange[];
  readonly qualityResolved: readonly QualityChange[];
  /** What became of the estimate without labels; undefined = it stays. */
  readonly estimate: 'fired' | 'resolved' | undefined;
}

/** Higher is worse. */
export const rankOf: Readonly<Record<DriftLevel, number>> = { ok: 0, warn: 1, alert: 2 };

function levelIn(state: DriftState, key: string): DriftLevel {
  const levels = state[key];
  if (levels?.alert.isFired === true) return 'alert';
  return levels?.warn.isFired === true ? 'warn' : 'ok';
}

export function changesBetween(
  before: { readonly drift: DriftState; readonly quality: QualityState; readonly estimate: Level },
  after: { readonly decision: DriftDecision; readonly results: readonly QualityResult[]; readonly estimate: Level },
): DriftChanges {
  const { features, next } = after.decision;
  const changed = features.flatMap(({ name, family, psiCorrected, pAdjusted }): FeatureChange[] => {
    const key = `${family}:${name}`;
    const [from, to] = [levelIn(before.drift, key), levelIn(next, key)];
    if (from === to) return [];
    return [{ feature: name, family, from, to, psi_corrected: psiCorrected, p_adjusted: pAdjusted }];
  });
  const isUp = ({ from, to }: FeatureChange) => rankOf[to] > rankOf[from];
  const wasFired = ({ feature, check }: QualityResult) => before.quality[`${feature}:${check}`]?.isFired === true;
  const told = ({ feature, check, value, reference }: QualityResult) => ({ feature, check, value, reference });
  return {
    risen: changed.filter(isUp).sort(worstFirst),
    fallen: changed.filter((change) => !isUp(change)),
    qualityFired: after.results.filter((one) => one.isFired && !wasFired(one)).map(told),
    qualityResolved: after.results.filter((one) => !one.isFired && wasFired(one)).map(told),
    estimate: estimateChange(before.estimate, after.estimate),
  };
}

function estimateChange(before: Level, { isFired }: Level): DriftChanges['estimate'] {
  if (before.isFired === isFired) return undefined;
  return isFired ? 'fired' : 'resolved';
}

function worstFirst(a: FeatureChange, b: FeatureChange): number {
  return rankOf[b.to] - rankOf[a.to] || (b.psi_corrected ?? 0) - (a.psi_corrected ?? 0);
}

/** What has fired, and no memory of windows before: one more look changes nothing that takes more than one. */
function frozen({ isFired }: Level): Level {
  return { isFired, hits: 0, clears: 0 };
}

export function frozenDrift(state: DriftState): DriftState {
  return Object.fromEntries(
    Object.entries(state).map(([key, { warn, alert }]) => [key, { warn: frozen(warn), alert: frozen(alert) }]),
  );
}

export function frozenQuality(state: QualityState): QualityState {
  return Object.fromEntries(Object.entries(state).map(([key, level]) => [key, frozen(level)]));
}
