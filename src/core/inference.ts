/**
 * The one shape under which a part and the whole look the same: `Infer`.
 *
 * A version, the router over all versions and the gateway behind its front-ends are each an `Infer`, and so is what a test
 * puts in their place. `DataPlane` is all that a front-end may ask for.
 *
 * Times are milliseconds of one monotonic clock per process, given as `now`.
 *
 * Must not know queues, protocols' bytes or how a version is opened.
 */
import type { Code, GatewayError } from './errors.js';
import type { Version, VersionId } from './model.js';
import type { RelayCall } from './relay.js';
import type { Assignment } from './route.js';
import type { Tensor } from './tensor.js';
import type { Trace } from './trace.js';

export type Protocol = 'http' | 'grpc';

export type Parameter = string | number | bigint | boolean;

/** Whoever keeps a request until it is answered. */
export interface Holder {
  /** Its caller has gone. */
  onCancel(): void;
}

/**
 * Whether anybody still waits for the answer. A front-end calls `cancel` when its connection closes; whoever holds the
 * request in a queue is its `holder`. Not an AbortSignal: one with a listener costs 6 µs, this 0.03 (measured). Nor a
 * closure: V8 kept what one had captured alive long after the answer, which made collections five times as long.
 */
export class Cancellation {
  isCancelled = false;
  holder: Holder | undefined = undefined;

  cancel(): void {
    if (this.isCancelled) return;
    this.isCancelled = true;
    this.holder?.onCancel();
  }
}

export interface InferenceRequest {
  /** The effective request id: joins reply, log line, span and row. */
  readonly id: string;
  /** The name that the caller asked for. */
  readonly model: string;
  /** The version found for it, against which the inputs were checked. */
  readonly version: Version;
  /** Inputs in the model's own order. */
  readonly inputs: readonly Tensor[];
  /** Rows added to a batch. */
  readonly rows: number;
  /** Outputs asked for; undefined = all. */
  readonly outputs: readonly string[] | undefined;
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** 0 = the model's default, 1 = highest. */
  readonly priority: number;
  /** Queue timeout asked for, in milliseconds; 0 = the model's. */
  readonly timeoutMs: number;
  readonly receivedAt: number;
  /** Infinity = none. */
  readonly deadlineAt: number;
  readonly cancellation: Cancellation;
  readonly protocol: Protocol;
  /** What the model's route decided; undefined when it has none. */
  readonly assignment?: Assignment | undefined;
  /** Whose it is; undefined when nobody asks. */
  readonly tenant?: string | undefined;
  /** Undefined when it is part of no trace. */
  readonly trace?: Trace | undefined;
}

/** Where the time went, in milliseconds; for a request in a batch each part is the whole time of its batch. */
export interface Timing {
  readonly queueMs: number;
  readonly inputMs: number;
  readonly inferMs: number;
  readonly outputMs: number;
  readonly batchRows: number;
}

export interface InferenceReply {
  readonly version: VersionId;
  /** Outputs asked for, in the model's order. */
  readonly outputs: readonly Tensor[];
  readonly timing: Timing;
  /** Of a model with a response cache: whether the answer came from it. */
  readonly cache?: 'hit' | 'miss';
}

export type Infer = (request: InferenceRequest) => Promise<InferenceReply>;

/** An inference that ended before `infer` could be called: it has its one event too. */
export interface Refusal {
  readonly model: string;
  readonly protocol: Protocol;
  readonly receivedAt: number;
  readonly error: GatewayError;
  /** The effective request id. */
  readonly id?: string;
  readonly trace?: Trace | undefined;
}

export interface ServerState {
  readonly isReady: boolean;
  /** Why not ready. */
  readonly reason: string;
  readonly isDegraded: boolean;
  readonly isDraining: boolean;
}

export interface ServerMetadata {
  readonly name: string;
  readonly version: string;
  readonly extensions: readonly string[];
}

/** Which version is asked for: at most one of the two. */
export interface Selector {
  readonly version?: string | undefined;
  readonly label?: string | undefined;
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly { readonly name: string; readonly datatype: string; readonly shape: readonly number[] }[];
  readonly outputs: readonly { readonly name: string; readonly datatype: string; readonly shape: readonly number[] }[];
  readonly properties?: Readonly<Record<string, string>>;
}

export interface ModelReadiness {
  readonly isReady: boolean;
  readonly reason: string;
}

/** What a route may read of a call. It is asked only for what the route needs. */
export interface CallTerms {
  readonly requestId: string;
  /** Variant asked for; empty = none. */
  readonly variant: string;
  /** @param name in lower case */
  header(name: string): string | undefined;
  /** One that V2 gives no meaning. */
  parameter(name: string): Parameter | undefined;
}

/** A version that a route chose, and why. */
export interface Assigned {
  readonly version: Version | Promise<Version>;
  readonly assignment: Assignment;
}

/** All that a front-end may ask for. Every method throws GatewayError or answers. */
export interface DataPlane {
  readonly now: () => number;
  readonly server: ServerMetadata;
  state(): ServerState;
  /** Names of models with a READY version. */
  models(): readonly string[];
  /**
   * The version that would answer. A promise only when it must be opened first (load policy lazy).
   * @throws NOT_FOUND, UNAVAILABLE, INVALID_ARGUMENT with the wire texts of protocol §9.3
   */
  find(model: string, selector: Selector): Version | Promise<Version>;
  /**
   * What the model's route decides for this call; undefined when it has no route, and `find` says which version answers.
   * Before the request's parameters are known `find` can say whether anybody answers.
   * @throws what `find` throws, and INVALID_ARGUMENT for a variant that may not be asked for
   */
  assign(model: string, selector: Selector, terms: CallTerms): Assigned | undefined;
  /** @throws NOT_FOUND for an unknown model or version */
  readiness(model: string, selector: Selector): ModelReadiness;
  metadata(model: string, selector: Selector): Promise<ModelMetadata>;
  readonly infer: Infer;
  refuse(refusal: Refusal): void;
  /** Whose call it is. Absent when tenants are not told apart. */
  readonly tenant?: ((terms: CallTerms) => string) | undefined;
  /**
   * A call's place in a trace; undefined when it has none. Asked once the request's id is known. Absent when nobody wants to
   * know: then no header is read for it.
   */
  readonly trace?: ((model: string, terms: CallTerms, receivedAt: number) => Trace | undefined) | undefined;
  /** Passes a call that concerns the whole server up to the control process. */
  relay(call: RelayCall): Promise<unknown>;
}

export type OutcomeCode = 'OK' | Code;
