/**
 * How a copy ended, for whoever writes it down: told in a turn of its own, after the caller has its answer.
 *
 * Copies that never ran are not among them; those are counted by reason only.
 *
 * Must not know what it is kept for.
 */
import type { GatewayError } from '../core/errors.js';
import type { InferenceReply } from '../core/inference.js';
import type { Version } from '../core/model.js';
import type { Assignment } from '../core/route.js';
import type { Tensor } from '../core/tensor.js';

export interface ShadowAnswer {
  readonly shadow: string;
  /** Of the request that was copied. */
  readonly requestId: string;
  readonly traceId: string | undefined;
  /** What the route decided for that request. */
  readonly assignment: Assignment | undefined;
  readonly version: Version;
  readonly inputs: readonly Tensor[];
  /** 0 = the request was not batched. */
  readonly rows: number;
  /** When the copy began, on the clock of the process. */
  readonly startedAt: number;
  readonly latencyMs: number;
  readonly result: InferenceReply | GatewayError;
}
