/**
 * PART OF THE ROOT: what a judged window changed, as lines of the log.
 *
 * Must not know how it was judged.
 */
import { nameOf, type VersionId } from '../core/model.js';
import type { Log } from '../log.js';
import type { EstimateDocument } from '../monitor/cbpe.js';
import type { DriftChanges } from './drift-changes.js';

const shownMax = 10;

export function sayChanges(log: Log, id: VersionId, changes: DriftChanges, estimate: EstimateDocument | null): void {
  const { risen, fallen, qualityFired, qualityResolved } = changes;
  const model = nameOf(id);
  if (risen.length > 0) log.warn('drift.detected', { model, count: risen.length, features: levels(risen) });
  if (fallen.length > 0) log.info('drift.resolved', { model, count: fallen.length, features: levels(fallen) });
  if (qualityFired.length > 0)
    log.warn('data_quality.detected', { model, count: qualityFired.length, checks: checks(qualityFired) });
  if (qualityResolved.length > 0)
    log.info('data_quality.resolved', { model, count: qualityResolved.length, checks: checks(qualityResolved) });
  const estimated = { model, accuracy: estimate?.accuracy, bound: estimate?.accuracy_bound };
  if (changes.estimate === 'fired') log.warn('quality.estimate.degraded', estimated);
  if (changes.estimate === 'resolved') log.info('quality.estimate.recovered', estimated);
}

function levels(changes: DriftChanges['risen']): string[] {
  return changes.slice(0, shownMax).map(({ feature, from, to }) => `${feature}: ${from} → ${to}`);
}

function checks(changes: DriftChanges['qualityFired']): string[] {
  return changes.slice(0, shownMax).map(({ feature, check }) => `${feature}: ${check}`);
}
