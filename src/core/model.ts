/**
 * What a model version is to everyone outside the engine, and what may be sent to it.
 *
 * `checkInputs` is the one place that decides whether names, datatypes and shapes fit; it looks at headers only, so that
 * nothing has been allocated or converted when it refuses. Its texts are wire constants (clients compare them).
 *
 * Must not know protocols, the runtime or where versions come from.
 */
import { invalid } from './errors.js';
import type { Infer } from './inference.js';
import { isDataType, shapeText, type TensorSpec } from './tensor.js';
import type { TensorHead } from './tensor-head.js';

export interface VersionId {
  readonly model: string;
  /** A decimal integer as text; versions are ordered as numbers. */
  readonly version: string;
}

export interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** How long, how many and what then: the waiting rules of one priority level. */
export interface QueuePolicy {
  /** Requests that may wait in one process; one more is refused. */
  readonly sizeMax: number;
  /** Longest time in the queue in milliseconds; 0 = no limit. */
  readonly timeoutMs: number;
  /** At the timeout: answer 504, or move behind everybody else. */
  readonly timeoutAction: 'REJECT' | 'DELAY';
  /** A request may ask for a shorter timeout. */
  readonly allowTimeoutOverride: boolean;
}

export interface BatchPolicy {
  /** Rows merged into one run at most; 0 = the model has no batch dimension and runs one request at a time. */
  readonly rowsMax: number;
  /** `rowsMax` was written in a configuration: a larger request is refused instead of running alone. */
  readonly isContract: boolean;
  readonly preferredRows: readonly number[];
  /** Longest time in microseconds that a request may wait for others to join; 0 = go at once. */
  readonly delayUs: number;
  readonly queue: QueuePolicy;
  /** 0 = one level only. 1 is the highest. */
  readonly priorityLevels: number;
  readonly defaultPriority: number;
  /** Policies of single levels; a level that is missing has `queue`. */
  readonly levels: Readonly<Record<number, QueuePolicy>>;
}

/** Knobs of the runtime's session. */
export interface SessionPolicy {
  readonly intraOpThreads: number;
  readonly interOpThreads: number;
  readonly executionMode: 'sequential' | 'parallel';
  readonly optimization: 'disabled' | 'basic' | 'extended' | 'layout' | 'all';
  readonly cpuMemArena: boolean;
  readonly memPattern: boolean;
}

/** Which bytes a version is, and where they came from. */
export interface ArtifactId {
  readonly source: string;
  readonly revision: string;
  /** The version digest: lower-case hex over all its files. */
  readonly sha256: string;
}

/** One declared column of an input: what drift is measured of, and a column of the prediction log. */
export interface FeatureSpec {
  readonly name: string;
  readonly input: string;
  /** Which element of a row. */
  readonly column: number;
  readonly kind: 'numeric' | 'categorical' | 'id' | 'ignore';
  readonly weight: number;
  readonly isCritical: boolean;
}

/** What the numbers of the outputs mean, as far as the manifest says so. */
export interface Semantics {
  readonly task: 'binary' | 'multiclass' | 'regression' | 'other' | undefined;
  /** Where the score is that the threshold is compared with. */
  readonly score: { readonly output: string; readonly column: number } | undefined;
  readonly threshold: number;
}

/** How long one run of so many rows takes; rows 0 = a model without a batch dimension. */
export interface RunTime {
  readonly rows: number;
  readonly runUs: number;
}

/** Everything a gateway process needs to open a version. `signature`, `batch.rowsMax` and `runTimes` come from admission. */
export interface VersionSpec {
  readonly id: VersionId;
  /** Where model.onnx lies. */
  readonly directory: string;
  readonly file: string;
  readonly signature: Signature;
  readonly batch: BatchPolicy;
  readonly session: SessionPolicy;
  /** Threads that run this version in each process. */
  readonly instances: number;
  readonly rank: 'primary' | 'background';
  /** One more instance of a version, which only copies of requests reach. */
  readonly role?: 'shadow';
  /** The graph has no loop, so a run ends in a time that its shapes foretell. */
  readonly isBounded: boolean;
  /** What admission measured, ascending by rows; empty = nothing. */
  readonly runTimes: readonly RunTime[];
  readonly config: ModelConfig;
  /** Class labels by output name, for the classification extension. */
  readonly labels: Readonly<Record<string, readonly string[]>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly features?: readonly FeatureSpec[];
  readonly semantics?: Semantics;
  /** File below `directory` with what its inputs were like when it was made. */
  readonly profile?: string;
  readonly artifact?: ArtifactId;
}

/** A loaded version. */
export interface Version {
  readonly id: VersionId;
  readonly signature: Signature;
  readonly batch: BatchPolicy;
  readonly config: ModelConfig;
  readonly labels: Readonly<Record<string, readonly string[]>>;
  readonly features?: readonly FeatureSpec[];
  readonly semantics?: Semantics | undefined;
  readonly artifact?: ArtifactId | undefined;
  readonly infer: Infer;
}

/** The V2 model configuration with the proto's field names; only what we fill (protocol §7.3). */
export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  readonly version_policy: Readonly<Record<string, unknown>>;
  readonly max_batch_size: number;
  readonly input: readonly Readonly<Record<string, unknown>>[];
  readonly output: readonly Readonly<Record<string, unknown>>[];
  readonly instance_group: readonly Readonly<Record<string, unknown>>[];
  readonly default_model_filename: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly model_warmup: readonly unknown[];
  readonly dynamic_batching?: Readonly<Record<string, unknown>>;
  readonly model_transaction_policy: Readonly<Record<string, unknown>>;
  readonly response_cache: Readonly<Record<string, unknown>>;
}

/** `model@version`: the key of maps and the name in logs. */
export function nameOf(id: VersionId): string {
  return `${id.model}@${id.version}`;
}

/** What an instance of a version is for. */
export interface InstanceId {
  readonly id: VersionId;
  /** Absent = it answers callers. */
  readonly role?: VersionSpec['role'];
}

/** `model@version`, and `model@version shadow` for the instance that only sees copies. */
export function instanceNameOf({ id, role }: InstanceId): string {
  return role === undefined ? nameOf(id) : `${nameOf(id)} ${role}`;
}

const modelName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const versionText = /^[1-9][0-9]{0,14}$/;
const labelText = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/;

/** The rule of model names (protocol §2.3). */
export function isModelName(name: string): boolean {
  return modelName.test(name) && !name.includes('..') && name !== 'stats';
}

export function isVersionText(text: string): boolean {
  return versionText.test(text);
}

/** The rule of aliases and labels. */
export function isLabel(text: string): boolean {
  return labelText.test(text) && !/^[vV]?[0-9]+$/.test(text);
}

/** What `checkInputs` reads of a version. */
export type Expectation = Pick<Version, 'id' | 'signature' | 'batch'>;

/**
 * Steps 7 to 11 of the validation order (protocol §10), as far as headers go.
 * @returns the rows that the request adds to a batch: its first dimension, or 1 for a model without one
 * @throws INVALID_ARGUMENT with the wire text of the first thing that is wrong
 */
export function checkInputs(
  version: Expectation,
  heads: readonly TensorHead[],
  requested: readonly string[] | undefined,
): number {
  const { model } = version.id;
  const { inputs } = version.signature;
  checkDuplicates(heads);
  if (requested !== undefined) checkRequested(version, requested);
  checkNames(model, inputs, heads);
  const rows = version.batch.rowsMax > 0 ? checkRows(version, heads) : 1;
  for (const spec of inputs) checkTensor(version, spec, heads.find((head) => head.name === spec.name)!);
  return rows;
}

function checkDuplicates(heads: readonly TensorHead[]): void {
  for (let i = 1; i < heads.length; i++) {
    for (let j = 0; j < i; j++) {
      if (heads[i]!.name === heads[j]!.name) throw invalid(`input '${heads[i]!.name}' already exists in request`);
    }
  }
}

function checkRequested(version: Expectation, requested: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of requested) {
    if (!version.signature.outputs.some((output) => output.name === name)) {
      throw invalid(`unexpected inference output '${name}' for model '${version.id.model}'`);
    }
    if (seen.has(name)) throw invalid(`output '${name}' already exists in request`);
    seen.add(name);
  }
}

function checkNames(model: string, specs: readonly TensorSpec[], heads: readonly TensorHead[]): void {
  if (heads.length !== specs.length) {
    const quoted = (names: readonly string[]) => names.map((name) => `'${name}'`).join(',');
    const missing = specs.filter((spec) => !heads.some((head) => head.name === spec.name)).map((spec) => spec.name);
    const count = `expected ${specs.length} inputs but got ${heads.length} inputs for model '${model}'.`;
    if (missing.length > 0) {
      throw invalid(
        `${count} Got input(s) [${quoted(heads.map((head) => head.name))}], but missing required input(s) [${quoted(missing)}]. Please provide all required input(s).`,
      );
    }
  }
  for (const head of heads) {
    if (!specs.some((spec) => spec.name === head.name)) {
      throw invalid(`unexpected inference input '${head.name}' for model '${model}'`);
    }
  }
}

function checkRows(version: Expectation, heads: readonly TensorHead[]): number {
  const { model } = version.id;
  let rows = 1;
  for (let i = 0; i < heads.length; i++) {
    const { name, shape } = heads[i]!;
    if (shape.length === 0)
      throw invalid(`input '${name}' has no shape but model requires batch dimension for '${model}'`);
    if (i === 0) rows = shape[0]!;
    else if (shape[0] !== rows) throw invalid(`input '${name}' batch size does not match other inputs for '${model}'`);
  }
  if (version.batch.isContract && rows > version.batch.rowsMax) {
    throw invalid(`inference request batch-size must be <= ${version.batch.rowsMax} for '${model}'`);
  }
  return rows;
}

function checkTensor(version: Expectation, spec: TensorSpec, head: TensorHead): void {
  const { model } = version.id;
  if (head.datatype !== spec.datatype) {
    if (!isDataType(head.datatype)) throw invalid(`invalid datatype for input ${head.name}`);
    throw invalid(
      `inference input '${head.name}' data-type is '${head.datatype}', but model '${model}' expects '${spec.datatype}'`,
    );
  }
  const fits =
    head.shape.length === spec.shape.length &&
    spec.shape.every((expected, axis) => expected === -1 || expected === head.shape[axis]);
  if (!fits) {
    throw invalid(
      `unexpected shape for input '${head.name}' for model '${model}'. Expected ${shapeText(spec.shape)}, got ${shapeText(head.shape)}.`,
    );
  }
}
