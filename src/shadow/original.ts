/**
 * A request and its answer as the shadows of its route see them: inputs and outputs that stay, counted against the bytes that
 * may be held, given back when the last shadow is done.
 *
 * The request itself is not kept, for it holds its whole body.
 *
 * Must not know queues or comparisons.
 */
import { GatewayError } from '../core/errors.js';
import type { InferenceReply, InferenceRequest, OutcomeCode, Protocol, Timing } from '../core/inference.js';
import type { Assignment } from '../core/route.js';
import type { Tensor } from '../core/tensor.js';
import { type Holdings, heldInput, heldOutput, sizeOfAll } from './held.js';

/** The primary was not allowed to answer; a shadow would only add to what was too much. */
const refusals: readonly OutcomeCode[] = ['RESOURCE_EXHAUSTED', 'CANCELLED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE'];

export class Original {
  readonly id: string;
  readonly protocol: Protocol;
  readonly traceId: string | undefined;
  readonly assignment: Assignment | undefined;
  /** Items of an output with as many rows; 0 = an output is one item. */
  readonly rows: number;
  /** The time that the primary had, in milliseconds. */
  readonly givenMs: number;
  readonly inputs: readonly Tensor[];
  /** How the primary ended; undefined before. */
  code: OutcomeCode | undefined;
  outputs: readonly Tensor[] = [];
  /** Of the primary, in its queue and run. */
  latencyMs = 0;
  readonly #holdings: Holdings;
  #bytes: number;
  #users = 0;

  /** @param bytes of the inputs, which the caller has taken from `holdings` */
  constructor(request: InferenceRequest, holdings: Holdings, bytes: number) {
    this.id = request.id;
    this.protocol = request.protocol;
    this.traceId = request.trace?.traceId;
    this.assignment = request.assignment;
    this.rows = request.version.batch.rowsMax > 0 ? request.rows : 0;
    this.givenMs = request.deadlineAt - request.receivedAt;
    this.inputs = request.inputs.map(heldInput);
    this.#holdings = holdings;
    this.#bytes = bytes;
  }

  get isRefused(): boolean {
    return this.code !== undefined && refusals.includes(this.code);
  }

  /** The primary is done. @returns false when there is no room for its outputs: then there is nothing to compare */
  answer(result: InferenceReply | GatewayError): boolean {
    if (result instanceof GatewayError) {
      this.code = result.code;
      return true;
    }
    this.code = 'OK';
    this.latencyMs = latencyOf(result.timing);
    const bytes = sizeOfAll(result.outputs);
    if (!this.#holdings.take(bytes)) return false;
    this.#bytes += bytes;
    this.outputs = result.outputs.map(heldOutput);
    return true;
  }

  use(): void {
    this.#users++;
  }

  release(): void {
    this.#users--;
    if (this.#users > 0) return;
    this.#holdings.give(this.#bytes);
    this.#bytes = 0;
  }
}

export function latencyOf({ queueMs, inputMs, inferMs, outputMs }: Timing): number {
  return queueMs + inputMs + inferMs + outputMs;
}
