/**
 * PART OF THE ROOT: how right the versions are, as far as labels say.
 *
 *   label joined with its prediction ─▶ series of the version, and of its variant ─ window full ─▶ judged
 *                                          └▶ document, gauges            worse twice in a row ─▶ log line, event
 *
 * Labels of the key `label` count; others are kept for queries.
 *
 * Must not know how labels come in.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { Family, Series } from '../core/series.js';
import type { RetrainSignals } from '../core/trigger.js';
import type { LabelRecord } from '../labels/label-record.js';
import type { Degradation } from '../monitor/degradation.js';
import { parseProfile, type ReferenceProfile } from '../monitor/profile-document.js';
import { gauge } from './counts.js';
import type { JudgedSignals } from './judged-signals.js';
import { type QualityDocument, seriesDocument } from './quality-document.js';
import { type QualityRule, QualitySeries, type Reference } from './quality-series.js';
import { headlineOf } from './quality-tally.js';

export interface QualityEvent {
  readonly type: 'io.sluice.quality.degraded' | 'io.sluice.quality.recovered';
  /** `fraud@7`. */
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface QualityRoomOptions {
  readonly rule: QualityRule;
  readonly championOf: (model: string) => string | undefined;
  /** Predictions served, by whoever answered. */
  readonly served: () => ReadonlyMap<string, number>;
  readonly onChange: (event: QualityEvent) => void;
  /** Each window that was judged, whatever came of it: policies count them. */
  readonly onJudged: (judged: JudgedSignals) => void;
}

/** Version or variant; a version has none. */
interface Place extends VersionId {
  readonly variant: string;
}

const seriesMax = 200;
const countedKey = 'label';
type Performance = ReferenceProfile['performance'];

export class QualityRoom {
  readonly #options: QualityRoomOptions;
  readonly #series = new Map<string, { readonly place: Place; readonly series: QualitySeries }>();
  readonly #performance = new Map<string, Performance>();
  /** What happened before a restart is not told again. */
  isReplaying = false;
  /** Labels of versions for which there was no room. */
  untold = 0;

  constructor(options: QualityRoomOptions) {
    this.#options = options;
  }

  /** A version is ready: what its profile says of it is what it is held to. */
  learn({ id, directory, profile }: VersionSpec): void {
    if (profile === undefined) return;
    try {
      this.#performance.set(nameOf(id), parseProfile(readFileSync(join(directory, profile), 'utf8')).performance);
    } catch {
      // Drift says of a profile that cannot be read that it cannot.
      this.#performance.delete(nameOf(id));
    }
  }

  add(record: LabelRecord): void {
    if (record.key !== countedKey) return;
    const { model, version, variant } = record.prediction;
    this.#addTo({ model, version, variant: '' }, record);
    if (variant !== '') this.#addTo({ model, version, variant }, record);
  }

  #addTo(place: Place, record: LabelRecord): void {
    const key = placeKey(place);
    let known = this.#series.get(key);
    if (known === undefined) {
      if (this.#series.size >= seriesMax) {
        this.untold++;
        return;
      }
      known = { place, series: new QualitySeries(record.prediction.meaning, this.#options.rule) };
      this.#series.set(key, known);
    }
    if (known.series.add(record)) this.#judge(place, known.series);
  }

  #judge(place: Place, series: QualitySeries): void {
    const before = series.level;
    const judged = series.judge(this.#referenceOf(place, series));
    if (this.isReplaying || place.variant !== '') return;
    const { metric } = headlineOf(series.meaning);
    const window = { from: new Date(judged.fromMs).toISOString(), to: new Date(judged.toMs).toISOString() };
    const { model, version } = place;
    const data = { model, version, metric, window, reference: judged.reference, ...judged.degradation };
    this.#options.onJudged({ model, version, signals: signalsOf(series, judged.degradation), facts: data });
    if (before.isFired === series.level.isFired) return;
    const type = series.level.isFired ? 'io.sluice.quality.degraded' : 'io.sluice.quality.recovered';
    this.#options.onChange({ type, subject: nameOf(place), data: { ...data, dedup_key: `quality:${nameOf(place)}` } });
  }

  /** What its profile promises, else the champion at the same time. */
  #referenceOf(place: Place, { meaning }: QualitySeries): Reference | undefined {
    const { metric } = headlineOf(meaning);
    const performance = this.#performance.get(nameOf(place));
    const promised = performance?.[metric];
    if (typeof promised === 'number') {
      const n = performance?.n;
      const isShare = meaning.task !== 'numbers';
      const measure = isShare
        ? { kind: 'share' as const, value: promised, ...(n !== undefined && { n }) }
        : { kind: 'mean' as const, value: promised, standardError: 0 };
      return { from: 'profile', measure };
    }
    const champion = this.#options.championOf(place.model);
    if (champion === undefined || champion === place.version) return undefined;
    const other = this.#series.get(placeKey({ model: place.model, version: champion, variant: '' }))?.series;
    return other?.measure && { from: 'champion', measure: other.measure };
  }

  /** @throws NOT_FOUND when no label of it has come */
  document(model: string): QualityDocument {
    const served = this.#options.served();
    const versions = [...this.#series.values()]
      .filter(({ place }) => place.model === model)
      .sort((a, b) => Number(a.place.version) - Number(b.place.version) || (a.place.variant < b.place.variant ? -1 : 1))
      .map(({ place, series }) => seriesDocument(place, series, served.get(placeKey(place)) ?? 0));
    if (versions.length > 0) return { model, versions };
    throw new GatewayError('NOT_FOUND', `no label of a prediction of model '${model}' has come yet`);
  }

  families(): Family[] {
    const served = this.#options.served();
    const quality: Series[] = [];
    const coverage: Series[] = [];
    const lag: Series[] = [];
    const degraded: Series[] = [];
    for (const { place, series } of this.#series.values()) {
      if (place.variant !== '') continue;
      const { model, version } = place;
      const labels = { model, version };
      for (const [metric, { value }] of Object.entries(series.metrics()))
        if (value !== null) quality.push({ labels: { ...labels, metric }, value });
      const {
        label_coverage: share,
        label_lag_p50_s: p50,
        label_lag_p95_s: p95,
      } = seriesDocument(place, series, served.get(placeKey(place)) ?? 0);
      if (share !== null) coverage.push({ labels, value: share });
      if (p50 !== null) lag.push({ labels: { ...labels, percentile: '50' }, value: p50 });
      if (p95 !== null) lag.push({ labels: { ...labels, percentile: '95' }, value: p95 });
      degraded.push({ labels, value: series.level.isFired ? 1 : 0 });
    }
    return [
      gauge('sluice_quality', 'How right a version is by the labels that came, of the days that are kept.', quality),
      gauge('sluice_quality_degraded', '1 while labels say that a version is worse than it should be.', degraded),
      gauge('sluice_label_coverage_ratio', 'Share of predictions that have a label.', coverage),
      gauge('sluice_label_lag_seconds', 'Time from a prediction to its label.', lag),
    ];
  }
}

/** Labels of a version are of predictions after its training. Without a reference nothing is said of its quality. */
function signalsOf({ level, labelled }: QualitySeries, degradation: Degradation | null): RetrainSignals {
  const quality = level.isFired ? 'degraded' : 'ok';
  return { labelsSinceTraining: labelled, ...(degradation !== null && { quality }) };
}

/** As the counts of served predictions name it, too. */
export function placeKey({ model, version, variant }: Place): string {
  return JSON.stringify([model, version, variant]);
}
