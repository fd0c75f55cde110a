/**
 * PART OF THE ROOT: the last judged windows as metric families.
 *
 * Only the features that stand out have series of their own, so that a model of 200 features does not fill the page.
 *
 * Must not know how anything is judged.
 */
import type { VersionId } from '../core/model.js';
import type { Family } from '../core/series.js';
import type { DriftDocument, FeatureDocument } from '../monitor/drift-document.js';
import { gauge } from './counts.js';
import { rankOf } from './drift-changes.js';

export interface Measured {
  readonly id: VersionId;
  readonly document: DriftDocument;
}

/** Features of a version that are shown; the whole is in the document. */
const featuresShown = 20;
const checksShown = ['missing', 'invalid', 'out_of_range', 'unseen'];

export function driftFamilies(measured: readonly Measured[]): Family[] {
  const labelsOf = ({ model, version }: VersionId) => ({ model, version });
  const of = (series: (document: DriftDocument) => readonly Sample[]) =>
    measured.flatMap(({ id, document }) =>
      series(document).map(({ labels, value }) => ({ labels: { ...labelsOf(id), ...labels }, value })),
    );
  return [
    gauge(
      'sluice_drift_score',
      'Distance of the features that stand out most, and its adjusted p-value, in the last judged window.',
      of(scores),
    ),
    gauge('sluice_drift_state', 'Worst feature by family: 0 = none has drifted, 1 = warning, 2 = alert.', of(states)),
    gauge(
      'sluice_drift_samples',
      'Rows of the last judged window.',
      of(({ window }) => [{ labels: {}, value: window.rows }]),
    ),
    gauge(
      'sluice_data_quality_ratio',
      'Share of values that are missing, invalid, out of range or of an unseen category.',
      of(ratios),
    ),
    gauge(
      'sluice_quality_estimate',
      'How right a version probably is, estimated from its scores without labels (CBPE), in the last judged window: it sees a change of the inputs, not of what is true of them.',
      of(estimates),
    ),
    gauge(
      'sluice_quality_estimate_degraded',
      '1 while the estimate without labels is below what the profile had, in two windows in a row.',
      of(({ estimate }) => (estimate === null ? [] : [{ labels: {}, value: estimate.fired ? 1 : 0 }])),
    ),
  ];
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function standingOut({ features, ranking }: DriftDocument): readonly FeatureDocument[] {
  const shown = new Set(ranking.slice(0, featuresShown));
  return features.filter(({ name, family }) => family !== 'features' || shown.has(name));
}

function scores(document: DriftDocument): Sample[] {
  return standingOut(document).flatMap(({ name: feature, psi_corrected, p_adjusted }) =>
    Object.entries({ psi_corrected, p_adjusted }).flatMap(([stat, value]) =>
      value === null ? [] : [{ labels: { feature, stat }, value }],
    ),
  );
}

function states({ features }: DriftDocument): Sample[] {
  const worst = new Map<string, number>();
  for (const { family, state } of features) {
    const rank = state === 'warn' || state === 'alert' ? rankOf[state] : 0;
    worst.set(family, Math.max(rank, worst.get(family) ?? 0));
  }
  return Array.from(worst, ([family, value]) => ({ labels: { family }, value }));
}

function estimates({ estimate }: DriftDocument): Sample[] {
  if (estimate === null) return [];
  const { accuracy, precision, recall, f1, accuracy_bound } = estimate;
  return Object.entries({ accuracy, precision, recall, f1, accuracy_bound }).flatMap(([metric, value]) =>
    value === null ? [] : [{ labels: { metric }, value }],
  );
}

function ratios(document: DriftDocument): Sample[] {
  const named = new Set(standingOut(document).map(({ name }) => name));
  // What has fired is shown, however many features stand out by their distance.
  return document.data_quality
    .filter(({ feature, check, fired }) => checksShown.includes(check) && (fired || named.has(feature)))
    .slice(0, checksShown.length * 2 * featuresShown)
    .flatMap(({ feature, check, value }) => (value === null ? [] : [{ labels: { feature, check }, value }]));
}
