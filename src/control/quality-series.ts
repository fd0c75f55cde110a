/**
 * PART OF THE ROOT: the labelled predictions of one version, or of one variant of it, in all stretches that are shown.
 *
 *   label ─▶ all · its hour · its day · the window under way ─ full ─▶ judged against the reference
 *
 * Stretches go by the time of the prediction. A label that is replaced is taken back from each of them but from a window that
 * has been judged: that stays what was decided by.
 *
 * Must not know other versions.
 */
import { type LabelRecord, labelNameOf } from '../labels/label-record.js';
import type { Meaning } from '../labels/meaning.js';
import {
  type Degradation,
  type DegradationOptions,
  decideDegradation,
  degradationLook,
  type Measure,
} from '../monitor/degradation.js';
import { LagTally, type Metric } from '../monitor/label-metrics.js';
import { afterWindow, type Level, quiet } from '../monitor/persistence.js';
import { headlineOf, type QualityTally, tallyFor } from './quality-tally.js';

export interface QualityRule {
  /** Labels of a window. */
  readonly windowLabels: number;
  readonly labelsMin: number;
  readonly margin: number;
}

/** What a window is compared with. */
export interface Reference {
  readonly from: 'profile' | 'champion';
  readonly measure: Measure;
}

export interface JudgedWindow {
  readonly fromMs: number;
  readonly toMs: number;
  readonly metrics: Readonly<Record<string, Metric>>;
  readonly reference: Reference['from'] | null;
  /** Null without a reference. */
  readonly degradation: Degradation | null;
}

const hoursMax = 24;
const daysMax = 31;
const windowsMax = 10;
const hourUs = 3_600_000_000;
const dayUs = 24 * hourUs;

type Stretches = Map<number, QualityTally>;

export class QualitySeries {
  readonly meaning: Meaning;
  readonly #rule: QualityRule;
  readonly #all: QualityTally;
  readonly #hours: Stretches = new Map();
  readonly #days: Stretches = new Map();
  readonly lag = new LagTally();
  #window = new Map<string, LabelRecord>();
  readonly #judged: JudgedWindow[] = [];
  /** Labelled predictions. */
  labelled = 0;
  level: Level = quiet;

  constructor(meaning: Meaning, rule: QualityRule) {
    this.meaning = meaning;
    this.#rule = rule;
    this.#all = tallyFor(meaning);
  }

  /** @returns true when the window under way is full and is to be judged */
  add(record: LabelRecord): boolean {
    const { prediction, told, replaces, key } = record;
    if (replaces === undefined) {
      this.labelled++;
      this.lag.add(told.receivedMs - prediction.tsUs / 1000);
    }
    for (const tally of this.#talliesOf(prediction.tsUs)) {
      if (replaces !== undefined) tally.add({ prediction, told: replaces }, -1);
      tally.add(record, 1);
    }
    const name = labelNameOf(prediction.requestId, prediction.item, key);
    if (replaces === undefined || this.#window.has(name)) this.#window.set(name, record);
    return this.#window.size >= this.#rule.windowLabels;
  }

  #talliesOf(tsUs: number): QualityTally[] {
    const hour = this.#stretch(this.#hours, Math.floor(tsUs / hourUs), hoursMax);
    const day = this.#stretch(this.#days, Math.floor(tsUs / dayUs), daysMax);
    return [this.#all, ...(hour === undefined ? [] : [hour]), ...(day === undefined ? [] : [day])];
  }

  /** Undefined for one that is too old to be kept. */
  #stretch(stretches: Stretches, number: number, most: number): QualityTally | undefined {
    const known = stretches.get(number);
    if (known !== undefined) return known;
    const oldest = Math.min(...stretches.keys());
    if (stretches.size >= most) {
      if (number < oldest) return undefined;
      stretches.delete(oldest);
    }
    const tally = tallyFor(this.meaning);
    stretches.set(number, tally);
    return tally;
  }

  /** Ends the window under way. */
  judge(reference: Reference | undefined): JudgedWindow {
    const records = [...this.#window.values()];
    this.#window = new Map();
    const metrics = metricsOf(records, this.meaning);
    const times = records.map(({ prediction }) => prediction.tsUs / 1000);
    const current = measureOf(metrics[headlineOf(this.meaning).metric], this.meaning);
    const degradation =
      reference === undefined || current === undefined
        ? null
        : decideDegradation(reference.measure, current, this.#options());
    const look = degradation === null ? null : degradationLook(degradation);
    if (look !== null) this.level = afterWindow(this.level, look);
    const judged = {
      fromMs: Math.min(...times),
      toMs: Math.max(...times),
      metrics,
      reference: reference?.from ?? null,
      degradation,
    };
    this.#judged.push(judged);
    if (this.#judged.length > windowsMax) this.#judged.shift();
    return judged;
  }

  #options(): DegradationOptions {
    const { margin, labelsMin } = this.#rule;
    return { margin, labelsMin, lowerIsBetter: headlineOf(this.meaning).lowerIsBetter };
  }

  get windows(): readonly JudgedWindow[] {
    return this.#judged;
  }

  /** Labels of the window under way. */
  get open(): number {
    return this.#window.size;
  }

  /** The headline of the last judged window, for others to be compared with. */
  get measure(): Measure | undefined {
    const last = this.#judged.at(-1);
    return last && measureOf(last.metrics[headlineOf(this.meaning).metric], this.meaning);
  }

  metrics(): Readonly<Record<string, Metric>> {
    return this.#all.metrics();
  }

  calibration(): ReturnType<NonNullable<QualityTally['calibration']>> | null {
    return this.#all.calibration?.() ?? null;
  }

  /** Metrics by the beginning of each stretch, in milliseconds since the epoch. */
  by(unit: 'hour' | 'day'): (readonly [fromMs: number, metrics: Readonly<Record<string, Metric>>])[] {
    const [stretches, us] = unit === 'hour' ? [this.#hours, hourUs] : [this.#days, dayUs];
    return [...stretches].sort(([a], [b]) => a - b).map(([number, tally]) => [(number * us) / 1000, tally.metrics()]);
  }
}

function metricsOf(records: readonly LabelRecord[], meaning: Meaning): Readonly<Record<string, Metric>> {
  const tally = tallyFor(meaning);
  for (const record of records) tally.add(record, 1);
  return tally.metrics();
}

/** Two-sided 95 %, which is what intervals of metrics are. */
const z95 = 1.959964;

function measureOf(metric: Metric | undefined, { task }: Meaning): Measure | undefined {
  if (metric === undefined || metric.value === null) return undefined;
  const { value, n, interval } = metric;
  if (task !== 'numbers') return { kind: 'share', value, n };
  const standardError = interval === null ? 0 : (interval.high - interval.low) / (2 * z95);
  return { kind: 'mean', value, standardError, n };
}
