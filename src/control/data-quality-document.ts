/**
 * PART OF THE ROOT: whether the values of features are sound, as one part of what is known of drift.
 *
 * Must not know how it is measured.
 */
import type { DriftDocument } from '../monitor/drift-document.js';
import type { ModelDriftDocument, VersionDriftDocument } from './model-drift-document.js';

interface VersionDataQuality
  extends Pick<VersionDriftDocument, 'version' | 'sha256' | 'reason' | 'baseline' | 'windows_judged' | 'rows_needed'> {
  /** `detected`: a check has fired and is not over yet. */
  readonly status: Exclude<VersionDriftDocument['status'], 'drift'> | 'detected';
  /** Null when there is nothing of the stretch that was asked for. */
  readonly window: DriftDocument['window'] | null;
  /** `feature:check` of those that have fired. */
  readonly fired: readonly string[];
  readonly checks: DriftDocument['data_quality'];
}

export interface DataQualityDocument {
  readonly model: string;
  readonly versions: readonly VersionDataQuality[];
}

export function dataQualityOf({ model, versions }: ModelDriftDocument): DataQualityDocument {
  return { model, versions: versions.map(ofVersion) };
}

function ofVersion(version: VersionDriftDocument): VersionDataQuality {
  const { report, version: number, sha256, status, reason, baseline, windows_judged, rows_needed } = version;
  const checks = report?.data_quality ?? [];
  return {
    version: number,
    sha256,
    status: status === 'no_reference' || status === 'warming_up' ? status : statusOf(checks),
    reason,
    baseline,
    windows_judged,
    rows_needed,
    window: report?.window ?? null,
    fired: checks.filter(({ fired }) => fired).map(({ feature, check }) => `${feature}:${check}`),
    checks,
  };
}

/** What too few rows say is never called ok. */
function statusOf(checks: DriftDocument['data_quality']): VersionDataQuality['status'] {
  if (checks.some(({ fired }) => fired)) return 'detected';
  return checks.some(({ status }) => status === 'ok' || status === 'fires') ? 'ok' : 'insufficient_data';
}
