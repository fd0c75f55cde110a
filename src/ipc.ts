/**
 * What the control process and a gateway process say to each other: two closed unions over the process channel.
 *
 *   control ─ ToGateway ─▶ gateway      configure, open, drain, route, listen, ping, report, repeat, answer, settings, stop
 *   control ◀─ FromGateway ─ gateway    started, opened, drained, routed, listening, pong, reported, repeated, ask, overdue, failed
 *
 * Messages are structured clones, so typed arrays and bigint travel as they are. A channel that is gone swallows what is
 * sent: the other end's death is noticed by its exit, not here.
 *
 * Must not know what is done with a message.
 */
import type { ArmTake } from './core/arm-counts.js';
import type { ClosedSketch, SketchesKept } from './core/closed-sketch.js';
import type { Code, RejectReason } from './core/errors.js';
import { GatewayError } from './core/errors.js';
import type { InstanceId, VersionId, VersionSpec } from './core/model.js';
import type { PackedFamily } from './core/packed-families.js';
import type { PackedStatistics } from './core/packed-statistics.js';
import type { RelayCall } from './core/relay.js';
import type { RouteTable } from './core/route.js';
import type { ShadowReport } from './core/shadow-report.js';
import type { Tensor } from './core/tensor.js';
import type { TokenRules } from './core/token-rules.js';
import type { TracePlan } from './core/trace.js';
import type { LogManner } from './log.js';

/** Settings that may change while serving. */
export interface LiveSettings extends LogManner {
  /** Absent as long as nobody changed it: then the configuration says who is traced. */
  readonly trace?: TracePlan;
}

/** A GatewayError as plain values. */
export interface Failure {
  readonly code: Code;
  readonly message: string;
  readonly reason: RejectReason | undefined;
  readonly retryAfterMs: number | undefined;
}

/** Inputs that a version is to be run on. */
export interface Repeat {
  readonly id: VersionId;
  readonly inputs: readonly Tensor[];
  readonly timeoutMs: number;
}

export interface Repeated {
  readonly outputs: readonly Tensor[];
  /** Of the version that ran; empty when its bytes have no digest. */
  readonly sha256: string;
}

export type ToGateway =
  | {
      readonly kind: 'configure';
      readonly config: unknown;
      readonly process: number;
      readonly package: string;
      /** Where to say what runs. */
      readonly marks: string;
    }
  | { readonly kind: 'open'; readonly spec: VersionSpec }
  | ({ readonly kind: 'drain' } & InstanceId)
  | { readonly kind: 'route'; readonly table: RouteTable }
  | { readonly kind: 'listen' }
  | { readonly kind: 'ping'; readonly seq: number }
  /** What has been found besides counts, which is too much for every beat. */
  | { readonly kind: 'report' }
  /** One request once more, by the version alone. */
  | { readonly kind: 'repeat'; readonly seq: number; readonly repeat: Repeat }
  | { readonly kind: 'sketchesKept'; readonly kept: SketchesKept }
  | { readonly kind: 'answer'; readonly seq: number; readonly value?: unknown; readonly failure?: Failure }
  | { readonly kind: 'settings'; readonly settings: LiveSettings }
  /** By what tokens of callers are believed from now on; undefined = none is. */
  | { readonly kind: 'tokens'; readonly rules: TokenRules | undefined }
  | { readonly kind: 'stop'; readonly drainDelayMs: number; readonly drainTimeoutMs: number };

/** What a gateway process counts, whole since its start. */
export interface Snapshot {
  readonly families: readonly PackedFamily[];
  readonly statistics: PackedStatistics;
  /** Of arms; what their keys did is only what came since the last time. */
  readonly arms: ArmTake;
  /** Requests sampled by a share since the start of the process, by the model whose terms said so; '' = those of all. */
  readonly traced: Readonly<Record<string, number>>;
}

export interface Listening {
  readonly httpPort: number | undefined;
  readonly httpEngine: string;
  readonly grpcPort: number | undefined;
  readonly onnxruntime: string;
  /** Of this life of the process: a number that it alone has, and a later life a greater one. */
  readonly incarnation: number;
}

export type FromGateway =
  | { readonly kind: 'started' }
  | ({ readonly kind: 'opened' } & InstanceId)
  | ({ readonly kind: 'openFailed'; readonly failure: Failure } & InstanceId)
  | ({ readonly kind: 'drained' } & InstanceId)
  | { readonly kind: 'routed'; readonly generation: number }
  | { readonly kind: 'listening'; readonly listening: Listening }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'pong'; readonly seq: number; readonly snapshot: Snapshot; readonly used: readonly string[] }
  | { readonly kind: 'reported'; readonly shadows: readonly ShadowReport[] }
  | { readonly kind: 'repeated'; readonly seq: number; readonly value?: Repeated; readonly failure?: Failure }
  | { readonly kind: 'sketches'; readonly closed: readonly ClosedSketch[] }
  | { readonly kind: 'ask'; readonly seq: number; readonly call: RelayCall }
  | ({ readonly kind: 'overdue' } & InstanceId);

/** One end of the channel: `process` in a gateway, the worker in the control process. */
interface Channel {
  send?(message: unknown, callback: (error: Error | null) => void): boolean;
  isConnected?(): boolean;
  connected?: boolean;
}

/** Sends, or does nothing when the other end is gone. */
export function post<Message extends ToGateway | FromGateway>(channel: Channel, message: Message): void {
  const isConnected = channel.isConnected?.() ?? channel.connected ?? false;
  if (isConnected) channel.send?.(message, () => {});
}

export function failureOf(error: GatewayError): Failure {
  const { code, message, reason, retryAfterMs } = error;
  return { code, message, reason, retryAfterMs };
}

export function errorOf({ code, message, reason, retryAfterMs }: Failure): GatewayError {
  return new GatewayError(code, message, {
    ...(reason === undefined ? {} : { reason }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
