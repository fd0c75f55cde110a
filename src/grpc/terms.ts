/**
 * What a call says beside its messages: request id, variant, time limits; and what an error becomes when it leaves.
 *
 * Must not know an engine.
 */
import { type GatewayError, invalid } from '../core/errors.js';
import { isRequestId } from '../core/request-id.js';
import type { Call } from './call.js';
import type { Peer } from './calls.js';
import { detailsOf, statusOf } from './status.js';

export interface Terms {
  /** Empty = none. */
  readonly requestId: string;
  /** Variant asked for; empty = none. */
  readonly variant: string;
  /** When the caller stops waiting, on the clock of `DataPlane.now`. Infinity = never. */
  readonly deadlineAt: number;
  /** @see Call.text */
  readonly text: Call['text'];
  /** What is wrong with the metadata. */
  readonly fault: GatewayError | undefined;
}

const timeoutText = /^[1-9][0-9]{0,14}$/;

/** @param receivedAt on the clock of `DataPlane.now` */
export function termsOf(call: Pick<Call, 'text' | 'deadlineAt'>, receivedAt: number): Terms {
  let { deadlineAt } = call;
  let fault: GatewayError | undefined;
  const timeout = call.text('x-sluice-timeout-ms');
  if (timeout !== '') {
    if (timeoutText.test(timeout)) deadlineAt = Math.min(deadlineAt, receivedAt + Number(timeout));
    else fault = invalid(`Unable to parse 'x-sluice-timeout-ms': expected an integer >= 1, got: ${timeout}`);
  }
  let requestId = call.text('x-request-id');
  if (requestId !== '' && !isRequestId(requestId)) {
    fault ??= invalid(`Unable to parse 'x-request-id': expected 1 to 128 characters from '!' to '~'`);
    requestId = '';
  }
  const text = (key: string) => call.text(key);
  return { requestId, variant: call.text('x-sluice-variant'), deadlineAt, text, fault };
}

export function peerOf(call: Pick<Call, 'text' | 'peer'>): Peer {
  const isForwarded = call.text('forwarded') !== '' || call.text('x-forwarded-for') !== '';
  return { peer: call.peer, isForwarded, authorization: call.text('authorization') };
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
