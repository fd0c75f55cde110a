/**
 * ModelStreamInfer: every request of a stream gets exactly one message, in the order of the requests.
 *
 *   messages ─▶ each starts at once ─▶ finished in any order ─▶ written from the oldest on
 *
 * How many run at once is decided where messages are read (by the engines), because what has been read must be
 * answered. An error is a message like any other unless the caller asked for a status, which ends the stream.
 *
 * Must not know an engine.
 */
import { GatewayError } from '../core/errors.js';
import { Cancellation, type DataPlane } from '../core/inference.js';
import type { Assignment } from '../core/route.js';
import { assignmentTexts, type Call, type CallUser, type Message } from './call.js';
import { Inference, type InferenceOptions, stoppingText } from './infer.js';
import { isOverdue } from './infer-call.js';
import { StreamErrorMessage, StreamReplyMessage } from './reply-message.js';
import { detailsOf } from './status.js';
import { statusFor, type Terms, termsOf } from './terms.js';

export interface StreamOptions {
  readonly plane: DataPlane;
  readonly inference: InferenceOptions;
  readonly requestTimeoutMs: number;
  readonly overloadStatus: 429 | 503;
  /** The stream has ended. */
  readonly onOver: (stream: InferStream) => void;
}

interface Slot {
  readonly cancellation: Cancellation;
  /** The message to write, or the error to end with. */
  result: Message | GatewayError | undefined;
}

export class InferStream implements CallUser {
  readonly #options: StreamOptions;
  readonly #call: Call;
  readonly #terms: Terms;
  /** The first error ends the stream with its status. */
  readonly #failsAtError: boolean;
  /** Oldest first; the engine bounds how many there are. */
  readonly #slots: Slot[] = [];
  #isHalfClosed = false;
  #isDraining = false;
  #isOver = false;

  constructor(options: StreamOptions, call: Call) {
    this.#options = options;
    this.#call = call;
    // The id in the metadata is the stream's; each of its requests has its own.
    this.#terms = { ...termsOf(call, options.plane.now()), requestId: '' };
    this.#failsAtError = call.text('triton_grpc_error') === 'true';
  }

  message(bytes: Buffer): void {
    if (this.#isOver) return;
    const { plane, inference: options, requestTimeoutMs } = this.#options;
    const receivedAt = plane.now();
    const slot: Slot = { cancellation: new Cancellation(), result: undefined };
    this.#slots.push(slot);
    const inference = new Inference(plane, options, {
      terms: this.#terms,
      receivedAt,
      deadlineAt: Math.min(this.#terms.deadlineAt, receivedAt + requestTimeoutMs),
      cancellation: slot.cancellation,
      // A stream's headers are gone when its answers come.
      isTimed: false,
    });
    inference.run(bytes).then(
      ({ version, outputs, assignment }) => {
        const { modelName, id } = inference.message!;
        const head = { modelName, modelVersion: version, id };
        this.#settle(
          slot,
          new StreamReplyMessage(head, outputs, textsOf(id === '' ? inference.requestId : '', assignment)),
        );
        if (inference.trace?.isSampled) inference.trace.encodedAt = plane.now();
      },
      (error: GatewayError) => this.#settle(slot, this.#failsAtError ? error : errorMessage(inference, error)),
    );
  }

  /** What is outstanding is finished. */
  end(): void {
    this.#isHalfClosed = true;
    this.#flush();
  }

  cancel(): void {
    this.#end();
    for (const slot of this.#slots) slot.cancellation.cancel();
  }

  /** The listener closes: what is outstanding is answered, then the stream ends. */
  drain(): void {
    this.#isDraining = true;
    this.#flush();
  }

  #settle(slot: Slot, result: Message | GatewayError): void {
    slot.result = result;
    this.#flush();
  }

  #flush(): void {
    while (!this.#isOver && this.#slots[0]?.result !== undefined) {
      const { result } = this.#slots.shift()!;
      if (result instanceof GatewayError) this.#fail(result);
      else this.#call.send(result!);
    }
    if (this.#isOver || this.#slots.length > 0) return;
    if (this.#isHalfClosed) {
      this.#end();
      this.#call.finish();
    } else if (this.#isDraining) this.#fail(new GatewayError('UNAVAILABLE', stoppingText, { reason: 'draining' }));
  }

  #fail(error: GatewayError): void {
    this.cancel();
    const { plane, overloadStatus } = this.#options;
    this.#call.fail(statusFor(error, overloadStatus, isOverdue(plane, this.#terms.deadlineAt)), '');
  }

  #end(): void {
    this.#isOver = true;
    this.#options.onOver(this);
  }
}

/** What a unary call says in its metadata. */
function textsOf(requestId: string, assignment: Assignment | undefined): (readonly [string, string])[] {
  const texts = assignmentTexts(assignment).map(([name, text]) => [`sluice_${name}`, text] as const);
  return requestId === '' ? texts : [['sluice_request_id', requestId], ...texts];
}

function errorMessage(inference: Inference, error: GatewayError): Message {
  const { message } = inference;
  const head = {
    modelName: message?.modelName ?? '',
    modelVersion: message?.modelVersion ?? '',
    id: message?.id ?? '',
  };
  return new StreamErrorMessage(head, detailsOf(error));
}
