/**
 * Labels as they come in: each is joined with its prediction, compared with what was known, written down, and only then told.
 *
 *   label ─ known request? ─ yes ─▶ newer than what was told? ─▶ journal, fsync ─▶ onLabel
 *                └ not yet ─▶ early: waits for its prediction
 *
 * One batch after the other, so that two labels of one name are never decided at the same time. What one write costs is shared
 * by all that wait for it.
 *
 * Must not know metrics, or over which wire labels came.
 */
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import { dayOf } from './days.js';
import { type EarlyLabel, EarlyLabels } from './early.js';
import { isRefused, type Label, type LabelAnswer, type LabelStatus, type Refused } from './feedback.js';
import { hashOf } from './hash.js';
import { isOrigin, requestIdOf } from './join-record.js';
import { Journal } from './journal.js';
import { labelKind, predictionKind } from './kinds.js';
import {
  type Joined,
  type LabelRecord,
  labelNameOf,
  labelOf,
  labelPayload,
  nameOfRecord,
  type Told,
} from './label-record.js';
import { complaintOf } from './meaning.js';
import { predictionFor } from './prediction-for.js';
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

/** What is decided of a batch, not written yet. */
interface Decided {
  readonly answers: LabelAnswer[];
  /** In the order in which they are to be written. */
  readonly records: LabelRecord[];
  /** By name. */
  readonly latest: Map<string, LabelRecord>;
  readonly early: Map<string, EarlyLabel>;
}

const batchesMax = 64;
const labelsAtOnce = 2000;
const headEntries = 262_144;
/** After so many look-ups others go first. */
const breathEvery = 50;
const journalsMax = 8;

export class LabelBook {
  readonly #options: LabelBookOptions;
  readonly #predictions: RecordIndex;
  readonly #labels: RecordIndex;
  readonly #early: EarlyLabels;
  readonly #journals = new Map<string, Journal>();
  readonly #name: string;
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
  /** Journals so far. */
  #opened = 0;

  constructor(options: LabelBookOptions) {
    this.#options = options;
    const { predictions, labels, days, epochMs, headMax = headEntries, earlyMs, earlyMax } = options;
    const common = { days, headMax, epochMs };
    this.#name = `labels-${epochMs()}`;
    this.#predictions = new RecordIndex({ ...common, root: predictions, kind: predictionKind });
    this.#labels = new RecordIndex({ ...common, root: labels, kind: labelKind });
    const directory = join(labels, 'early');
    this.#early = new EarlyLabels({ directory, name: this.#name, holdMs: earlyMs, labelsMax: earlyMax });
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
      const decided: Decided = { answers: [], records: [], latest: new Map(), early: new Map() };
      const all = batches.flatMap((batch) => batch.labels);
      for (const [i, label] of all.entries()) {
        if (i > 0 && i % breathEvery === 0) await new Promise((resolve) => setImmediate(resolve));
        decided.answers.push('reason' in label ? refusal(label) : this.#decide(label, decided));
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

  #decide(early: EarlyLabel, decided: Decided): LabelAnswer {
    const { requestId, item, key } = early.label;
    const prediction = this.#join(early);
    if (prediction === undefined) return answer(early.label, this.#hold(early, decided));
    if (typeof prediction === 'string') return answer(early.label, 'invalid', prediction);
    const complaint = complaintOf(prediction.meaning, early.label.label);
    if (complaint !== undefined) return answer(early.label, 'invalid', complaint);
    const name = labelNameOf(requestId, item, key);
    const before = decided.latest.get(name) ?? this.#known(name, prediction);
    const told = toldOf(early);
    if (before !== undefined && before.told.tsMs === told.tsMs && before.told.label === told.label)
      return answer(early.label, 'duplicate');
    const isHistory = before !== undefined && told.tsMs < before.told.tsMs;
    const record = { prediction, key, told, replaces: isHistory ? undefined : before?.told, isHistory };
    decided.records.push(record);
    if (!isHistory) decided.latest.set(name, record);
    return answer(early.label, 'accepted');
  }

  #join({ model, label: { requestId, item } }: EarlyLabel): Joined | string | undefined {
    return predictionFor(this.#predictions, { model, requestId, item });
  }

  /** What was told last under that name. */
  #known(name: string, { tsUs }: Joined): LabelRecord | undefined {
    const records = this.#labels
      .findOn(dayOf(tsUs / 1000), hashOf(name))
      .map(({ payload }) => labelOf(payload))
      .filter((record) => !record.isHistory && nameOfRecord(record) === name);
    return records.reduce<LabelRecord | undefined>(
      (newest, record) => (newest === undefined || isAfter(record.told, newest.told) ? record : newest),
      undefined,
    );
  }

  /** What waits already is not written down again. */
  #hold(early: EarlyLabel, decided: Decided): 'pending' {
    const { requestId, item, key } = early.label;
    const name = labelNameOf(requestId, item, key);
    const before = decided.early.get(name) ?? this.#early.find(name, requestId);
    const [was, is] = [before && toldOf(before), toldOf(early)];
    const isSame = was !== undefined && was.tsMs === is.tsMs && was.label === is.label;
    if (!isSame && (was === undefined || was.tsMs <= is.tsMs)) decided.early.set(name, early);
    return 'pending';
  }

  async #write({ answers, records, early }: Decided): Promise<void> {
    if (early.size > 0) await this.#holdAll([...early.values()]);
    const days = new Map<string, Buffer[]>();
    for (const record of records) {
      const day = dayOf(record.prediction.tsUs / 1000);
      days.set(day, [...(days.get(day) ?? []), labelPayload(record)]);
    }
    for (const [day, payloads] of days) {
      await this.#journalOf(day).append(payloads);
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

  #journalOf(day: string): Journal {
    let journal = this.#journals.get(day);
    if (journal === undefined) {
      const [oldest] = this.#journals.keys();
      if (this.#journals.size >= journalsMax) this.#closeJournal(oldest!);
      // A journal of the day that was closed before had other numbers.
      this.#opened++;
      const name = `${this.#name}-${this.#opened}`;
      journal = new Journal((number) => join(this.#options.labels, day, `${name}-${number}.rows`));
      this.#journals.set(day, journal);
    }
    return journal;
  }

  #closeJournal(day: string): void {
    void this.#journals.get(day)?.close();
    this.#journals.delete(day);
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
    for (const journal of this.#journals.values()) await journal.close();
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

function toldOf({ label: { label, tsMs, source, weight }, receivedMs }: EarlyLabel): Told {
  return { label, tsMs: tsMs ?? receivedMs, receivedMs, source, weight };
}

function answer({ requestId, item }: Label, status: LabelStatus, reason?: string): LabelAnswer {
  return { request_id: requestId, item_index: item, status, ...(reason !== undefined && { reason }) };
}

function refusal({ requestId, item, reason }: Refused): LabelAnswer {
  return { request_id: requestId, item_index: item, status: 'invalid', reason };
}
