/**
 * One call of ModelInfer, whichever way its bytes came: deadline, cancellation, and whether it ends with a reply or a status.
 *
 * Must not know the gRPC library or HTTP/2: `CallEnds` is what it needs of them.
 */
import type { GatewayError } from '../core/errors.js';
import { Cancellation, type DataPlane } from '../core/inference.js';
import { isRequestId } from '../core/request-id.js';
import { type Answer, Inference, type InferenceOptions } from './infer.js';
import { type Status, statusFor, type Terms } from './terms.js';

/** What a reply says in its headers. */
export interface ReplyNames {
  readonly requestId: string;
  readonly model: string;
  readonly version: string;
  /** As the request had it; empty = left out. */
  readonly id: string;
}

/** The call as its caller sees it: exactly one of the two, once. */
export interface CallEnds {
  reply(names: ReplyNames, answer: Answer): void;
  fail(status: Status, requestId: string): void;
}

export interface CallOptions {
  readonly plane: DataPlane;
  readonly inference: InferenceOptions;
  readonly requestTimeoutMs: number;
  readonly overloadStatus: 429 | 503;
}

/** Two clocks and a timer meet at a deadline, each exact to about a millisecond. */
const clockSlackMs = 2;

export class InferCall {
  readonly #options: CallOptions;
  readonly #ends: CallEnds;
  readonly #cancellation = new Cancellation();
  readonly #deadlineAt: number;
  readonly #inference: Inference;
  #isAnswered = false;

  constructor(options: CallOptions, terms: Terms, receivedAt: number, ends: CallEnds) {
    this.#options = options;
    this.#ends = ends;
    this.#deadlineAt = Math.min(terms.deadlineAt, receivedAt + options.requestTimeoutMs);
    this.#inference = new Inference(options.plane, options.inference, {
      terms,
      receivedAt,
      deadlineAt: this.#deadlineAt,
      cancellation: this.#cancellation,
    });
  }

  run(bytes: Buffer): void {
    this.#inference.run(bytes).then(this.#succeed, this.#fail);
  }

  /** The caller has gone, or its call has ended without us. */
  cancel(): void {
    // A passed deadline is left to whoever holds the request: it has the same deadline and answers with the right reason.
    if (!this.#isAnswered && !isOverdue(this.#options.plane, this.#deadlineAt)) this.#cancellation.cancel();
  }

  readonly #succeed = (answer: Answer): void => {
    this.#isAnswered = true;
    const { modelName, id } = this.#inference.message!;
    this.#ends.reply({ requestId: this.#headerId(), model: modelName, version: answer.version, id }, answer);
  };

  readonly #fail = (error: GatewayError): void => {
    this.#isAnswered = true;
    const { plane, overloadStatus } = this.#options;
    this.#ends.fail(statusFor(error, overloadStatus, isOverdue(plane, this.#deadlineAt)), this.#headerId());
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
