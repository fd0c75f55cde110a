/**
 * PART OF THE ROOT: how all versions of a model stand, for the API and for people.
 *
 * Must not know how it is measured.
 */
import type { DriftStretch } from '../admin/drift-operations.js';
import type { VersionId } from '../core/model.js';
import type { Watched } from '../core/watched.js';
import type { DriftDocument } from '../monitor/drift-document.js';
import type { DriftSeries } from './drift-series.js';

export interface ModelDriftDocument {
  readonly model: string;
  readonly versions: readonly VersionDriftDocument[];
}

interface RoleDocument {
  readonly role: string;
  /** Rows of the window under way. */
  readonly open_rows: number;
}

export interface VersionDriftDocument {
  readonly version: string;
  readonly sha256: string;
  /**
   * `no_reference`: there is no profile · `warming_up`: one is being made of the first rows · `insufficient_data`: no window
   * had enough rows yet · otherwise the verdict of the last window.
   */
  readonly status: 'no_reference' | 'warming_up' | 'insufficient_data' | 'ok' | 'drift';
  /** Why there is no reference, when one came along. */
  readonly reason: string;
  /** What it is compared with; `live` is provisional. */
  readonly baseline: DriftDocument['baseline'] | null;
  readonly windows_judged: number;
  readonly rows_needed: number;
  readonly roles: readonly RoleDocument[];
  /** Null when there is nothing of the stretch that was asked for. */
  readonly report: DriftDocument | null;
}

export interface ShownVersion {
  readonly id: VersionId;
  readonly sha256: string;
  readonly watched: Watched;
  readonly refused: string | undefined;
  readonly series: ReadonlyMap<string, DriftSeries>;
}

export function versionDocument(
  { id, sha256, watched, refused, series }: ShownVersion,
  stretch: DriftStretch,
  { epochMs, minRows }: { readonly epochMs: number; readonly minRows: number },
): VersionDriftDocument {
  const primary = series.get('primary');
  return {
    version: id.version,
    sha256,
    status: statusOf(primary, watched),
    reason: refused ?? '',
    baseline: primary?.profile.baseline ?? null,
    windows_judged: primary?.windows ?? 0,
    rows_needed: minRows,
    roles: Array.from(series, ([role, one]) => ({ role, open_rows: one.openRows })),
    report: primary?.document(stretch, epochMs) ?? null,
  };
}

function statusOf(primary: DriftSeries | undefined, { warmUpRows }: Watched): VersionDriftDocument['status'] {
  if (primary === undefined) return warmUpRows > 0 ? 'warming_up' : 'no_reference';
  return primary.judged?.verdict ?? 'insufficient_data';
}
