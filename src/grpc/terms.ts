/**
 * What a call says beside its messages: request id, variant, time limits; and what an error becomes when it leaves.
 *
 * Must not know the gRPC library: the types say what it needs of a call.
 */
import { type GatewayError, invalid } from '../core/errors.js';
import { isRequestId } from '../core/request-id.js';
import type { Peer } from './calls.js';
import { detailsOf, statusOf } from './codec.js';

export interface Terms {
  /** Empty = none. */
  readonly requestId: string;
  /** Variant asked for; empty = none. */
  readonly variant: string;
  /** When the caller stops waiting, on the clock of `DataPlane.now`. Infinity = never. */
  readonly deadlineAt: number;
  /** What is wrong with the metadata. */
  readonly fault: GatewayError | undefined;
}

/** The call as this file needs it. */
interface Call {
  readonly metadata: { get(key: string): readonly (string | Buffer)[] };
  getDeadline(): Date | number;
  getPeer(): string;
}

const timeoutText = /^[1-9][0-9]{0,14}$/;

/** @param epochNow milliseconds since 1970: the clock of grpc-js deadlines */
export function termsOf(call: Call, receivedAt: number, epochNow: () => number): Terms {
  const deadline = Number(call.getDeadline());
  const deadlineAt = deadline === Infinity ? Infinity : receivedAt + (deadline - epochNow());
  return checkedTerms((key) => first(call, key), receivedAt, deadlineAt);
}

/**
 * @param text first value of a metadata key; empty when there is none
 * @param deadlineAt of the call itself, on the clock of `receivedAt`
 */
export function checkedTerms(text: (key: string) => string, receivedAt: number, deadlineAt: number): Terms {
  let endsAt = deadlineAt;
  let fault: GatewayError | undefined;
  const timeout = text('x-sluice-timeout-ms');
  if (timeout !== '') {
    if (timeoutText.test(timeout)) endsAt = Math.min(endsAt, receivedAt + Number(timeout));
    else fault = invalid(`Unable to parse 'x-sluice-timeout-ms': expected an integer >= 1, got: ${timeout}`);
  }
  let requestId = text('x-request-id');
  if (requestId !== '' && !isRequestId(requestId)) {
    fault ??= invalid(`Unable to parse 'x-request-id': expected 1 to 128 characters from '!' to '~'`);
    requestId = '';
  }
  return { requestId, variant: text('x-sluice-variant'), deadlineAt: endsAt, fault };
}

export function peerOf(call: Call): Peer {
  const isForwarded = first(call, 'forwarded') !== '' || first(call, 'x-forwarded-for') !== '';
  return { peer: call.getPeer(), isForwarded };
}

/** First value of a metadata key as text; empty when there is none. */
export function first(call: Pick<Call, 'metadata'>, key: string): string {
  const value = call.metadata.get(key)[0];
  return typeof value === 'string' ? value : '';
}

export interface Status {
  readonly code: number;
  readonly details: string;
}

/**
 * @param overloadStatus 503 says UNAVAILABLE where a queue was full or its timeout passed, which some balancers retry
 * @param isOverdue the caller's own deadline has passed
 */
export function statusFor(error: GatewayError, overloadStatus: 429 | 503, isOverdue: boolean): Status {
  const isOverload = error.reason === 'queue_full' || (error.code === 'DEADLINE_EXCEEDED' && !isOverdue);
  const code = overloadStatus === 503 && isOverload ? 'UNAVAILABLE' : error.code;
  return { code: statusOf[code], details: detailsOf(error) };
}
