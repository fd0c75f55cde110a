/**
 * A reference profile from columns of values: training data, the log, or the first rows of live traffic.
 *
 * Must not know where columns come from.
 */
import { uniform } from '../core/murmur3.js';
import { castFor, numberIn } from './cleaning.js';
import {
  categoricalProfile,
  type FeatureProfile,
  type FeatureWeight,
  featureProfile,
  type NumericProfile,
  numericProfile,
} from './profile.js';
import { type Calibration, featuresMax, type Performance, type ReferenceProfile } from './profile-document.js';
import { type Pca, Reconstruction } from './reconstruction.js';

/** A feature as the manifest declares it. */
export interface FeatureSpec extends FeatureWeight {
  readonly name: string;
  /** Of the model input. */
  readonly datatype?: string;
  /** Without one the values decide. */
  readonly kind?: FeatureProfile['kind'];
}

/** One feature with its values by row. */
export interface Column extends FeatureSpec {
  readonly values: ArrayLike<unknown>;
}

/** Those of greatest weight when there are more than a profile holds, in the order in which they came. */
export function keptFeatures<F extends FeatureSpec>(model: string, features: readonly F[]): F[] {
  if (features.length <= featuresMax) return [...features];
  const ranked = features.map((feature) => ({
    feature,
    weight: feature.weight ?? 1,
    u: uniform(`feature:${model}:${feature.name}`),
  }));
  ranked.sort((a, b) => b.weight - a.weight || a.u - b.u);
  const kept = new Set(ranked.slice(0, featuresMax).map(({ feature }) => feature));
  return features.filter((feature) => kept.has(feature));
}

export interface ProfileOptions extends Pick<ReferenceProfile, 'model' | 'version' | 'baseline'> {
  readonly columns: readonly Column[];
  readonly source?: ReferenceProfile['source'];
  /** What the model answered for these rows. */
  readonly prediction?: Omit<Column, 'name'>;
  readonly score?: Omit<Column, 'name'>;
  readonly calibration?: Calibration;
  readonly performance?: Performance;
  readonly pca?: Pca;
}

export function buildProfile(options: ProfileOptions): ReferenceProfile {
  const { model, version, baseline, source, prediction, score, calibration, performance } = options;
  const columns = keptFeatures(model, options.columns);
  const features = Object.fromEntries(columns.map((column) => [column.name, featureProfile(column.values, column)]));
  return {
    profile_version: 1,
    model,
    version,
    baseline,
    ...(source && { source }),
    features,
    ...(prediction && { prediction: predictionProfile(prediction) }),
    ...(score && { score: numericProfile(score.values, score) }),
    ...(calibration && { calibration }),
    ...(performance && { performance }),
    ...(options.pca && { pca: { ...options.pca, error: errorsOf(options.pca, columns) } }),
  };
}

function predictionProfile(column: Omit<Column, 'name'>): NonNullable<ReferenceProfile['prediction']> {
  const profile = featureProfile(column.values, column);
  return profile.kind === 'id' ? categoricalProfile(column.values, column) : profile;
}

/** Of every row of the reference, so that the errors of live rows have something to be compared with. */
function errorsOf(pca: Pca, columns: readonly Column[]): NumericProfile {
  const reconstruction = new Reconstruction(pca);
  const used = pca.features.map((name) => columns.find((column) => column.name === name));
  const casts = used.map((column) => castFor(column?.datatype));
  const rows = Math.max(0, ...used.map((column) => column?.values.length ?? 0));
  const row = new Float64Array(used.length);
  const errors = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    for (const [at, column] of used.entries()) row[at] = numberIn(column?.values[i], casts[at]!);
    errors[i] = reconstruction.errorOf(row);
  }
  return numericProfile(errors);
}
