/**
 * A loaded version: its queue, its lanes, and the way from requests to one run and back.
 *
 *   request ─▶ batcher ─▶ concat rows ─▶ lane ─▶ split rows ─▶ each caller's reply
 *
 * When a batch fails its members run again alone, once, so that a bad row fails alone. Rows are counted on the way out: a
 * model that gives back another number of rows than it got must not be split.
 *
 * Must not know threads, routes or protocols.
 */
import { GatewayError } from '../core/errors.js';
import type { Observe } from '../core/events.js';
import type { InferenceReply, InferenceRequest, Timing } from '../core/inference.js';
import {
  type ArtifactId,
  type BatchPolicy,
  type FeatureSpec,
  type ModelConfig,
  nameOf,
  type Semantics,
  type Signature,
  type Version,
  type VersionId,
  type VersionSpec,
} from '../core/model.js';
import { normaliseBooleans, rowsOf, type Tensor } from '../core/tensor.js';
import { Batcher, type LaneKind } from './batcher.js';
import type { Cores } from './cores.js';
import type { Entry } from './entry.js';
import { gather, ownCopy } from './gather.js';
import { type Lanes, openLanes } from './lanes.js';
import type { Marks } from './marks.js';
import { Turns } from './turns.js';

export interface EngineOptions {
  readonly cores: Cores;
  readonly observe: Observe;
  readonly now: () => number;
  readonly inlineRunUsMax: number;
  readonly hardRunTimeoutMs: number;
  readonly priorityAgingMs: number;
  readonly marks: Marks;
  readonly onOverdue: (id: VersionId) => void;
  /** Opening the version starts its threads. */
  readonly onStarting?: () => void;
  /** Of a tenant in a queue; undefined = there are no tenants. */
  readonly weightOf?: ((tenant: string) => number) | undefined;
}

/**
 * Opens a version: threads started, sessions open, every batch size warm.
 * @throws FAILED_PRECONDITION when the model cannot be opened or is not what admission saw
 */
export async function openVersion(spec: VersionSpec, options: EngineOptions): Promise<OpenVersion> {
  let gaveUp = () => {};
  const isStuck = new Promise<void>((resolve) => {
    gaveUp = resolve;
  });
  const lanes = await openLanes({
    name: nameOf(spec.id),
    file: spec.file,
    session: spec.session,
    threads: spec.instances,
    warmRows: warmRowsOf(spec.batch),
    runTimes: spec.runTimes,
    inlineRunUsMax: options.inlineRunUsMax,
    mayRunInline: spec.isBounded && spec.rank === 'primary' && hasFixedRows(spec.signature, spec.batch),
    hardRunTimeoutMs: options.hardRunTimeoutMs,
    marks: options.marks,
    onOverdue: () => {
      if (spec.role === 'shadow') gaveUp();
      options.onOverdue(spec.id);
    },
    onStarting: () => options.onStarting?.(),
    isBackground: spec.rank === 'background',
  });
  const difference = differenceOf(spec.signature, lanes);
  if (difference !== undefined) {
    await lanes.close();
    throw new GatewayError('FAILED_PRECONDITION', difference);
  }
  return new OpenVersion(spec, { lanes, isStuck }, options);
}

/** Powers of two, the preferred sizes and the largest. */
export function warmRowsOf({ rowsMax, preferredRows }: BatchPolicy): number[] {
  if (rowsMax === 0) return [0];
  const sizes = new Set([rowsMax, ...preferredRows.filter((rows) => rows > 0 && rows <= rowsMax)]);
  for (let rows = 1; rows < rowsMax; rows *= 2) sizes.add(rows);
  return [...sizes].sort((a, b) => a - b);
}

/** A row always has the same size, so its run time was measured while warming. */
function hasFixedRows({ inputs }: Signature, { rowsMax }: BatchPolicy): boolean {
  return inputs.every(
    ({ datatype, shape }) =>
      datatype !== 'BYTES' && shape.every((dimension, axis) => dimension >= 0 || (axis === 0 && rowsMax > 0)),
  );
}

function differenceOf(signature: Signature, lanes: Lanes): string | undefined {
  for (const kind of ['inputs', 'outputs'] as const) {
    for (const expected of signature[kind]) {
      const found = lanes[kind].find(({ name }) => name === expected.name);
      if (found?.datatype !== expected.datatype) {
        return `${kind.slice(0, -1)} '${expected.name}' is ${found?.datatype ?? 'missing'}, expected ${expected.datatype}`;
      }
    }
  }
  return undefined;
}

export class OpenVersion implements Version {
  readonly id: VersionId;
  readonly signature: Signature;
  readonly batch: BatchPolicy;
  readonly config: ModelConfig;
  readonly labels: Readonly<Record<string, readonly string[]>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly features: readonly FeatureSpec[];
  readonly semantics: Semantics | undefined;
  readonly artifact: ArtifactId | undefined;
  readonly infer: (request: InferenceRequest) => Promise<InferenceReply>;
  /** Axes that vary besides the batch, by input; none = all requests are of one shape. */
  readonly #hasFreeAxes: boolean;
  readonly #lanes: Lanes;
  readonly #batcher: Batcher;
  readonly #options: EngineOptions;
  readonly #isStuck: Promise<void>;
  #isClosed = false;

  /** @param isStuck resolves when a shadow's run is taken for one that never ends */
  constructor(
    spec: VersionSpec,
    { lanes, isStuck }: { readonly lanes: Lanes; readonly isStuck: Promise<void> },
    options: EngineOptions,
  ) {
    this.id = spec.id;
    this.signature = spec.signature;
    this.batch = spec.batch;
    this.config = spec.config;
    this.labels = spec.labels;
    this.properties = spec.properties;
    this.features = spec.features ?? [];
    this.semantics = spec.semantics;
    this.artifact = spec.artifact;
    this.#lanes = lanes;
    this.#isStuck = isStuck;
    this.#options = options;
    this.#hasFreeAxes = spec.signature.inputs.some(({ shape }) =>
      shape.some((dimension, axis) => axis > 0 && dimension < 0),
    );
    this.#batcher = new Batcher({
      policy: spec.batch,
      rank: spec.rank,
      cores: options.cores,
      threads: spec.instances,
      now: options.now,
      inlineRowsMax: lanes.inlineRowsMax,
      priorityAgingMs: options.priorityAgingMs,
      turns: options.weightOf && new Turns(options.weightOf),
      run: (batch, lane) => this.#run(batch, lane),
    });
    this.infer = (request) => this.#infer(request);
  }

  get depth(): number {
    return this.#batcher.depth;
  }

  get inFlight(): number {
    return this.#batcher.inFlight;
  }

  /** Threads that wait for work or do it. */
  get threads(): number {
    return this.#lanes.threads;
  }

  /** Threads that run something now. */
  get busy(): number {
    return this.#lanes.busy;
  }

  /**
   * Finishes what it has, then frees threads and memory. The caller has made sure that nothing new is sent here. A shadow's
   * run that never ends is left behind with its thread: only the end of the process ends it.
   */
  async drain(): Promise<void> {
    const isIdle = await Promise.race([this.#batcher.idle().then(() => true), this.#isStuck.then(() => false)]);
    this.#isClosed = true;
    if (isIdle) await this.#lanes.close();
  }

  #infer(request: InferenceRequest): Promise<InferenceReply> {
    if (this.#isClosed) {
      const { model, version } = this.id;
      const text = `Request for unknown model: '${model}' version ${version} is not at ready state`;
      return Promise.reject(new GatewayError('UNAVAILABLE', text, { retryAfterMs: 1000 }));
    }
    return this.#batcher.infer(request, this.#bucketOf(request));
  }

  /** Requests of one bucket have rows of one shape; undefined = runs alone. */
  #bucketOf({ inputs, rows }: InferenceRequest): string | undefined {
    if (this.batch.rowsMax === 0 || rows > this.batch.rowsMax || inputs.length === 0) return undefined;
    for (const { data } of inputs) if (data.length === 0) return undefined;
    if (!this.#hasFreeAxes) return '';
    let key = '';
    for (const { shape } of inputs) key += `${shape.slice(1).join(',')};`;
    return key;
  }

  #run(batch: readonly Entry[], lane: LaneKind): void | Promise<void> {
    const startedAt = this.#options.now();
    if (lane === 'thread') return this.#runOnThread(batch, startedAt);
    const inputs = gather(batch);
    const gatheredAt = this.#options.now();
    try {
      const outputs = this.#lanes.runInline(inputs);
      if (!(outputs instanceof Promise)) {
        return this.#finish(batch, lane, { outputs, startedAt, gatheredAt, inferMs: this.#options.now() - gatheredAt });
      }
      return outputs.then(
        (late) =>
          this.#finish(batch, lane, {
            outputs: late,
            startedAt,
            gatheredAt,
            inferMs: this.#options.now() - gatheredAt,
          }),
        (error) => this.#fail(batch, lane, startedAt, error),
      );
    } catch (error) {
      return this.#fail(batch, lane, startedAt, error);
    }
  }

  async #runOnThread(batch: readonly Entry[], startedAt: number): Promise<void> {
    try {
      const inputs = gather(batch).map(ownCopy);
      const gatheredAt = this.#options.now();
      const { outputs, inferMs } = await this.#lanes.runOnThread(inputs);
      await this.#finish(batch, 'thread', { outputs, startedAt, gatheredAt, inferMs });
    } catch (error) {
      await this.#fail(batch, 'thread', startedAt, error);
    }
  }

  /** Gives every caller its rows. */
  #finish(batch: readonly Entry[], lane: LaneKind, run: Run): void | Promise<void> {
    const { outputs } = run;
    const rows = rowsIn(batch);
    for (const output of outputs) {
      if (output.datatype === 'BOOL') normaliseBooleans(output.data as Uint8Array);
      if (batch.length > 1 && output.shape[0] !== rows) {
        const text = `output '${output.name}' of model '${this.id.model}' has ${output.shape[0]} rows for a batch of ${rows}`;
        return this.#fail(batch, lane, run.startedAt, new GatewayError('INTERNAL', text));
      }
    }
    const inputMs = run.gatheredAt - run.startedAt;
    const { inferMs } = run;
    const outputMs = Math.max(0, this.#options.now() - run.gatheredAt - inferMs);
    let from = 0;
    for (const entry of batch) {
      if (!entry.isDone) {
        const timing: Timing = { queueMs: run.startedAt - entry.queuedAt, inputMs, inferMs, outputMs, batchRows: rows };
        const own = batch.length === 1 ? outputs : outputs.map((output) => rowsOf(output, from, entry.rows));
        entry.answer({ version: this.id, outputs: asked(own, entry.request.outputs), timing });
      }
      from += entry.rows;
    }
    this.#observeBatch(batch, lane, { inputMs, inferMs, outputMs, isFailed: false });
  }

  /** A batch of one fails with the error; the members of a larger one run again alone. */
  async #fail(batch: readonly Entry[], lane: LaneKind, startedAt: number, error: unknown): Promise<void> {
    this.#observeBatch(batch, lane, {
      inputMs: 0,
      inferMs: this.#options.now() - startedAt,
      outputMs: 0,
      isFailed: true,
    });
    if (batch.length > 1) {
      for (const entry of batch) if (!entry.isDone) await this.#run([entry], lane);
      return;
    }
    batch[0]!.refuse(GatewayError.from(error));
  }

  #observeBatch(
    batch: readonly Entry[],
    lane: LaneKind,
    run: { readonly inputMs: number; readonly inferMs: number; readonly outputMs: number; readonly isFailed: boolean },
  ): void {
    const { inputMs, inferMs, outputMs, isFailed } = run;
    const rows = Math.max(1, rowsIn(batch));
    this.#options.observe({
      kind: 'batch',
      version: this.id,
      lane,
      rows,
      rowsMax: this.batch.rowsMax,
      requests: batch.length,
      inputMs,
      inferMs,
      outputMs,
      isFailed,
    });
  }
}

interface Run {
  readonly outputs: readonly Tensor[];
  readonly startedAt: number;
  readonly gatheredAt: number;
  readonly inferMs: number;
}

function rowsIn(batch: readonly Entry[]): number {
  let rows = 0;
  for (const entry of batch) rows += entry.rows;
  return rows;
}

/** The outputs asked for, in the model's order. */
function asked(outputs: readonly Tensor[], names: readonly string[] | undefined): readonly Tensor[] {
  return names === undefined ? outputs : outputs.filter(({ name }) => names.includes(name));
}
