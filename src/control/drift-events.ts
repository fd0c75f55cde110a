/**
 * PART OF THE ROOT: what a judged window is to those who want to be told: events with the numbers that decided.
 *
 * Must not know who is told, or how.
 */
import type { DriftDocument } from '../monitor/drift-document.js';
import type { DriftChanges } from './drift-changes.js';

export type DriftEventType =
  | 'io.sluice.drift.detected'
  | 'io.sluice.drift.resolved'
  | 'io.sluice.data_quality.detected';

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
  const { model, version, window } = document;
  const subject = `${model}@${version}`;
  const common = {
    model,
    version,
    artifact_sha256: sha256,
    baseline: document.baseline,
    window,
    verdict: document.verdict,
    drifted_weight_share: document.drifted_weight_share,
    output_drift: document.output_drift,
    multivariate_drift: document.multivariate_drift,
    query: queryOf(document),
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
  return events;
}

/** Selects the rows of the window from the prediction log. */
function queryOf({ model, version, window: { from, to } }: DriftDocument): string {
  const time = `ts >= TIMESTAMP '${plain(from)}' AND ts < TIMESTAMP '${plain(to)}'`;
  return `SELECT * FROM predictions WHERE model = '${model}' AND version = '${version}' AND role = 'primary' AND ${time}`;
}

function plain(iso: string): string {
  return iso.replace('T', ' ').replace('Z', '');
}
