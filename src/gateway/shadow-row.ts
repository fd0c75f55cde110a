/**
 * PART OF THE ROOT: what the prediction log is told of a shadow's copy: its own version, times and answer under the id of
 * the request that was copied, so that both rows are found together.
 *
 * Must not know how a row is written.
 */
import { GatewayError } from '../core/errors.js';
import { statusOf } from '../http/status.js';
import type { LoggedAssignment, PredictionEvent } from '../predictions/event.js';
import type { Subject } from '../predictions/subject.js';
import type { ShadowAnswer } from '../shadow/answer.js';
import { sizeOfAll } from '../shadow/held.js';
import { predictionOf } from './prediction.js';

/** @param startedAtMs of the copy, since the epoch */
export function shadowRow(answer: ShadowAnswer, subject: Subject, startedAtMs: number): PredictionEvent {
  const { requestId, version, inputs, rows, result, latencyMs } = answer;
  const error = result instanceof GatewayError ? result : undefined;
  const reply = result instanceof GatewayError ? undefined : result;
  const told = reply && rows <= 1 ? predictionOf(reply.outputs, version) : undefined;
  return {
    subject,
    role: 'shadow',
    requestId,
    clientRequestId: undefined,
    traceId: answer.traceId,
    parentRequestId: requestId,
    tsUs: Math.round(startedAtMs * 1000),
    latencyUs: Math.round(latencyMs * 1000),
    queueUs: Math.round((reply?.timing.queueMs ?? 0) * 1000),
    upstreamUs: Math.round((reply?.timing.inferMs ?? 0) * 1000),
    batchSize: reply?.timing.batchRows ?? 0,
    items: Math.max(1, rows),
    assignment: assignmentOf(answer),
    status: error === undefined ? 200 : statusOf[error.code],
    errorCode: error?.code,
    attempt: 1,
    isCacheHit: false,
    prediction: told?.label,
    score: told?.score,
    inputBytes: sizeOfAll(inputs),
    outputBytes: reply === undefined ? 0 : sizeOfAll(reply.outputs),
    contentType: undefined,
    inputs,
    outputs: reply?.outputs,
  };
}

/** The variant is the shadow; experiment, phase and key are those of the request. */
function assignmentOf({ shadow, assignment }: ShadowAnswer): LoggedAssignment {
  const none = { experiment: '', phase: 0, isSticky: false, keyHash: undefined };
  return { ...none, ...assignment, variant: shadow, assigned: shadow, reason: 'shadow' };
}
