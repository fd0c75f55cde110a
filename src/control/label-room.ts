/**
 * PART OF THE ROOT: labels of the whole server, from the call that brings them to what they say.
 *
 *   call ─ model known? not too many? ─▶ label book ─ joined, on the disk ─▶ quality, experiments
 *
 * Must not know how a label finds its prediction, or what is concluded.
 */
import { join, resolve } from 'node:path';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { Family } from '../core/series.js';
import { type LabelAnswer, labelsIn } from '../labels/feedback.js';
import { servedOf } from '../labels/kinds.js';
import { LabelBook } from '../labels/label-book.js';
import type { LabelRecord } from '../labels/label-record.js';
import { UnitSeal } from '../labels/unit-seal.js';
import type { Log } from '../log.js';
import { ensureHashKey, hashKeyOf } from '../predictions/hash-key.js';
import { gauge } from './counts.js';
import type { JudgedSignals } from './judged-signals.js';
import { type LabellerRefused, Labellers } from './labellers.js';
import { placeKey, type QualityEvent, QualityRoom } from './quality-room.js';

export interface LabelRoomOptions {
  readonly config: Pick<Config, 'admin' | 'labels' | 'prediction_log'>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly epochMs: () => number;
  /** Only ever forward. */
  readonly now: () => number;
  readonly hasModel: (model: string) => boolean;
  readonly championOf: (model: string) => string | undefined;
  /** The model on whose route an experiment is. */
  readonly routeOf: (experiment: string) => string | undefined;
  /** A label of a prediction that a route gave to a variant; its unit is not sealed. */
  readonly onLabel: (record: LabelRecord) => void;
  readonly onChange: (event: QualityEvent) => void;
  /** Somebody who may not bring labels. */
  readonly onRefused: (kind: LabellerRefused) => void;
  readonly onJudged: (judged: JudgedSignals) => void;
}

const tickMs = 250;
const retainMs = 3_600_000;
/** Labels that may come at once, in seconds of what may come for long. */
const burstS = 2;

export class LabelRoom {
  readonly quality: QualityRoom;
  readonly #options: LabelRoomOptions;
  readonly #book: LabelBook;
  readonly #labellers: Labellers;
  readonly #seal: UnitSeal;
  /** Resolves when what was there before has been read. */
  readonly #opened: Promise<void>;
  readonly #timers: NodeJS.Timeout[];
  #tokens: number;
  #filledAt: number;
  #refused = 0;

  private constructor(options: LabelRoomOptions) {
    const { config, epochMs, now, log } = options;
    const { days, early_ms, max_early, window, min_labels, margin, max_per_second } = config.labels;
    const path = resolve(config.prediction_log.path);
    this.#options = options;
    ensureHashKey(path);
    this.#seal = new UnitSeal(hashKeyOf(path).key);
    this.#labellers = new Labellers(options);
    this.#tokens = burstS * max_per_second;
    this.#filledAt = now();
    this.quality = new QualityRoom({
      rule: { windowLabels: window, labelsMin: min_labels, margin },
      championOf: options.championOf,
      served: () => this.#served(),
      onChange: (event) => this.#changed(event),
      onJudged: options.onJudged,
    });
    this.#book = new LabelBook({
      predictions: join(path, 'join'),
      labels: join(path, 'feedback'),
      days,
      earlyMs: early_ms,
      earlyMax: max_early,
      epochMs,
      routeOf: options.routeOf,
      onLabel: (record) => this.#told(record),
      onUnwritten: (labels, error) => log.error('labels.unwritten', { labels, error: error.message }),
    });
    this.quality.isReplaying = true;
    this.#opened = this.#book.open().then(() => {
      this.quality.isReplaying = false;
    });
    this.#opened.catch((error: Error) => log.error('labels.failed', { error: error.message }));
    const every = (ms: number, work: () => void) => setInterval(() => void this.#try(work), ms).unref();
    this.#timers = [every(tickMs, () => this.#book.tick()), every(retainMs, () => this.#book.retain())];
  }

  /** @returns undefined when no labels are taken */
  static open(options: LabelRoomOptions): LabelRoom | undefined {
    const { labels, prediction_log: log } = options.config;
    return labels.enabled && log.enabled ? new LabelRoom(options) : undefined;
  }

  async #try(work: () => void): Promise<void> {
    try {
      await this.#opened;
      work();
    } catch (error) {
      this.#options.log.debug('labels.failed', { error: (error as Error).message });
    }
  }

  #told(record: LabelRecord): void {
    this.quality.add(record);
    const { prediction } = record;
    if (this.quality.isReplaying || prediction.experiment === '') return;
    const unit = prediction.unit === undefined ? undefined : this.#seal.opened(prediction.unit);
    this.#options.onLabel({ ...record, prediction: { ...prediction, unit } });
  }

  #changed(event: QualityEvent): void {
    const { log, onChange } = this.#options;
    const { metric, drop, reference } = event.data;
    const fields = { model: event.subject, metric, drop, reference };
    if (event.type === 'io.sluice.quality.degraded') log.warn('quality.degraded', fields);
    else log.info('quality.recovered', fields);
    onChange(event);
  }

  /**
   * @param body one label, or a list of them
   * @throws UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE
   */
  async take(
    model: string,
    { body, authorization }: { readonly body: unknown; readonly authorization: string },
  ): Promise<{ readonly results: readonly LabelAnswer[] }> {
    this.#labellers.check(authorization, model);
    const labels = labelsIn(body);
    this.#spend(labels.length);
    if (!this.#options.hasModel(model)) {
      const results = labels.map(({ requestId, item }) => ({
        request_id: requestId,
        item_index: item,
        status: 'unknown_model' as const,
      }));
      return { results };
    }
    await this.#opened;
    return { results: await this.#book.take(model, labels) };
  }

  #spend(labels: number): void {
    const { now, config } = this.#options;
    const rate = config.labels.max_per_second;
    const at = now();
    // A batch is never larger than what may come at once.
    const most = Math.max(burstS * rate, 1000);
    this.#tokens = Math.min(most, this.#tokens + ((at - this.#filledAt) / 1000) * rate);
    this.#filledAt = at;
    if (this.#tokens < labels) {
      this.#refused += labels;
      const retryAfterMs = Math.ceil(((labels - this.#tokens) / rate) * 1000);
      throw new GatewayError('RESOURCE_EXHAUSTED', `feedback: more than ${rate} labels a second`, {
        reason: 'quota',
        retryAfterMs,
      });
    }
    this.#tokens -= labels;
  }

  /** By version, and by variant of it. */
  #served(): ReadonlyMap<string, number> {
    const served = new Map<string, number>();
    for (const [key, count] of this.#book.served()) {
      const { model, version, variant } = servedOf(key);
      for (const name of variant === '' ? [''] : ['', variant]) {
        const place = placeKey({ model, version, variant: name });
        served.set(place, count + (served.get(place) ?? 0));
      }
    }
    return served;
  }

  families(): Family[] {
    const results = Object.entries(this.#book.counts).map(([result, value]) => ({ labels: { result }, value }));
    results.push({ labels: { result: 'unmatched' }, value: this.#book.unmatched });
    const damaged = Object.entries(this.#book.damaged).map(([file, value]) => ({ labels: { file }, value }));
    results.push({ labels: { result: 'refused' }, value: this.#refused });
    return [
      ...this.quality.families(),
      { name: 'sluice_labels_total', help: 'Labels by what became of them.', type: 'counter', series: results },
      {
        name: 'sluice_labels_damaged_total',
        help: 'Files of predictions and labels in which something is no record; those before it count.',
        type: 'counter',
        series: damaged,
      },
      gauge('sluice_labels_waiting', 'Labels that wait for their prediction.', [
        { labels: {}, value: this.#book.earlySize },
      ]),
    ];
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#opened.catch(() => {});
    await this.#book.close();
  }
}

/** @throws FAILED_PRECONDITION when no labels are taken */
export function labelsOf(room: LabelRoom | undefined): LabelRoom {
  if (room !== undefined) return room;
  throw new GatewayError(
    'FAILED_PRECONDITION',
    'no labels are taken: set prediction_log.enabled to true, and leave labels.enabled so',
  );
}
