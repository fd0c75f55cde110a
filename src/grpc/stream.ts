/**
 * ModelStreamInfer: every request of a stream gets exactly one message, in the order of the requests.
 *
 *   messages ─▶ each starts at once ─▶ finished in any order ─▶ written from the oldest on
 *
 * How many run at once is decided where messages are read (the gate in the server), because what has been read must be
 * answered. An error is a message like any other unless the caller asked for a status, which ends the stream.
 *
 * Must not know the gRPC library.
 */
import { GatewayError } from '../core/errors.js';
import { Cancellation, type DataPlane } from '../core/inference.js';
import { detailsOf, encodeStreamError, encodeStreamReply } from './codec.js';
import { type Caller, Inference, type InferenceOptions, stoppingText } from './infer.js';
import type { Terms } from './terms.js';

/** The stream as its caller sees it. */
export interface StreamEnds {
  write(message: Buffer): void;
  end(): void;
  fail(error: GatewayError): void;
}

export interface StreamTerms {
  readonly terms: Terms;
  /** The first error ends the stream with its status (`triton_grpc_error`). */
  readonly failsAtError: boolean;
  readonly requestTimeoutMs: number;
}

interface Slot {
  readonly cancellation: Cancellation;
  /** The message to write, or the error to end with. */
  result: Buffer | GatewayError | undefined;
}

export class InferStream {
  readonly #plane: DataPlane;
  readonly #options: InferenceOptions;
  readonly #terms: StreamTerms;
  readonly #ends: StreamEnds;
  /** Oldest first; the gate bounds how many there are. */
  readonly #slots: Slot[] = [];
  #isHalfClosed = false;
  #isDraining = false;
  #isOver = false;

  constructor(plane: DataPlane, options: InferenceOptions, terms: StreamTerms, ends: StreamEnds) {
    this.#plane = plane;
    this.#options = options;
    this.#terms = terms;
    this.#ends = ends;
  }

  /** A request has arrived. */
  take(bytes: Buffer): void {
    if (this.#isOver) return;
    const receivedAt = this.#plane.now();
    const slot: Slot = { cancellation: new Cancellation(), result: undefined };
    this.#slots.push(slot);
    const { terms, requestTimeoutMs } = this.#terms;
    const caller: Caller = {
      // The id in the metadata is the stream's; each of its requests has its own.
      terms: { ...terms, requestId: '' },
      receivedAt,
      deadlineAt: Math.min(terms.deadlineAt, receivedAt + requestTimeoutMs),
      cancellation: slot.cancellation,
    };
    const inference = new Inference(this.#plane, this.#options, caller);
    inference.run(bytes).then(
      (answer) => {
        const { modelName, id } = inference.message!;
        const head = { modelName, modelVersion: answer.version, id };
        this.#settle(slot, encodeStreamReply(head, answer.outputs, id === '' ? inference.requestId : ''));
      },
      (error: GatewayError) => this.#settle(slot, this.#terms.failsAtError ? error : errorMessage(inference, error)),
    );
  }

  /** The caller sends nothing more: finish what is outstanding. */
  halfClose(): void {
    this.#isHalfClosed = true;
    this.#flush();
  }

  /** The caller is gone. */
  cancel(): void {
    this.#isOver = true;
    for (const slot of this.#slots) slot.cancellation.cancel();
  }

  /** The listener closes: what is outstanding is answered, then the stream ends. */
  drain(): void {
    this.#isDraining = true;
    this.#flush();
  }

  #settle(slot: Slot, result: Buffer | GatewayError): void {
    slot.result = result;
    this.#flush();
  }

  #flush(): void {
    while (!this.#isOver && this.#slots[0]?.result !== undefined) {
      const { result } = this.#slots.shift()!;
      if (result instanceof GatewayError) this.#fail(result);
      else this.#ends.write(result!);
    }
    if (this.#isOver || this.#slots.length > 0) return;
    if (this.#isHalfClosed) {
      this.#isOver = true;
      this.#ends.end();
    } else if (this.#isDraining) this.#fail(new GatewayError('UNAVAILABLE', stoppingText, { reason: 'draining' }));
  }

  #fail(error: GatewayError): void {
    this.cancel();
    this.#ends.fail(error);
  }
}

function errorMessage(inference: Inference, error: GatewayError): Buffer {
  const { message } = inference;
  const head = {
    modelName: message?.modelName ?? '',
    modelVersion: message?.modelVersion ?? '',
    id: message?.id ?? '',
  };
  return encodeStreamError(head, detailsOf(error));
}
