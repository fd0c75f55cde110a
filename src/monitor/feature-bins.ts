/**
 * The bins of one feature, whatever its kind: how many counts it has, what they are called, and the reference's own counts
 * (monitoring §10.3, §10.4).
 *
 * Must not know sketches.
 */
import { binsIn, foldedCounts } from './numeric-bins.js';
import type { CategoricalProfile, FeatureProfile, NumericProfile } from './profile.js';

/** Categories with a bin of their own, in code-unit order. */
export function keysOf({ counts }: CategoricalProfile): string[] {
  return Object.keys(counts).sort();
}

/** The bin of rare keys. It also takes new ones where those cannot be told apart. */
export function otherBin(profile: CategoricalProfile): number | undefined {
  const isThere = profile.other > 0 || profile.other_keys.length > 0 || !profile.unseen_tracked;
  return isThere ? Object.keys(profile.counts).length : undefined;
}

/** The last bin, for keys that the reference does not have. */
export function unseenBin(profile: CategoricalProfile): number | undefined {
  return profile.unseen_tracked
    ? Object.keys(profile.counts).length + (otherBin(profile) === undefined ? 0 : 1)
    : undefined;
}

/** Counts that a sketch keeps: those of a numeric feature unfolded. */
export function binCount(profile: NumericProfile | CategoricalProfile): number {
  if (profile.kind === 'numeric') return binsIn(profile);
  const bins = [otherBin(profile), unseenBin(profile)].filter((bin) => bin !== undefined);
  return Object.keys(profile.counts).length + bins.length;
}

/** The reference's counts in the bins that distances and tests take. */
export function referenceCounts(profile: NumericProfile | CategoricalProfile): number[] {
  if (profile.kind === 'numeric') return foldedCounts([0, ...(profile.n === 0 ? [0] : profile.counts), 0]);
  const counts = keysOf(profile).map((key) => profile.counts[key]!);
  if (otherBin(profile) !== undefined) counts.push(profile.other);
  if (unseenBin(profile) !== undefined) counts.push(0);
  return counts;
}

/** The current side's counts in the same bins. */
export function comparableCounts(profile: FeatureProfile, counts: ArrayLike<number>): number[] {
  return profile.kind === 'numeric' ? foldedCounts(counts) : Array.from(counts);
}

/** What the bins are called in reports: right-closed ranges, or categories. */
export function binNames(profile: NumericProfile | CategoricalProfile): string[] {
  if (profile.kind === 'numeric') return rangeNames(profile);
  const names = keysOf(profile);
  if (otherBin(profile) !== undefined) names.push('other');
  if (unseenBin(profile) !== undefined) names.push('unseen');
  return names;
}

/** First and last bin are open where out-of-range values have joined them. */
function rangeNames({ lo, hi, edges }: NumericProfile): string[] {
  if (lo === null || hi === null) return ['below', 'none', 'above'];
  if (edges.length === 0) return [`< ${lo}`, `[${lo}, ${hi}]`, `> ${hi}`];
  const bounds = ['-∞', ...edges.map(String), '∞'];
  return bounds.slice(1).map((to, i) => (to === '∞' ? `(${bounds[i]}, ∞)` : `(${bounds[i]}, ${to}]`));
}
