/**
 * PART OF THE ROOT: one request on its way, as the prediction log will be told of it.
 *
 *   Recording ─ before the run: inputs that may be moved to a thread are kept ─▶ end(reply or error) ─▶ row ─▶ append
 *
 * On the path of every request: there is one row for all requests of a process, which the log has read when `append`
 * returns, and texts of numbers are left to the reader (bench/micro/prediction-row: half of what it cost before).
 *
 * Must not know how a row is written.
 */
import { GatewayError } from '../core/errors.js';
import type { InferenceReply, InferenceRequest } from '../core/inference.js';
import type { Tensor, TypedArray } from '../core/tensor.js';
import { statusOf } from '../http/status.js';
import type { PredictionEvent } from '../predictions/event.js';
import type { Subject } from '../predictions/subject.js';
import { heldInput, sizeOfAll } from '../shadow/held.js';
import { labelOf, numbersOf, scoreOf } from './prediction.js';

export interface Ledger {
  readonly now: () => number;
  readonly epochMs: () => number;
  /** Reads the row before it returns. */
  readonly append: (row: PredictionEvent) => void;
}

/** A row that is written over by the next one. */
class Row implements PredictionEvent {
  subject!: Subject;
  role: PredictionEvent['role'] = 'primary';
  requestId = '';
  readonly clientRequestId = undefined;
  traceId: string | undefined = undefined;
  readonly parentRequestId = undefined;
  tsUs = 0.5;
  latencyUs = 0;
  queueUs = 0;
  upstreamUs = 0;
  batchSize = 0;
  items = 0;
  assignment: PredictionEvent['assignment'] = undefined;
  status = 0;
  errorCode: string | undefined = undefined;
  readonly attempt = 1;
  isCacheHit = false;
  prediction: PredictionEvent['prediction'] = undefined;
  score: number | undefined = undefined;
  inputBytes = 0;
  outputBytes = 0;
  readonly contentType = undefined;
  inputs: PredictionEvent['inputs'] = undefined;
  outputs: PredictionEvent['outputs'] = undefined;
}

const row = new Row();
const noTensors: readonly Tensor[] = [];

export class Recording {
  readonly #ledger: Ledger;
  readonly #request: InferenceRequest;
  readonly #subject: Subject;
  readonly #inputs: readonly Tensor[] | undefined;
  readonly #inputBytes: number;

  /** @param holdsInputs whether they are kept, or looked at */
  constructor(ledger: Ledger, request: InferenceRequest, subject: Subject, holdsInputs: boolean) {
    this.#ledger = ledger;
    this.#request = request;
    this.#subject = subject;
    this.#inputs = holdsInputs ? lasting(request.inputs) : undefined;
    this.#inputBytes = sizeOfAll(request.inputs);
  }

  end(result: InferenceReply | GatewayError): void {
    const { now, epochMs, append } = this.#ledger;
    const request = this.#request;
    const latencyMs = now() - request.receivedAt;
    row.subject = this.#subject;
    row.role = request.assignment?.reason === 'fallback' ? 'fallback' : 'primary';
    row.requestId = request.id;
    row.traceId = request.trace?.traceId;
    row.tsUs = Math.round((epochMs() - latencyMs) * 1000);
    row.latencyUs = Math.round(latencyMs * 1000);
    row.items = Math.max(1, request.rows);
    row.assignment = request.assignment;
    row.inputBytes = this.#inputBytes;
    row.inputs = this.#inputs;
    if (result instanceof GatewayError) failed(result);
    else answered(result, request);
    append(row);
    // A row that stays must not keep a request's memory.
    row.inputs = undefined;
    row.outputs = undefined;
  }
}

function failed({ code }: GatewayError): void {
  row.status = statusOf[code];
  row.errorCode = code;
  row.queueUs = 0;
  row.upstreamUs = 0;
  row.batchSize = 0;
  row.isCacheHit = false;
  row.prediction = undefined;
  row.score = undefined;
  row.outputBytes = 0;
  row.outputs = undefined;
}

function answered({ outputs, timing, cache }: InferenceReply, { rows, version }: InferenceRequest): void {
  row.status = 200;
  row.errorCode = undefined;
  row.queueUs = Math.round(timing.queueMs * 1000);
  row.upstreamUs = Math.round(timing.inferMs * 1000);
  row.batchSize = timing.batchRows;
  row.isCacheHit = cache === 'hit';
  // The items of a batch are told apart by its outputs.
  const told = rows <= 1 ? outputs : noTensors;
  const numbers = numbersOf(told, version);
  row.prediction = labelOf(told, numbers, version);
  row.score = numbers === undefined ? undefined : scoreOf(numbers, version);
  row.outputBytes = sizeOfAll(outputs);
  row.outputs = outputs;
}

/** The inputs as they will be when the request has ended. */
function lasting(inputs: readonly Tensor[]): readonly Tensor[] {
  for (let i = 0; i < inputs.length; i++) if (isMovable(inputs[i]!)) return inputs.map(lastingInput);
  return inputs;
}

/** Threads are given buffers that one tensor fills; of others a copy. */
function isMovable({ datatype, data }: Tensor): boolean {
  if (datatype === 'BYTES') return false;
  const numbers = data as TypedArray;
  // The offset is asked first: to come by the buffer is a call into the runtime.
  return numbers.byteOffset === 0 && numbers.byteLength === numbers.buffer.byteLength;
}

function lastingInput(tensor: Tensor): Tensor {
  return isMovable(tensor) ? heldInput(tensor) : tensor;
}
