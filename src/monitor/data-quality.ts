/**
 * Whether the values themselves are sound: missing, invalid, out of range, unseen, vanished, constant (monitoring §13).
 *
 * A share counts when it is both larger than the reference's by a margin and more than chance; then the persistence of drift
 * applies. It needs no distribution to shift: a feed that stops sending a column is found by the rows it leaves empty.
 *
 * Must not know where counts come from.
 */
import { benjaminiHochberg } from './adjust.js';
import { keysOf, unseenBin } from './feature-bins.js';
import { groupsBy } from './groups.js';
import { afterWindow, clearPart, type Level, quiet } from './persistence.js';
import type { CategoricalProfile, FeatureProfile, NumericProfile } from './profile.js';
import { type PooledZ, pooledZ, type Share } from './proportion.js';
import type { FeatureCounts } from './sketch.js';

export type QualityCheck =
  | 'missing'
  | 'invalid'
  | 'out_of_range'
  | 'unseen'
  | 'zeros'
  | 'vanished'
  | 'constant'
  | 'distinct';

export interface QualityInput {
  readonly name: string;
  readonly profile: FeatureProfile;
  readonly counts: FeatureCounts;
}

export interface QualityResult {
  readonly feature: string;
  readonly check: QualityCheck;
  /** A share; of `vanished` the number of categories, of `constant` 1 or 0. Null when nothing was seen. */
  readonly value: number | null;
  readonly reference: number | null;
  readonly pAdjusted: number | null;
  /** Of this window alone; `reported` is never judged. */
  readonly status: 'insufficient_data' | 'ok' | 'fires' | 'reported';
  /** After persistence. */
  readonly isFired: boolean;
  /** Categories that have vanished, at most ten. */
  readonly keys?: readonly string[];
}

/** By `feature:check`. */
export type QualityState = Readonly<Record<string, Level>>;

export interface QualityOptions {
  readonly minN?: number;
  readonly alpha?: number;
  /** By which a share may exceed the reference's. */
  readonly margin?: number;
  /** By which the share of zeros may differ. */
  readonly zerosMargin?: number;
}

const defaults: Required<QualityOptions> = { minN: 500, alpha: 0.05, margin: 0.02, zerosMargin: 0.1 };

/** A difference such as 0.03 − 0.01 must not decide by its last digit. */
const rounding = 1e-12;

/** What a check found, before the p-values of all features are adjusted. */
interface Finding {
  readonly feature: string;
  readonly check: QualityCheck;
  readonly value: number | null;
  readonly reference: number | null;
  readonly isEnough: boolean;
  /** Above which a window fires; undefined for what is only reported. */
  readonly excess?: { readonly by: number; readonly margin: number };
  /** Null for facts, which need no test. */
  readonly p: number | null;
  readonly atOnce?: boolean;
  readonly keys?: readonly string[];
}

export function decideQuality(
  inputs: readonly QualityInput[],
  before: QualityState = {},
  options: QualityOptions = {},
): { readonly results: readonly QualityResult[]; readonly next: QualityState } {
  const rule = { ...defaults, ...options };
  const findings = inputs.flatMap((input) => findingsOf(input, rule));
  const adjusted = adjustedByCheck(findings);
  const next: Record<string, Level> = { ...before };
  const results = findings.map((finding) => {
    const { feature, check, value, reference, keys } = finding;
    const pAdjusted = adjusted.get(finding) ?? null;
    const status = statusOf(finding, pAdjusted, rule.alpha);
    const key = `${feature}:${check}`;
    const level = levelAfter(next[key] ?? quiet, finding, status);
    if (finding.excess !== undefined) next[key] = level;
    return { feature, check, value, reference, pAdjusted, status, isFired: level.isFired, ...(keys && { keys }) };
  });
  return { results, next };
}

function adjustedByCheck(findings: readonly Finding[]): Map<Finding, number> {
  const adjusted = new Map<Finding, number>();
  const tested = findings.filter(({ p, isEnough }) => p !== null && isEnough);
  for (const [, ofCheck] of groupsBy(tested, ({ check }) => check)) {
    const ps = benjaminiHochberg(ofCheck.map(({ p }) => p!));
    for (const [i, finding] of ofCheck.entries()) adjusted.set(finding, ps[i]!);
  }
  return adjusted;
}

function statusOf({ isEnough, excess, p }: Finding, pAdjusted: number | null, alpha: number): QualityResult['status'] {
  if (excess === undefined) return 'reported';
  if (!isEnough) return 'insufficient_data';
  const isEvident = p === null || (pAdjusted !== null && pAdjusted <= alpha + rounding);
  return excess.by >= excess.margin - rounding && isEvident ? 'fires' : 'ok';
}

function levelAfter(level: Level, { excess, atOnce }: Finding, status: QualityResult['status']): Level {
  if (excess === undefined || status === 'insufficient_data') return level;
  return afterWindow(level, { isHit: status === 'fires', isClear: excess.by < clearPart * excess.margin, atOnce });
}

type Rule = Required<QualityOptions>;

function findingsOf(input: QualityInput, rule: Rule): Finding[] {
  const { profile, counts, name } = input;
  const total = counts.n + counts.missing + counts.invalid;
  const invalidThen = profile.kind === 'numeric' ? profile.invalid : 0;
  const totalThen = profile.n + profile.missing + invalidThen;
  const missing = { hits: counts.missing, n: total };
  const findings = [
    moreThan({ feature: name, check: 'missing' }, { hits: profile.missing, n: totalThen }, missing, rule),
  ];
  if (profile.kind === 'id') findings.push(distinct(name, profile, counts));
  if (profile.kind === 'categorical') findings.push(...categoricalFindings(name, profile, counts, rule));
  if (profile.kind === 'numeric') {
    const [then, now] = [
      { hits: invalidThen, n: totalThen },
      { hits: counts.invalid, n: total },
    ];
    findings.push(moreThan({ feature: name, check: 'invalid' }, then, now, rule));
    findings.push(...numericFindings(name, profile, counts, rule));
  }
  return findings;
}

interface Place {
  readonly feature: string;
  readonly check: QualityCheck;
}

function shareOf({ hits, n }: Share): number | null {
  return n === 0 ? null : hits / n;
}

/** P(Z ≥ z), from the two tails: half of them above the middle, the rest below. */
function oneSided({ z, pTwoSided }: PooledZ): number {
  return z >= 0 ? pTwoSided / 2 : 1 - pTwoSided / 2;
}

/** One-sided: only more than the reference is worse. */
function moreThan(place: Place, then: Share, now: Share, { minN, margin }: Rule): Finding {
  const [value, reference] = [shareOf(now), shareOf(then)];
  const test = pooledZ(then, now);
  return {
    feature: place.feature,
    check: place.check,
    value,
    reference,
    isEnough: Math.min(then.n, now.n) >= minN,
    excess: { by: (value ?? 0) - (reference ?? 0), margin },
    p: test === null ? null : oneSided(test),
  };
}

function numericFindings(feature: string, profile: NumericProfile, counts: FeatureCounts, rule: Rule): Finding[] {
  const { n } = counts;
  const outside = (counts.counts[0] ?? 0) + (counts.counts.at(-1) ?? 0);
  return [
    moreThan({ feature, check: 'out_of_range' }, { hits: 0, n: profile.n }, { hits: outside, n }, rule),
    zeros(feature, { hits: profile.zeros, n: profile.n }, { hits: counts.zeros ?? 0, n }, rule),
    constant(feature, profile, counts, rule),
  ];
}

/** Either way: a feed that fills gaps with 0, or stops doing so. */
function zeros(feature: string, then: Share, now: Share, { minN, zerosMargin }: Rule): Finding {
  const [value, reference] = [shareOf(now), shareOf(then)];
  return {
    feature,
    check: 'zeros',
    value,
    reference,
    isEnough: Math.min(then.n, now.n) >= minN,
    excess: { by: Math.abs((value ?? 0) - (reference ?? 0)), margin: zerosMargin },
    p: pooledZ(then, now)?.pTwoSided ?? null,
  };
}

/** A fact, not a sample: every value is the same, and once they were not. */
function constant(feature: string, profile: NumericProfile, counts: FeatureCounts, { minN }: Rule): Finding {
  const { n, lo, hi } = profile;
  const isNow = counts.n > 0 && counts.min === counts.max;
  const wasThen = n > 0 && lo === hi;
  return {
    feature,
    check: 'constant',
    value: counts.n === 0 ? null : Number(isNow),
    reference: n === 0 ? null : Number(wasThen),
    isEnough: counts.n >= minN && n > 0,
    excess: { by: Number(isNow && !wasThen), margin: 1 },
    p: null,
    atOnce: true,
  };
}

const vanishedExpectedMin = 10;
const vanishedListedMax = 10;

function categoricalFindings(feature: string, profile: CategoricalProfile, now: FeatureCounts, rule: Rule): Finding[] {
  const findings = [vanished(feature, profile, now, rule)];
  const bin = unseenBin(profile);
  if (bin !== undefined) {
    const unseen = { hits: now.counts[bin] ?? 0, n: now.n };
    findings.unshift(moreThan({ feature, check: 'unseen' }, { hits: 0, n: profile.n }, unseen, rule));
  }
  return findings;
}

function vanished(feature: string, profile: CategoricalProfile, now: FeatureCounts, { minN }: Rule): Finding {
  const isExpected = (count: number) => (count / profile.n) * now.n >= vanishedExpectedMin;
  const keys = keysOf(profile).filter((key, bin) => now.counts[bin] === 0 && isExpected(profile.counts[key]!));
  return {
    feature,
    check: 'vanished',
    value: now.n === 0 ? null : keys.length,
    reference: 0,
    isEnough: Math.min(profile.n, now.n) >= minN,
    excess: { by: keys.length, margin: 1 },
    p: null,
    ...(keys.length > 0 && { keys: keys.slice(0, vanishedListedMax) }),
  };
}

function distinct(feature: string, profile: FeatureProfile & { readonly kind: 'id' }, now: FeatureCounts): Finding {
  const value = now.distinct === null || now.n === 0 ? null : now.distinct / now.n;
  const reference = profile.n === 0 ? null : profile.distinct / profile.n;
  return { feature, check: 'distinct', value, reference, isEnough: true, p: null };
}
