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
import type { InferenceReply, InferenceRequest } from '../core/inference.js';
import { type FeatureSpec, nameOf, type Version } from '../core/model.js';
import type { Family } from '../core/series.js';
import type { DataType, Tensor } from '../core/tensor.js';
import { statusOf } from '../http/status.js';
import { hashKeyOf } from '../predictions/hash-key.js';
import { PredictionLog } from '../predictions/prediction-log.js';
import type { Feature, FeatureType, Subject } from '../predictions/subject.js';
import { heldInput, sizeOfAll } from '../shadow/held.js';
import type { JoinTerms } from './join-tap.js';
import { meaningOf } from './meaning.js';
import { type Prediction, predictionOf } from './prediction.js';

export interface PredictionsOptions {
  readonly config: Config['prediction_log'];
  readonly drift: Config['drift'];
  readonly labels: Config['labels'];
  readonly gatewayId: string;
  /** Never used before under this id. */
  readonly incarnation: number;
  readonly now: () => number;
  readonly epochMs: () => number;
  readonly onLost: (error: Error) => void;
  /** Closed minutes, to be kept by control; "kept" says when they are. */
  readonly onSketches: (closed: readonly ClosedSketch[]) => void;
}

/** A request on its way, for the log. */
export interface Recorded {
  end(result: InferenceReply | GatewayError): void;
}

export class Predictions {
  readonly #options: PredictionsOptions;
  readonly #log: PredictionLog;
  readonly #subjects = new WeakMap<Version, Subject>();

  private constructor(options: PredictionsOptions, log: PredictionLog) {
    this.#options = options;
    this.#log = log;
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

  begin(request: InferenceRequest): Recorded {
    const inputs = this.#holdsInputs(request.version) ? request.inputs.map(heldInput) : undefined;
    const inputBytes = sizeOfAll(request.inputs);
    return { end: (result) => this.#append(request, { inputs, inputBytes }, result) };
  }

  /** Only inputs that are kept or looked at are held over the run. */
  #holdsInputs(version: Version): boolean {
    const { config, drift } = this.#options;
    return config.sample > 0 || (drift.enabled && this.#subjectOf(version).record.features.length > 0);
  }

  #subjectOf(version: Version): Subject {
    return this.#subjects.get(version) ?? this.#learn(version);
  }

  #append(
    request: InferenceRequest,
    { inputs, inputBytes }: { readonly inputs: readonly Tensor[] | undefined; readonly inputBytes: number },
    result: InferenceReply | GatewayError,
  ): void {
    const { now, epochMs } = this.#options;
    const { version, assignment } = request;
    const latencyMs = now() - request.receivedAt;
    const error = result instanceof GatewayError ? result : undefined;
    const reply = error === undefined ? (result as InferenceReply) : undefined;
    const told: Prediction | undefined = reply && request.rows <= 1 ? predictionOf(reply.outputs, version) : undefined;
    this.#log.append({
      subject: this.#subjectOf(version),
      role: assignment?.reason === 'fallback' ? 'fallback' : 'primary',
      requestId: request.id,
      clientRequestId: undefined,
      traceId: request.trace?.traceId,
      parentRequestId: undefined,
      tsUs: Math.round((epochMs() - latencyMs) * 1000),
      latencyUs: Math.round(latencyMs * 1000),
      queueUs: Math.round((reply?.timing.queueMs ?? 0) * 1000),
      upstreamUs: Math.round((reply?.timing.inferMs ?? 0) * 1000),
      batchSize: reply?.timing.batchRows ?? 0,
      items: Math.max(1, request.rows),
      assignment,
      status: error === undefined ? 200 : statusOf[error.code],
      errorCode: error?.code,
      attempt: 1,
      isCacheHit: reply?.cache === 'hit',
      prediction: told?.label,
      score: told?.score,
      inputBytes,
      outputBytes: reply === undefined ? 0 : sizeOfAll(reply.outputs),
      contentType: undefined,
      inputs,
      outputs: reply?.outputs,
    });
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
      redact: config.redact[version.id.model] ?? [],
      rows: config.rows,
      sample: config.sample,
      // A batch's items are told apart by its outputs.
      isTapped: (drift.enabled && features.length > 0) || (labels.enabled && version.semantics !== undefined),
    });
    this.#subjects.set(version, subject);
    if (labels.enabled && !subject.hidesPrediction) this.#log.tellTap(joinTermsOf(subject.record.id, version));
    return subject;
  }

  /** Control has them. */
  kept(kept: SketchesKept): void {
    this.#log.tellTap(kept);
  }

  families(): Family[] {
    const { logged, sampledOut, dropped, bytes, chunksInUse, isLost } = this.#log.stats();
    const counter = (name: string, help: string, values: readonly (readonly [Record<string, string>, number])[]) => ({
      name,
      help,
      type: 'counter' as const,
      series: values.map(([labels, value]) => ({ labels, value })),
    });
    return [
      counter('sluice_prediction_log_rows_total', 'Requests by what the prediction log made of them.', [
        [{ result: 'logged' }, logged],
        [{ result: 'sampled_out' }, sampledOut],
      ]),
      counter(
        'sluice_prediction_log_dropped_total',
        'Requests that the prediction log had to leave out, by reason.',
        Object.entries(dropped).map(([reason, count]) => [{ reason }, count] as const),
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
