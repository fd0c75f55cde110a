/**
 * A request's copy for one shadow: what is kept of it on its way, what the target is asked, and what is told of its end.
 *
 * Must not know when it runs.
 */
import type { GatewayError } from '../core/errors.js';
import type { Cancellation, InferenceReply, InferenceRequest, Parameter } from '../core/inference.js';
import { checkInputs, type Version } from '../core/model.js';
import type { ShadowAnswer } from './answer.js';
import type { Passage } from './breaker.js';
import type { Original } from './original.js';

/** One request's copy for one shadow. */
export interface Copy {
  readonly original: Original;
  state: 'held' | 'waiting' | 'running' | 'answered' | 'over';
  passage: Passage;
  cancellation: Cancellation | undefined;
  timer: NodeJS.Timeout | undefined;
  /** What it runs on, from when to when. */
  version: Version | undefined;
  startedAt: number;
  settledAt: number;
  result: InferenceReply | GatewayError | undefined;
}

const noParameters: ReadonlyMap<string, Parameter> = new Map();

/** A copy that ran, as it is told. */
export function answerOf({ original, version, startedAt, settledAt, result }: Copy, shadow: string): ShadowAnswer {
  const { id: requestId, traceId, assignment, inputs, rows } = original;
  return {
    shadow,
    requestId,
    traceId,
    assignment,
    inputs,
    rows,
    startedAt,
    latencyMs: settledAt - startedAt,
    version: version!,
    result: result!,
  };
}

/** The copy as the target gets it: its own deadline, its own order of inputs. @throws INVALID_ARGUMENT when they do not fit */
export function requestOf(
  { original, cancellation }: Copy,
  version: Version,
  at: number,
  timeoutMs: number,
): InferenceRequest {
  const rows = checkInputs(version, original.inputs, undefined);
  return {
    id: original.id,
    model: version.id.model,
    version,
    inputs: version.signature.inputs.map((spec) => original.inputs.find(({ name }) => name === spec.name)!),
    rows,
    outputs: undefined,
    parameters: noParameters,
    priority: 0,
    timeoutMs: 0,
    receivedAt: at,
    deadlineAt: at + timeoutMs,
    cancellation: cancellation!,
    protocol: original.protocol,
  };
}
