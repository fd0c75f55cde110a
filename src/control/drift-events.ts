/**
 * PART OF THE ROOT: what a judged window is to those who want to be told: events with the numbers that decided, and what it
 * says for a retraining policy.
 *
 * Must not know who is told, or how.
 */
import type { DriftDocument } from '../monitor/drift-document.js';
import type { DriftChanges } from './drift-changes.js';
import type { JudgedSignals } from './judged-signals.js';

export type DriftEventType =
  | 'io.sluice.drift.detected'
  | 'io.sluice.drift.resolved'
  | 'io.sluice.data_quality.detected'
  | 'io.sluice.quality.degraded'
  | 'io.sluice.quality.recovered';

export interface DriftEvent {
  readonly type: DriftEventType;
  /** `fraud@7`. */
  readonly subject: string;
  /** Plain values. */
  readonly data: Readonly<Record<string, unknown>>;
}

const shownMax = 20;

/** @param document of the window that made the changes */
export function eventsOf(document: DriftDocument, changes: DriftChanges, sha256: string): DriftEvent[] {
  const { model, version } = document;
  const subject = `${model}@${version}`;
  const common = {
    model,
    ...rowsOf(document, sha256),
    verdict: document.verdict,
    drifted_weight_share: document.drifted_weight_share,
    output_drift: document.output_drift,
    multivariate_drift: document.multivariate_drift,
  };
  const events: DriftEvent[] = [];
  const tell = (type: DriftEventType, what: string, more: object) =>
    events.push({ type, subject, data: { ...common, dedup_key: `${what}:${subject}`, ...more } });
  const { risen, fallen, qualityFired } = changes;
  if (risen.length > 0)
    tell('io.sluice.drift.detected', 'drift', { level: risen[0]!.to, features: risen.slice(0, shownMax) });
  if (fallen.length > 0) tell('io.sluice.drift.resolved', 'drift', { features: fallen.slice(0, shownMax) });
  if (qualityFired.length > 0)
    tell('io.sluice.data_quality.detected', 'data_quality', { checks: qualityFired.slice(0, shownMax) });
  // The same as of labels, but an estimate, and it says so.
  const { estimate } = document;
  if (changes.estimate !== undefined) {
    const type = changes.estimate === 'fired' ? 'io.sluice.quality.degraded' : 'io.sluice.quality.recovered';
    tell(type, 'estimate', { metric: 'accuracy', is_estimate: true, estimate });
  }
  return events;
}

/** Which rows it is about. */
function rowsOf(document: DriftDocument, sha256: string) {
  const { version, baseline, window } = document;
  return { version, artifact_sha256: sha256, baseline, window, query: queryOf(document) };
}

/** What could not be judged in this window is left out. */
export function signalsOf(document: DriftDocument, sha256: string): JudgedSignals {
  const { model, version, drifted_weight_share: driftShare, estimate, features } = document;
  const fired = features
    .filter(({ state }) => state === 'warn' || state === 'alert')
    .map(({ name: feature, state, psi_corrected }) => ({ feature, state, psi_corrected }))
    .sort((a, b) => (b.psi_corrected ?? 0) - (a.psi_corrected ?? 0));
  const isEstimated = estimate !== null && estimate.accuracy_bound !== null;
  return {
    model,
    version,
    signals: {
      ...(driftShare !== null && { driftShare }),
      ...(isEstimated && { cbpe: estimate.fired ? ('alert' as const) : ('ok' as const) }),
    },
    facts: { ...rowsOf(document, sha256), features: fired.slice(0, shownMax) },
  };
}

/** Selects the rows of the window from the prediction log. */
function queryOf({ model, version, window: { from, to } }: DriftDocument): string {
  const time = `ts >= TIMESTAMP '${plain(from)}' AND ts < TIMESTAMP '${plain(to)}'`;
  return `SELECT * FROM predictions WHERE model = '${model}' AND version = '${version}' AND role = 'primary' AND ${time}`;
}

function plain(iso: string): string {
  return iso.replace('T', ' ').replace('Z', '');
}
