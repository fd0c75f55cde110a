/**
 * What the API and the command line show of one window: the decision, the numbers behind it and both histograms.
 *
 *   profile + window ─▶ featureWindows() ─▶ decideDrift() ─▶ driftDocument()
 *                   ├─▶ qualityInputs()  ─▶ decideQuality() ──┤
 *                   └─▶ expected() ─▶ estimateDocument() ─────┘
 *
 * Field names are those of the JSON API.
 *
 * Must not know HTTP or files.
 */
import type { EstimateDocument } from './cbpe.js';
import type { QualityInput, QualityResult } from './data-quality.js';
import type { DriftDecision, FeatureDecision, FeatureWindow } from './drift.js';
import { binMetrics, type MetricsDocument } from './drift-metrics.js';
import { binNames, comparableCounts, referenceCounts, unseenBin } from './feature-bins.js';
import type { CategoricalProfile, NumericProfile } from './profile.js';
import type { ReferenceProfile } from './profile-document.js';
import type { FeatureCounts, Sketch } from './sketch.js';
import type { SketchedFeature } from './sketch-layout.js';
import type { SketchWindow } from './windows.js';

/** What `decideDrift` takes; ids have no distribution to compare. */
export function featureWindows(sketch: Sketch): FeatureWindow[] {
  return sketch.layout.features.flatMap(({ name, family, profile }, index) => {
    if (profile.kind === 'id') return [];
    const { weight, critical } = profile;
    const current = comparableCounts(profile, sketch.countsOf(index).counts);
    return [{ name, family, weight, critical, reference: referenceCounts(profile), current }];
  });
}

/** What `decideQuality` takes: the inputs only. */
export function qualityInputs(sketch: Sketch): QualityInput[] {
  return sketch.layout.features.flatMap(({ name, family, profile }, index) =>
    family === 'features' ? [{ name, profile, counts: sketch.countsOf(index) }] : [],
  );
}

interface Summary {
  readonly mean: number | null;
  readonly std_pop: number | null;
  readonly std_sample: number | null;
}

interface SideDocument extends Partial<Summary> {
  readonly n: number;
  readonly missing: number;
  readonly counts: readonly number[];
  readonly min?: number | null;
  readonly max?: number | null;
}

export interface FeatureDocument {
  readonly name: string;
  readonly family: string;
  readonly kind: 'numeric' | 'categorical';
  readonly status: string;
  readonly state: string;
  readonly weight: number;
  readonly critical: boolean;
  readonly psi_corrected: number | null;
  readonly p: number | null;
  readonly p_adjusted: number | null;
  readonly bins: readonly string[];
  readonly reference: SideDocument;
  readonly current: SideDocument;
  /** `metrics_with_unseen_bin` of a categorical feature. */
  readonly metrics: MetricsDocument;
  readonly out_of_range?: { readonly count: number; readonly share: number | null };
  readonly unseen?: { readonly count: number; readonly share: number | null };
  /** Reference categories that did not come. */
  readonly vanished_categories?: readonly string[];
}

export interface DriftDocument {
  readonly model: string;
  readonly version: string;
  readonly baseline: ReferenceProfile['baseline'];
  /** ISO times; to is the end of the last minute. */
  readonly window: {
    readonly from: string;
    readonly to: string;
    readonly rows: number;
    readonly degraded: boolean;
    readonly provisional: boolean;
  };
  readonly verdict: DriftDecision['verdict'];
  readonly drifted_weight_share: number | null;
  readonly output_drift: boolean;
  readonly multivariate_drift: boolean;
  readonly ranking: readonly string[];
  readonly features: readonly FeatureDocument[];
  readonly data_quality: readonly {
    readonly feature: string;
    readonly check: string;
    readonly value: number | null;
    readonly reference: number | null;
    readonly p_adjusted: number | null;
    readonly status: string;
    readonly fired: boolean;
    readonly keys?: readonly string[];
  }[];
  /** How right the version probably is; null where its profile does not calibrate scores. */
  readonly estimate: EstimateDocument | null;
}

export interface DriftDocumentOptions {
  readonly profile: ReferenceProfile;
  readonly window: SketchWindow;
  readonly decision: DriftDecision;
  readonly quality: readonly QualityResult[];
  readonly estimate?: EstimateDocument | undefined;
  /** The window is still open and has decided nothing. */
  readonly provisional?: boolean;
}

export function driftDocument(options: DriftDocumentOptions): DriftDocument {
  const { profile, window, decision, quality, estimate, provisional = false } = options;
  const { sketch } = window;
  return {
    model: profile.model,
    version: profile.version,
    baseline: profile.baseline,
    window: {
      from: isoOf(window.fromMinute),
      to: isoOf(window.toMinute + 1),
      rows: sketch.rows,
      degraded: window.degraded,
      provisional,
    },
    verdict: decision.verdict,
    drifted_weight_share: decision.driftedWeightShare,
    output_drift: decision.outputDrift,
    multivariate_drift: decision.multivariateDrift,
    ranking: decision.ranking,
    features: decision.features.map((feature) => featureDocument(feature, sketch)),
    data_quality: quality.map(({ pAdjusted, isFired, ...rest }) => ({
      ...rest,
      p_adjusted: pAdjusted,
      fired: isFired,
    })),
    estimate: estimate ?? null,
  };
}

/** A clock far out of range has no date. */
export function isoOf(minute: number): string {
  const time = new Date(minute * 60_000);
  return Number.isNaN(time.getTime()) ? '' : time.toISOString();
}

type Compared = SketchedFeature & { readonly profile: NumericProfile | CategoricalProfile };

function featureDocument(decision: FeatureDecision, sketch: Sketch): FeatureDocument {
  const index = sketch.layout.indexOf(decision.family, decision.name);
  const { profile } = sketch.layout.features[index] as Compared;
  const now = sketch.countsOf(index);
  const [reference, current] = [referenceCounts(profile), comparableCounts(profile, now.counts)];
  return {
    name: decision.name,
    family: decision.family,
    kind: profile.kind,
    status: decision.status,
    state: decision.state,
    weight: decision.weight,
    critical: decision.critical,
    psi_corrected: decision.psiCorrected,
    p: decision.p,
    p_adjusted: decision.pAdjusted,
    bins: binNames(profile),
    reference: { n: profile.n, missing: profile.missing, counts: reference, ...rangeOf(profile) },
    current: { n: now.n, missing: now.missing, counts: current, ...(profile.kind === 'numeric' && rangeNow(now)) },
    metrics: binMetrics(reference, current, { isOrdered: profile.kind === 'numeric' }),
    ...(profile.kind === 'numeric' ? outOfRange(now) : categories(profile, now)),
  };
}

function summaryOf(n: number, mean: number | null, m2: number | null): Summary {
  const std = (by: number) => (m2 === null || by <= 0 ? null : Math.sqrt(Math.max(0, m2) / by));
  return { mean, std_pop: std(n), std_sample: std(n - 1) };
}

function rangeOf(profile: NumericProfile | CategoricalProfile): Partial<SideDocument> {
  if (profile.kind !== 'numeric') return {};
  return { ...summaryOf(profile.n, profile.mean, profile.m2), min: profile.lo, max: profile.hi };
}

function rangeNow({ n, mean, m2, min, max }: FeatureCounts): Partial<SideDocument> {
  return { ...summaryOf(n, mean, m2), min, max };
}

function outOfRange({ n, counts }: FeatureCounts): Pick<FeatureDocument, 'out_of_range'> {
  const count = counts[0]! + counts.at(-1)!;
  return { out_of_range: { count, share: n === 0 ? null : count / n } };
}

function categories(profile: CategoricalProfile, { n, counts }: FeatureCounts): Partial<FeatureDocument> {
  const names = binNames(profile);
  const own = Object.keys(profile.counts).length;
  const vanished = n === 0 ? [] : names.slice(0, own).filter((_, bin) => counts[bin] === 0);
  const bin = unseenBin(profile);
  if (bin === undefined) return { vanished_categories: vanished };
  const count = counts[bin]!;
  return { unseen: { count, share: n === 0 ? null : count / n }, vanished_categories: vanished };
}
