/**
 * PART OF THE ROOT: how right the versions of a model are, as the admin API tells it and the command line shows it.
 *
 * Must not know how it was counted.
 */
import type { Degradation } from '../monitor/degradation.js';
import { type LabelFacts, labelFacts, type Metric } from '../monitor/label-metrics.js';
import type { JudgedWindow, QualitySeries } from './quality-series.js';

type Metrics = Readonly<Record<string, Metric>>;

interface StretchDocument {
  readonly from: string;
  readonly metrics: Metrics;
}

interface WindowDocument extends StretchDocument {
  readonly to: string;
  readonly reference: JudgedWindow['reference'];
  readonly degradation: Degradation | null;
}

export interface VersionQualityDocument extends LabelFacts {
  readonly version: string;
  /** Empty: the whole version. */
  readonly variant: string;
  readonly task: string;
  readonly served: number;
  /** Of the last window; `degraded` only after two in a row. */
  readonly state: 'degraded' | Degradation['verdict'] | 'no_reference';
  readonly metrics: Metrics;
  readonly calibration: ReturnType<QualitySeries['calibration']>;
  /** Labels of the window under way. */
  readonly window_labels: number;
  readonly windows: readonly WindowDocument[];
  readonly hours: readonly StretchDocument[];
  readonly days: readonly StretchDocument[];
}

export interface QualityDocument {
  readonly model: string;
  readonly versions: readonly VersionQualityDocument[];
}

export function seriesDocument(
  { version, variant }: { readonly version: string; readonly variant: string },
  series: QualitySeries,
  served: number,
): VersionQualityDocument {
  const stretch = ([fromMs, metrics]: readonly [number, Metrics]) => ({
    from: new Date(fromMs).toISOString(),
    metrics,
  });
  return {
    version,
    variant,
    task: series.meaning.task,
    ...labelFacts(series.labelled, served, series.lag),
    served,
    state: stateOf(series),
    metrics: series.metrics(),
    calibration: series.calibration(),
    window_labels: series.open,
    windows: series.windows.map(({ fromMs, toMs, metrics, reference, degradation }) => ({
      ...stretch([fromMs, metrics]),
      to: new Date(toMs).toISOString(),
      reference,
      degradation,
    })),
    hours: series.by('hour').map(stretch),
    days: series.by('day').map(stretch),
  };
}

/** One bad window is no alarm yet. */
function stateOf({ level, windows }: QualitySeries): VersionQualityDocument['state'] {
  if (level.isFired) return 'degraded';
  const last = windows.at(-1);
  if (last === undefined) return 'insufficient_data';
  if (last.degradation === null) return 'no_reference';
  return last.degradation.verdict === 'degraded' ? 'undecided' : last.degradation.verdict;
}
