/**
 * Labels as they come in: each is joined with its prediction, compared with what was known, written down, and only then told.
 *
 *   labels, a batch ─▶ decided ─┬▶ records ─▶ journal, fsync ─▶ onLabel
 *                               └▶ early ones wait for their prediction
 *
 * One batch after the other, so that two labels of one name are never decided at the same time. What one write costs is shared
 * by all that wait for it.
 *
 * Must not know metrics, or over which wire labels came.
 */
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import { dayOf } from './days.js';
import { DecidedLabels, type Knowledge } from './decided-labels.js';
import { type EarlyLabel, EarlyLabels } from './early.js';
import { isRefused, type Label, type LabelAnswer, type LabelStatus, type Refused } from './feedback.js';
import { hashOf } from './hash.js';
import { isOrigin, requestIdOf } from './join-record.js';
import { labelKind, predictionKind } from './kinds.js';
import { LabelJournals } from './label-journals.js';
import { type Joined, type LabelRecord, labelOf, labelPayload, nameOfRecord, type Told } from './label-record.js';
import { predictionFor, type RouteOf } from './prediction-for.js';
import { RecordIndex } from './record-index.js';

export interface LabelBookOptions {
  /** Folder of the rows that gateway processes write. */
  readonly predictions: string;
  /** Folder of our own files. */
  readonly labels: string;
  readonly days: number;
  readonly earlyMs: number;
  readonly earlyMax: number;
  readonly epochMs: () => number;
  readonly routeOf: RouteOf;
  readonly onLabel: (record: LabelRecord) => void;
  /** Labels that met their prediction late could not be written: they are tried again after a restart. */
  readonly onUnwritten: (labels: number, error: Error) => void;
  /** Entries of an index in memory. */
  readonly headMax?: number;
}

interface Batch {
  readonly labels: readonly (EarlyLabel | Refused)[];
  readonly resolve: (answers: LabelAnswer[]) => void;
  readonly reject: (error: unknown) => void;
}

const batchesMax = 64;
const labelsAtOnce = 2000;
const headEntries = 262_144;
/** After so many look-ups others go first. */
const breathEvery = 50;

export class LabelBook {
  readonly #options: LabelBookOptions;
  readonly #predictions: RecordIndex;
  readonly #labels: RecordIndex;
  readonly #early: EarlyLabels;
  readonly #journals: LabelJournals;
  readonly #knowledge: Knowledge;
  readonly #counts: Record<LabelStatus, number> = {
    accepted: 0,
    duplicate: 0,
    pending: 0,
    unknown_model: 0,
    invalid: 0,
  };
  #waiting: Batch[] = [];
  #running: Promise<void> | undefined;
  #isRunning = false;
  #isClosed = false;

  constructor(options: LabelBookOptions) {
    this.#options = options;
    const { predictions, labels, days, epochMs, headMax = headEntries, earlyMs, earlyMax } = options;
    const common = { days, headMax, epochMs };
    const name = `labels-${epochMs()}`;
    this.#predictions = new RecordIndex({ ...common, root: predictions, kind: predictionKind });
    this.#labels = new RecordIndex({ ...common, root: labels, kind: labelKind });
    const directory = join(labels, 'early');
    this.#early = new EarlyLabels({ directory, name, holdMs: earlyMs, labelsMax: earlyMax });
    this.#journals = new LabelJournals({ directory: labels, name });
    this.#knowledge = {
      join: (early) => this.#join(early),
      last: (label, prediction) => this.#last(label, prediction),
      waiting: (label, requestId) => this.#early.find(label, requestId),
    };
  }

  /** Reads what is there; every label of before is told again, in the order in which it came. */
  async open(): Promise<void> {
    const { onLabel, epochMs } = this.#options;
    await this.#predictions.open();
    await this.#labels.open((payload) => tell(labelOf(payload), onLabel));
    await this.#early.open(epochMs());
    // Those that had found their prediction before are known, which changes nothing.
    this.#takeMet(this.#early.all());
  }

  get earlySize(): number {
    return this.#early.size;
  }

  get unmatched(): number {
    return this.#early.unmatched;
  }

  get counts(): Readonly<Record<LabelStatus, number>> {
    return this.#counts;
  }

  /** Files whose rest is no records, by what is in them. */
  get damaged(): Readonly<Record<'predictions' | 'labels' | 'early', number>> {
    const [predictions, labels, early] = [this.#predictions.damaged, this.#labels.damaged, this.#early.damaged];
    return { predictions, labels, early };
  }

  /** Predictions that labels can find. */
  get predictions(): number {
    return this.#predictions.entries;
  }

  /** Keys for `servedOf`, each with predictions; a key may come several times. */
  served(): Generator<readonly [string, number]> {
    return this.#predictions.counts();
  }

  /** @throws RESOURCE_EXHAUSTED when too much waits; UNAVAILABLE when it cannot be written down */
  take(model: string, labels: readonly (Label | Refused)[]): Promise<LabelAnswer[]> {
    if (this.#isClosed) return Promise.reject(new GatewayError('UNAVAILABLE', 'feedback: the server is stopping'));
    if (this.#waiting.length >= batchesMax || this.#early.isFull)
      return Promise.reject(
        new GatewayError('RESOURCE_EXHAUSTED', 'feedback: too many labels wait', {
          reason: 'quota',
          retryAfterMs: 1000,
        }),
      );
    const receivedMs = this.#options.epochMs();
    return this.#queued(labels.map((label) => (isRefused(label) ? label : { model, label, receivedMs })));
  }

  #queued(labels: Batch['labels']): Promise<LabelAnswer[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ labels, resolve, reject });
      if (!this.#isRunning) this.#running = this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const batches: Batch[] = [];
      let labels = 0;
      do {
        const batch = this.#waiting.shift()!;
        batches.push(batch);
        labels += batch.labels.length;
      } while (labels < labelsAtOnce && this.#waiting.length > 0);
      await this.#settle(batches);
    }
    // Without a turn in between: whoever comes now begins again.
    this.#isRunning = false;
  }

  async #settle(batches: readonly Batch[]): Promise<void> {
    try {
      this.#refresh();
      const decided = new DecidedLabels(this.#knowledge);
      const all = batches.flatMap((batch) => batch.labels);
      for (const [i, label] of all.entries()) {
        if (i > 0 && i % breathEvery === 0) await new Promise((resolve) => setImmediate(resolve));
        decided.add(label);
      }
      await this.#write(decided);
      let from = 0;
      for (const { labels, resolve } of batches) {
        resolve(decided.answers.slice(from, from + labels.length));
        from += labels.length;
      }
    } catch (error) {
      for (const { reject } of batches)
        reject(
          new GatewayError('UNAVAILABLE', 'feedback: labels cannot be kept', { cause: error, retryAfterMs: 1000 }),
        );
    }
  }

  #join({ model, label: { requestId, item } }: EarlyLabel): Joined | string | undefined {
    return predictionFor(this.#predictions, { model, requestId, item }, this.#options.routeOf);
  }

  /** What was told last under that name. */
  #last(name: string, { tsUs }: Joined): LabelRecord | undefined {
    const records = this.#labels
      .findOn(dayOf(tsUs / 1000), hashOf(name))
      .map(({ payload }) => labelOf(payload))
      .filter((record) => !record.isHistory && nameOfRecord(record) === name);
    return records.reduce<LabelRecord | undefined>(
      (newest, record) => (newest === undefined || isAfter(record.told, newest.told) ? record : newest),
      undefined,
    );
  }

  async #write({ answers, records, early }: DecidedLabels): Promise<void> {
    if (early.length > 0) await this.#holdAll(early);
    const days = new Map<string, Buffer[]>();
    for (const record of records) {
      const day = dayOf(record.prediction.tsUs / 1000);
      days.set(day, [...(days.get(day) ?? []), labelPayload(record)]);
    }
    for (const [day, payloads] of days) {
      await this.#journals.append(day, payloads);
      this.#labels.refreshDay(day);
    }
    for (const record of records) tell(record, this.#options.onLabel);
    for (const { status } of answers) this.#counts[status]++;
  }

  async #holdAll(early: readonly EarlyLabel[]): Promise<void> {
    await this.#early.add(early);
    // Their predictions may have been read while this was written.
    this.#takeMet(early);
  }

  /** Those whose prediction is there. */
  #takeMet(early: readonly EarlyLabel[]): void {
    const met = early.filter((one) => this.#join(one) !== undefined);
    this.#takeEarly(new Set(met.map(({ label }) => label.requestId)));
  }

  #takeEarly(met: ReadonlySet<string>): void {
    const found = [...met].flatMap((requestId) => this.#early.take(requestId));
    // What cannot be written now stays in the journal of early ones, and is tried again after a restart.
    if (found.length > 0)
      void this.#queued(found).catch((error: Error) => this.#options.onUnwritten(found.length, error));
  }

  /** Reads what processes have written since; labels that waited for it are taken now. */
  #refresh(): void {
    const met = new Set<string>();
    this.#predictions.refresh(
      this.#early.size === 0
        ? undefined
        : ({ payload }) => {
            if (isOrigin(payload)) return;
            const requestId = requestIdOf(payload);
            if (this.#early.has(requestId)) met.add(requestId);
          },
    );
    this.#takeEarly(met);
  }

  /** To be called every now and then. */
  tick(): void {
    if (this.#isClosed) return;
    this.#refresh();
    this.#early.expire(this.#options.epochMs());
  }

  /** Removes what is behind the horizon. */
  retain(): void {
    this.#predictions.retain();
    this.#labels.retain();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    await this.#journals.close();
    await this.#early.close();
    await this.#predictions.close();
    await this.#labels.close();
  }
}

function tell(record: LabelRecord, onLabel: (record: LabelRecord) => void): void {
  if (!record.isHistory) onLabel(record);
}

function isAfter(a: Told, b: Told): boolean {
  return a.tsMs > b.tsMs || (a.tsMs === b.tsMs && a.receivedMs >= b.receivedMs);
}
