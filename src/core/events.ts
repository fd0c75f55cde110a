/**
 * What happens in a gateway process, as values. One event for each request feeds everything that is observed.
 *
 * Observers are synchronous, bounded and must not throw: whoever emits goes on as if nobody listened.
 *
 * Must not know who listens.
 */
import type { RejectReason } from './errors.js';
import type { InferenceReply, OutcomeCode, Protocol, Timing } from './inference.js';
import type { VersionId } from './model.js';
import type { Assignment } from './route.js';
import type { Trace } from './trace.js';

export interface InferenceEvent {
  readonly kind: 'inference';
  /** Undefined when the request was refused before a version was found; then `model` may be unknown, too. */
  readonly version: VersionId | undefined;
  readonly model: string;
  readonly protocol: Protocol;
  readonly requestId: string;
  readonly code: OutcomeCode;
  readonly reason: RejectReason | undefined;
  readonly rows: number;
  /** From arrival to answer. */
  readonly durationMs: number;
  readonly timing: Timing | undefined;
  /** Of a model with a response cache: whether the answer came from it. */
  readonly cache?: InferenceReply['cache'];
  /** What the model's route decided; undefined when it has none. */
  readonly assignment?: Assignment | undefined;
  /** Undefined when it is part of no trace. */
  readonly trace?: Trace | undefined;
}

export interface BatchEvent {
  readonly kind: 'batch';
  readonly version: VersionId;
  readonly lane: 'inline' | 'thread';
  readonly rows: number;
  readonly rowsMax: number;
  readonly requests: number;
  readonly inputMs: number;
  readonly inferMs: number;
  readonly outputMs: number;
  readonly isFailed: boolean;
}

export interface VersionEvent {
  readonly kind: 'version';
  readonly version: VersionId;
  readonly state: 'opening' | 'ready' | 'draining' | 'gone' | 'failed';
  readonly reason: string;
  readonly durationMs: number;
}

export type GatewayEvent = InferenceEvent | BatchEvent | VersionEvent;

export type Observe = (event: GatewayEvent) => void;

/** One observer that tells several. */
export function fanOut(observers: readonly Observe[]): Observe {
  return (event) => {
    for (const observe of observers) observe(event);
  };
}
