/**
 * ModelInfer: deadline, cancellation, and whether a call ends with a reply or a status.
 *
 * Must not know an engine.
 */
import type { GatewayError } from '../core/errors.js';
import { Cancellation, type DataPlane } from '../core/inference.js';
import { isRequestId } from '../core/request-id.js';
import { serverTiming } from '../core/server-timing.js';
import type { Call, CallUser } from './call.js';
import { type Answer, Inference, type InferenceOptions } from './infer.js';
import { ReplyMessage } from './reply-message.js';
import { statusFor, termsOf } from './terms.js';

export interface CallOptions {
  readonly plane: DataPlane;
  readonly inference: InferenceOptions;
  readonly requestTimeoutMs: number;
  readonly overloadStatus: 429 | 503;
}

/** Two clocks and a timer meet at a deadline, each exact to about a millisecond. */
const clockSlackMs = 2;

export class InferCall implements CallUser {
  readonly #options: CallOptions;
  readonly #call: Call;
  readonly #cancellation = new Cancellation();
  readonly #deadlineAt: number;
  readonly #inference: Inference;
  readonly #isTimed: boolean;
  #isAnswered = false;

  constructor(options: CallOptions, call: Call) {
    this.#options = options;
    this.#call = call;
    const receivedAt = options.plane.now();
    const terms = termsOf(call, receivedAt);
    this.#deadlineAt = Math.min(terms.deadlineAt, receivedAt + options.requestTimeoutMs);
    this.#isTimed = call.text('x-sluice-timing') === '1';
    this.#inference = new Inference(options.plane, options.inference, {
      terms,
      receivedAt,
      deadlineAt: this.#deadlineAt,
      cancellation: this.#cancellation,
      isTimed: this.#isTimed,
    });
  }

  message(bytes: Buffer): void {
    this.#inference.run(bytes).then(this.#succeed, this.#fail);
  }

  end(): void {}

  cancel(): void {
    // A passed deadline is left to whoever holds the request: it has the same deadline and answers with the right reason.
    if (!this.#isAnswered && !isOverdue(this.#options.plane, this.#deadlineAt)) this.#cancellation.cancel();
  }

  readonly #succeed = ({ model, version, outputs, assignment, timing: times, rowsMax }: Answer): void => {
    this.#isAnswered = true;
    const { plane } = this.#options;
    const startedAt = this.#isTimed ? plane.now() : 0;
    const { modelName, id } = this.#inference.message!;
    const message = new ReplyMessage({ modelName, modelVersion: version, id }, outputs);
    const { trace, parseMs } = this.#inference;
    // The message is written after its headers, so what writing it takes is not told.
    const timing = this.#isTimed
      ? serverTiming(times, { parseMs, encodeMs: plane.now() - startedAt }, rowsMax)
      : undefined;
    this.#call.reply({ requestId: this.#headerId(), model, version, assignment, timing }, message);
    if (trace?.isSampled) trace.encodedAt = plane.now();
  };

  readonly #fail = (error: GatewayError): void => {
    this.#isAnswered = true;
    const { plane, overloadStatus } = this.#options;
    this.#call.fail(statusFor(error, overloadStatus, isOverdue(plane, this.#deadlineAt)), this.#headerId());
  };

  #headerId(): string {
    const { requestId, message } = this.#inference;
    // Only the id of a body can be unfit for a header.
    if (message?.id === '' || isRequestId(requestId)) return requestId;
    return this.#options.inference.newId();
  }
}

export function isOverdue(plane: DataPlane, deadlineAt: number): boolean {
  return plane.now() >= deadlineAt - clockSlackMs;
}
