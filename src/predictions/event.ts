/**
 * One request as the prediction log is told of it: served, failed, refused after routing, or a shadow's copy.
 *
 * Must not know how it is written.
 */
import type { Assignment, RouteReason } from '../core/route.js';
import type { Tensor } from '../core/tensor.js';
import type { Subject } from './subject.js';

export type Role = 'primary' | 'shadow' | 'fallback';

/** What the route decided; of a copy, which shadow it is. */
export type LoggedAssignment = Omit<Assignment, 'reason'> & { readonly reason: RouteReason | 'shadow' };

export interface PredictionEvent {
  readonly subject: Subject;
  readonly role: Role;
  readonly requestId: string;
  readonly clientRequestId: string | undefined;
  readonly traceId: string | undefined;
  /** Of the request that this one is part or copy of. */
  readonly parentRequestId: string | undefined;
  /** Arrival, in microseconds since the epoch. */
  readonly tsUs: number;
  readonly latencyUs: number;
  readonly queueUs: number;
  readonly upstreamUs: number;
  /** Rows of the run that it was part of. */
  readonly batchSize: number;
  /** Rows of its own. */
  readonly items: number;
  readonly assignment: LoggedAssignment | undefined;
  /** HTTP number, for both protocols. */
  readonly status: number;
  readonly errorCode: string | undefined;
  readonly attempt: number;
  readonly isCacheHit: boolean;
  /** A number is told as text to whoever reads it. */
  readonly prediction: string | number | undefined;
  readonly score: number | undefined;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly contentType: string | undefined;
  readonly inputs: readonly Tensor[] | undefined;
  readonly outputs: readonly Tensor[] | undefined;
}

export type DropReason = 'buffer_full' | 'shadow_shed' | 'disk_low' | 'write_error' | 'redaction_error' | 'shutdown';

/** The order is the number under which a reason is written. */
export const dropReasons: readonly DropReason[] = [
  'buffer_full',
  'shadow_shed',
  'disk_low',
  'write_error',
  'redaction_error',
  'shutdown',
];

export type DropCounts = Record<DropReason, number>;

export function noDrops(): DropCounts {
  return { buffer_full: 0, shadow_shed: 0, disk_low: 0, write_error: 0, redaction_error: 0, shutdown: 0 };
}
