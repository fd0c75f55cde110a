/**
 * PART OF THE ROOT: what a gateway process tells the prediction log of every request that reached a version.
 *
 *   begin(request) ─ before the run: inputs that may be moved to a thread are kept ─▶ end(reply or error) ─▶ one row
 *
 * Nothing here waits or throws: the log drops what it has no room for, and counts it.
 *
 * Must not know how a row is written.
 */
import { resolve } from 'node:path';
import type { Config } from '../config/schema.js';
import type { ClosedSketch, SketchesKept } from '../core/closed-sketch.js';
import { GatewayError } from '../core/errors.js';
import type { InferenceRequest } from '../core/inference.js';
import { type FeatureSpec, nameOf, type Version, type VersionId } from '../core/model.js';
import { ownOf } from '../core/own.js';
import type { Family } from '../core/series.js';
import type { DataType } from '../core/tensor.js';
import { loopLagFamily } from '../observe/loop-lag.js';
import { hashKeyOf } from '../predictions/hash-key.js';
import { PredictionLog } from '../predictions/prediction-log.js';
import type { Feature, FeatureType, Subject } from '../predictions/subject.js';
import type { ShadowAnswer } from '../shadow/answer.js';
import type { JoinTerms } from './join-tap.js';
import { meaningOf } from './meaning.js';
import { type Ledger, Recording } from './recording.js';
import { shadowRow } from './shadow-row.js';

export interface PredictionsOptions {
  readonly config: Config['prediction_log'];
  readonly drift: Config['drift'];
  readonly labels: Config['labels'];
  readonly gatewayId: string;
  /** Never used before under this id. */
  readonly incarnation: number;
  readonly now: () => number;
  readonly epochMs: () => number;
  /** No rows of that version can be made; told once for each time that it is opened. */
  readonly onUnwritable: (id: VersionId, error: Error) => void;
  readonly onLost: (error: Error) => void;
  /** Closed minutes, to be kept by control; "kept" says when they are. */
  readonly onSketches: (closed: readonly ClosedSketch[]) => void;
}

export class Predictions {
  readonly #options: PredictionsOptions;
  readonly #log: PredictionLog;
  readonly #ledger: Ledger;
  /** Null where no row may be made. */
  readonly #subjects = new WeakMap<Version, Subject | null>();
  /** Requests, and copies of them, that no row may be made of. */
  #unwritable = 0;

  private constructor(options: PredictionsOptions, log: PredictionLog) {
    this.#options = options;
    this.#log = log;
    const { now, epochMs } = options;
    this.#ledger = { now, epochMs, append: (row) => log.append(row) };
  }

  static async open(options: PredictionsOptions): Promise<Predictions> {
    const { config, drift, gatewayId, incarnation, onLost, onSketches } = options;
    const log = await PredictionLog.open({
      directory: `${config.path}/segments`,
      gatewayId,
      incarnation,
      flushMs: config.flush_ms,
      chunksMax: config.max_chunks,
      shadowChunksMax: Math.ceil(config.max_chunks / 2),
      tensorBytesMax: config.max_tensor_bytes,
      segmentBytesMax: config.segment_bytes,
      segmentRowsMax: config.segment_rows,
      segmentAgeMsMax: config.segment_age_ms,
      room: {
        metadataFreeShareMin: config.metadata_free_share,
        freeShareMin: config.min_free_share,
        segmentsBytesMax: config.max_segments_bytes,
      },
      hashKey: hashKeyOf(config.path),
      ...((drift.enabled || options.labels.enabled) && { tapUrl: tapUrlOf(options) }),
      onTap: (closed) => onSketches(closed as readonly ClosedSketch[]),
      onLost,
    });
    return new Predictions(options, log);
  }

  /** @returns undefined when no row may be made of it */
  begin(request: InferenceRequest): Recording | undefined {
    const subject = this.#subjectOf(request.version);
    if (subject !== undefined) return new Recording(this.#ledger, request, subject, this.#holdsInputs(subject));
    this.#unwritable++;
    return undefined;
  }

  /** Only inputs that are kept or looked at are held over the run. */
  #holdsInputs(subject: Subject): boolean {
    const { config, drift } = this.#options;
    return config.sample > 0 || (drift.enabled && subject.hasFeatures);
  }

  /** @returns undefined for a version whose rules cannot be kept: nothing of it may be written, and no request may fail */
  #subjectOf(version: Version): Subject | undefined {
    let subject = this.#subjects.get(version);
    if (subject === undefined) {
      try {
        subject = this.#learn(version);
      } catch (error) {
        this.#options.onUnwritable(version.id, error as Error);
        subject = null;
      }
      this.#subjects.set(version, subject);
    }
    return subject ?? undefined;
  }

  /** A shadow's copy has ended: a row of its own. */
  shadowed(answer: ShadowAnswer): void {
    const { now, epochMs } = this.#options;
    const startedAtMs = epochMs() - (now() - answer.startedAt);
    const subject = this.#subjectOf(answer.version);
    if (subject === undefined) this.#unwritable++;
    else this.#log.append(shadowRow(answer, subject, startedAtMs));
  }

  #learn(version: Version): Subject {
    const { config, drift, labels } = this.#options;
    const features = featuresOf(version);
    const subject = this.#log.subject({
      model: version.id.model,
      version: version.id.version,
      artifactSha256: version.artifact?.sha256 ?? '',
      configHash: '',
      backend: 'onnxruntime',
      features,
      redact: ownOf(config.redact, version.id.model) ?? [],
      truncate: ownOf(config.truncate, version.id.model) ?? [],
      rows: config.rows,
      sample: config.sample,
      // A batch's items are told apart by its outputs.
      isTapped: (drift.enabled && features.length > 0) || (labels.enabled && version.semantics !== undefined),
    });
    if (labels.enabled && !subject.hidesPrediction) this.#log.tellTap(joinTermsOf(subject.record.id, version));
    return subject;
  }

  /** Control has them. */
  kept(kept: SketchesKept): void {
    this.#log.tellTap(kept);
  }

  families(): Family[] {
    const { logged, sampledOut, dropped, bytes, chunksInUse, isLost } = this.#log.stats();
    const { loopLag } = this.#log;
    const counter = (name: string, help: string, values: readonly (readonly [Record<string, string>, number])[]) => ({
      name,
      help,
      type: 'counter' as const,
      series: values.map(([labels, value]) => ({ labels, value })),
    });
    return [
      counter('sluice_prediction_log_events_total', 'Requests by what the prediction log made of them.', [
        [{ sink: 'log', result: 'logged' }, logged],
        [{ sink: 'log', result: 'sampled_out' }, sampledOut],
      ]),
      counter(
        'sluice_prediction_log_dropped_total',
        'Requests that the prediction log had to leave out, by reason.',
        Object.entries({ ...dropped, redaction_error: dropped.redaction_error + this.#unwritable }).map(
          ([reason, count]) => [{ sink: 'log', reason }, count] as const,
        ),
      ),
      counter('sluice_prediction_log_bytes_total', 'Bytes written to segments of the prediction log.', [[{}, bytes]]),
      {
        name: 'sluice_prediction_log_chunks',
        help: 'Buffers of the prediction log that wait to be written.',
        type: 'gauge',
        series: [{ labels: {}, value: chunksInUse }],
      },
      {
        name: 'sluice_prediction_log_lost',
        help: 'Processes whose writer of the prediction log ended by itself.',
        type: 'gauge',
        series: [{ labels: {}, value: isLost ? 1 : 0 }],
      },
      ...(loopLag === undefined ? [] : [loopLagFamily(loopLag)]),
    ];
  }

  async close(): Promise<void> {
    await this.#log.close();
  }
}

function joinTermsOf(subject: number, version: Version): JoinTerms {
  const { labels, semantics } = version;
  return { join: 1, subject, meaning: meaningOf(version), labels, semantics };
}

/** A module of its own in the observer thread, which is told by its URL what it needs to know. */
function tapUrlOf({ config, drift, labels, gatewayId, incarnation }: PredictionsOptions): string {
  const url = new URL('./tap.js', import.meta.url);
  if (drift.enabled) {
    url.searchParams.set('profiles', resolve(config.path, 'profiles'));
    url.searchParams.set('minute_ms', String(drift.minute_ms));
  }
  if (labels.enabled) {
    url.searchParams.set('join', resolve(config.path, 'join'));
    url.searchParams.set('join_name', `${gatewayId}-${incarnation}`);
    url.searchParams.set('join_free_share', String(config.min_free_share));
    url.searchParams.set('join_file_bytes', String(labels.file_bytes));
  }
  return url.href;
}

/** Declared features of inputs that are there; what is to be ignored has no column. */
function featuresOf({ id, features = [], signature }: Version): Feature[] {
  return features.flatMap((feature: FeatureSpec): Feature[] => {
    const input = signature.inputs.find(({ name }) => name === feature.input);
    if (feature.kind === 'ignore') return [];
    if (input === undefined) throw new GatewayError('INTERNAL', `${nameOf(id)}: no input '${feature.input}'`);
    return [{ name: feature.name, input: feature.input, index: feature.column, type: columnTypeOf(input.datatype) }];
  });
}

function columnTypeOf(datatype: DataType): FeatureType {
  if (datatype === 'BYTES') return 'VARCHAR';
  if (datatype === 'BOOL') return 'BOOLEAN';
  return datatype.startsWith('FP') || datatype === 'BF16' ? 'DOUBLE' : 'BIGINT';
}
