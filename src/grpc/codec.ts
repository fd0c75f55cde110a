/**
 * ModelInfer messages as core values and back: which inputs fit which model, and the replies.
 *
 * Elements are looked at last: form, names, datatypes and shapes are decided before anything is converted. Replies always
 * carry `raw_output_contents`, one entry for every output, whatever form the request had.
 *
 * Must not know the DataPlane or the gRPC library.
 */
import { type Code, GatewayError, invalid } from '../core/errors.js';
import { byteSizeMismatch, checkedCount, checkInputs, type Version } from '../core/model.js';
import { decodeRaw, encodeRaw } from '../core/raw.js';
import { bytesOf, type DataType, isDataType, normaliseBooleans, shapeText, type Tensor } from '../core/tensor.js';
import { aligned } from './aligned.js';
import type { Message } from './call.js';
import { datatypeOfField, typedFieldOf, typedNumbers, typedStrings } from './contents.js';
import type { InferMessage, InputMessage, MessageLimits } from './message.js';
import { bytesSize, textSize, varintSize, writeLength, writeText, writeVarint } from './wire.js';

/** The gRPC status of each code. */
export const statusOf = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} satisfies Record<Code, number>;

/** Chosen: a status travels in a header block, and peers limit those to about 8 KiB. */
const detailsMax = 1500;

/** The text of an error as a status may carry it. */
export function detailsOf(error: GatewayError): string {
  const { message } = error;
  const text = message.length > detailsMax ? `${message.slice(0, detailsMax)}…` : message;
  return text.toWellFormed();
}

interface Head {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

export interface Decoded {
  /** In the model's own order. */
  readonly inputs: readonly Tensor[];
  readonly rows: number;
}

const nothing = new Uint8Array(0);

/**
 * Steps 6 to 11 of the validation order for one request and the version that will answer it.
 * @throws INVALID_ARGUMENT with the wire text of the first thing that is wrong
 */
export function tensorsOf(message: InferMessage, version: Version, limits: MessageLimits): Decoded {
  const { model } = version.id;
  const heads: Head[] = [];
  const counts: number[] = [];
  for (let i = 0; i < message.inputs.length; i++) {
    const input = message.inputs[i]!;
    const shape = checkedShape(input, model);
    const count = checkedCount(input.name, input.dimensions, input.datatype);
    if (count === 0) checkExact(input);
    checkForm(message, i, count, model);
    heads.push({ name: input.name, datatype: input.datatype, shape });
    counts.push(count);
  }
  if (message.raw.length > heads.length) throw invalid(`unexpected additional input data for model '${model}'`);
  const rows = checkInputs(version, heads, requestedOf(message));
  const inputs: Tensor[] = [];
  for (const spec of version.signature.inputs) {
    const index = indexOf(heads, spec.name);
    inputs.push(tensorOf(message, index, heads[index]!, counts[index]!, model, limits));
  }
  return { inputs, rows };
}

function indexOf(heads: readonly Head[], name: string): number {
  for (let i = 0; i < heads.length; i++) if (heads[i]!.name === name) return i;
  return -1;
}

/** Names of the outputs asked for; undefined = all. */
export function requestedOf(message: InferMessage): readonly string[] | undefined {
  return message.outputs.length === 0 ? undefined : message.outputs.map((output) => output.name);
}

function checkedShape(input: InputMessage, model: string): number[] {
  const shape: number[] = [];
  for (const dimension of input.dimensions) {
    if (dimension < 0) {
      throw invalid(
        `All input dimensions should be specified for input '${input.name}' for model '${model}', got ${shapeText(input.dimensions)}`,
      );
    }
    shape.push(Number(dimension));
  }
  return shape;
}

/** Where a dimension of 0 hides another that a number cannot hold, the reply could not repeat the shape. */
function checkExact({ name, dimensions }: InputMessage): void {
  if (dimensions.some((dimension) => typeof dimension === 'bigint')) {
    throw invalid(
      `invalid shape for input '${name}': shape ${shapeText(dimensions)} contains one or more invalid dimensions`,
    );
  }
}

/** Exactly one form of data, or none where there are no elements. */
function checkForm(message: InferMessage, index: number, count: number, model: string): void {
  const { name, datatype, contents, isShared } = message.inputs[index]!;
  if (isShared) throw new GatewayError('UNIMPLEMENTED', 'shared memory is not supported');
  if (message.raw.length > 0) {
    if (contents !== undefined) {
      throw invalid(
        `contents field must not be specified when using raw_input_contents for '${name}' for model '${model}'`,
      );
    }
    if (index >= message.raw.length && count > 0) throw noData(name, model);
    return;
  }
  if (contents === undefined || contents.field === 0) {
    if (count > 0) throw noData(name, model);
    return;
  }
  const text = `unexpected explicit tensor data for input tensor '${name}' for model '${model}'`;
  if (isDataType(datatype) && typedFieldOf(datatype) !== contents.field) {
    throw invalid(`${text} of type '${datatypeOfField[contents.field]}', expected datatype '${datatype}'`);
  }
  if (contents.isMixed) throw invalid(`${text}, binary data was already supplied.`);
}

function noData(input: string, model: string): GatewayError {
  return invalid(`unable to find data for input tensor '${input}' for model '${model}' in request.`);
}

function tensorOf(
  message: InferMessage,
  index: number,
  head: Head,
  count: number,
  model: string,
  limits: MessageLimits,
): Tensor {
  // checkInputs has compared the datatype with the model's own.
  const checked = head as Head & { readonly datatype: DataType };
  const contents = message.inputs[index]!.contents;
  if (contents === undefined || contents.field === 0) {
    return decodeRaw(checked, aligned(message.raw[index] ?? nothing), model, limits.stringsMax);
  }
  const { name, datatype, shape } = checked;
  const target = { input: name, model, datatype };
  if (datatype === 'BYTES') {
    checkStringCount(name, model, count, contents.count, limits.stringsMax);
    return { name, datatype, shape, data: typedStrings(message.reader, contents, target) };
  }
  if (contents.count !== count) {
    throw byteSizeMismatch(model, name, count * bytesOf(datatype), contents.count * bytesOf(datatype));
  }
  return { name, datatype, shape, data: typedNumbers(message.reader, contents, target) };
}

function checkStringCount(input: string, model: string, expected: number, got: number, stringsMax: number): void {
  if (expected > stringsMax) {
    throw invalid(
      `input '${input}' for model '${model}' has ${expected} string elements, at most ${stringsMax} are accepted`,
    );
  }
  if (got < expected) {
    throw invalid(
      `expected ${expected} string elements for inference input '${input}' for model '${model}', got ${got}`,
    );
  }
  if (got > expected) {
    throw invalid(
      `unexpected number of string elements ${got} for inference input '${input}' for model '${model}', expecting ${expected}`,
    );
  }
}

/** What a reply carries beside its tensors. */
export interface ReplyHead {
  readonly modelName: string;
  readonly modelVersion: string;
  /** As the request had it; empty = left out. */
  readonly id: string;
}

/** A ModelInferResponse. */
export class ReplyMessage implements Message {
  readonly size: number;
  readonly isCompressed = false;
  readonly #head: ReplyHead;
  readonly #outputs: readonly Tensor[];
  readonly #sizes: Sizes;

  constructor(head: ReplyHead, outputs: readonly Tensor[]) {
    this.#head = head;
    this.#outputs = outputs;
    this.#sizes = sizesOf(outputs);
    this.size = headSize(head) + this.#sizes.total;
  }

  write(out: Buffer, at: number): void {
    writeOutputs(out, writeHead(out, at, this.#head), this.#outputs, this.#sizes);
  }
}

/** `parameters { key: "triton_final_response" value { bool_param: true } }`: every stream message has it. */
const finalResponse = Buffer.concat([
  Buffer.from([0x22, 0x1b, 0x0a, 0x15]),
  Buffer.from('triton_final_response'),
  Buffer.from([0x12, 0x02, 0x08, 0x01]),
]);

/** A ModelStreamInferResponse with an answer; `texts` become its parameters. */
export class StreamReplyMessage implements Message {
  readonly size: number;
  readonly isCompressed = false;
  readonly #head: ReplyHead;
  readonly #outputs: readonly Tensor[];
  readonly #sizes: Sizes;
  readonly #texts: readonly (readonly [key: string, text: string])[];
  readonly #inner: number;

  constructor(head: ReplyHead, outputs: readonly Tensor[], texts: readonly (readonly [string, string])[]) {
    this.#head = head;
    this.#outputs = outputs;
    this.#texts = texts;
    this.#sizes = sizesOf(outputs);
    let textsSize = 0;
    for (const [key, text] of texts) textsSize += textParameterSize(key, text);
    this.#inner = headSize(head) + finalResponse.length + textsSize + this.#sizes.total;
    this.size = bytesSize(this.#inner);
  }

  write(out: Buffer, start: number): void {
    let at = writeHead(out, writeLength(out, start, 0x12, this.#inner), this.#head);
    out.set(finalResponse, at);
    at += finalResponse.length;
    for (const [key, text] of this.#texts) at = writeTextParameter(out, at, key, text);
    writeOutputs(out, at, this.#outputs, this.#sizes);
  }
}

/** A ModelStreamInferResponse with an error. */
export class StreamErrorMessage implements Message {
  readonly size: number;
  readonly isCompressed = false;
  readonly #head: ReplyHead;
  readonly #text: string;
  readonly #inner: number;

  constructor(head: ReplyHead, text: string) {
    this.#head = head;
    this.#text = text;
    this.#inner = headSize(head) + finalResponse.length;
    this.size = textSize(text) + bytesSize(this.#inner);
  }

  write(out: Buffer, start: number): void {
    let at = writeLength(out, writeText(out, start, 0x0a, this.#text), 0x12, this.#inner);
    at = writeHead(out, at, this.#head);
    finalResponse.copy(out, at);
  }
}

function headSize(head: ReplyHead): number {
  return textSize(head.modelName) + textSize(head.modelVersion) + textSize(head.id);
}

function writeHead(out: Buffer, at: number, head: ReplyHead): number {
  const afterName = writeText(out, at, 0x0a, head.modelName);
  return writeText(out, writeText(out, afterName, 0x12, head.modelVersion), 0x1a, head.id);
}

function textParameterSize(key: string, text: string): number {
  return bytesSize(textSize(key) + bytesSize(textSize(text)));
}

function writeTextParameter(out: Buffer, start: number, key: string, text: string): number {
  let at = writeLength(out, start, 0x22, textSize(key) + bytesSize(textSize(text)));
  at = writeText(out, at, 0x0a, key);
  return writeText(out, writeLength(out, at, 0x12, textSize(text)), 0x1a, text);
}

/** Sizes of the embedded messages, and the bytes of every output. */
interface Sizes {
  readonly shapes: readonly number[];
  readonly tensors: readonly number[];
  readonly raw: readonly Uint8Array[];
  readonly total: number;
}

function sizesOf(outputs: readonly Tensor[]): Sizes {
  const shapes: number[] = [];
  const tensors: number[] = [];
  const raw: Uint8Array[] = [];
  let total = 0;
  for (const output of outputs) {
    let shape = 0;
    for (const dimension of output.shape) shape += varintSize(dimension);
    const tensor = textSize(output.name) + textSize(output.datatype) + (shape === 0 ? 0 : bytesSize(shape));
    const bytes = encodeRaw(output);
    shapes.push(shape);
    tensors.push(tensor);
    raw.push(bytes);
    total += bytesSize(tensor) + bytesSize(bytes.length);
  }
  return { shapes, tensors, raw, total };
}

function writeOutputs(out: Buffer, start: number, outputs: readonly Tensor[], sizes: Sizes): void {
  let at = start;
  for (let i = 0; i < outputs.length; i++) {
    const { name, datatype, shape } = outputs[i]!;
    at = writeLength(out, at, 0x2a, sizes.tensors[i]!);
    at = writeText(out, writeText(out, at, 0x0a, name), 0x12, datatype);
    if (shape.length === 0) continue;
    at = writeLength(out, at, 0x1a, sizes.shapes[i]!);
    for (const dimension of shape) at = writeVarint(out, at, dimension);
  }
  for (let i = 0; i < outputs.length; i++) {
    const bytes = sizes.raw[i]!;
    at = writeLength(out, at, 0x32, bytes.length);
    out.set(bytes, at);
    // The runtime promises no more than non-zero for true; the wire promises 1.
    if (outputs[i]!.datatype === 'BOOL') normaliseBooleans(out.subarray(at, at + bytes.length));
    at += bytes.length;
  }
}
