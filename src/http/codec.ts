/**
 * V2 over HTTP ↔ core: a request's bytes to checked inputs in the model's own order, a reply to its bytes.
 *
 *   bytes → readRequest (syntax, nothing of the model) → decodeRequest (compared with the version, then converted)
 *
 * Order matters: names, datatypes and shapes are compared before an element is converted, and what the client says about
 * sizes is compared with the bytes that are there before anything is allocated (protocol §10).
 *
 * Must not know the DataPlane or sockets.
 */
import { type GatewayError, invalid } from '../core/errors.js';
import { checkInputs, type Expectation } from '../core/model.js';
import { decodeRaw } from '../core/raw.js';
import { bytesOf, type DataType, type Tensor } from '../core/tensor.js';
import type { Span } from './element-cursor.js';
import { readElements } from './elements.js';
import { FamiliarTexts } from './familiar-text.js';
import { JsonReader } from './json-reader.js';
import type { NonFinite } from './json-writer.js';
import { noParameters, unparsable } from './parameters.js';
import { type InputSkeleton, type OutputChoice, type RequestSkeleton, readSkeleton } from './skeleton.js';
import { statusOf } from './status.js';

export interface CodecOptions {
  /** Deepest nesting of a whole JSON document. */
  readonly jsonDepthMax: number;
  readonly nonFinite: NonFinite;
  readonly fp16Json: 'refuse' | 'convert';
  /** Elements of one BYTES tensor. */
  readonly stringsMax: number;
}

/** A request whose syntax is known to be right. */
export interface WireRequest {
  readonly body: Buffer;
  /** Undefined for a raw request: the body is the data of the only input. */
  readonly skeleton: RequestSkeleton | undefined;
  readonly reader: JsonReader;
  /** Where the blobs begin. */
  readonly blobStart: number;
}

/** What the model needs of a request, and what its reply will. */
export interface DecodedRequest {
  /** In the model's own order. */
  readonly inputs: readonly Tensor[];
  readonly rows: number;
  /** Names of the outputs asked for; undefined = all. */
  readonly outputs: readonly string[] | undefined;
  readonly form: ReplyForm;
}

/** How the outputs are to be written. */
export interface ReplyForm {
  /** The request's own id, empty = none. */
  readonly id: string;
  /** Undefined = all outputs, in binary when `isBinary`. */
  readonly choices: readonly OutputChoice[] | undefined;
  readonly isBinary: boolean;
}

const headerMax = 2 ** 31 - 1;

/**
 * The length of the JSON part from the header `Inference-Header-Content-Length`.
 * @returns the whole body when there is no header; 0 for a raw request
 */
export function jsonLength(header: string | undefined, bodyBytes: number): number {
  if (header === undefined) return bodyBytes;
  const isNegative = /^-[0-9]+$/.test(header);
  if (!isNegative && !/^[0-9]+$/.test(header)) {
    throw invalid(`Unable to parse Inference-Header-Content-Length, got: ${header}`);
  }
  const length = Number(header);
  if (length > headerMax || length < -headerMax - 1) {
    throw invalid(
      `Unable to parse Inference-Header-Content-Length, value is out of range [ -2147483648, 2147483647 ], got: ${header}`,
    );
  }
  if (isNegative || length > bodyBytes) {
    throw invalid(`inference header size should be in range (0, ${bodyBytes}), got: ${header}`);
  }
  return length;
}

/** One for the thread: of each model, what its clients write around their numbers. */
const texts = new FamiliarTexts<RequestSkeleton>(1000);

/** Reads everything but the elements. @param model as it was asked for @throws INVALID_ARGUMENT */
export function readRequest(
  body: Buffer,
  headerLength: string | undefined,
  options: CodecOptions,
  model = '',
): WireRequest {
  const length = jsonLength(headerLength, body.length);
  const reader = new JsonReader(body, length, options.jsonDepthMax);
  const isRaw = length === 0 && headerLength !== undefined;
  return { body, skeleton: isRaw ? undefined : skeletonOf(reader, model), reader, blobStart: length };
}

function skeletonOf(reader: JsonReader, model: string): RequestSkeleton {
  const familiar = texts.recognise(model, reader);
  if (familiar !== undefined) return withSpan(familiar.meaning, familiar.span);
  const skeleton = readSkeleton(reader);
  texts.read(model, reader, skeleton.inputs.length === 1 ? skeleton.inputs[0]!.span : undefined, skeleton);
  return skeleton;
}

/** Written out: a spread costs more than what it saves to read. */
function withSpan({ id, parameters, inputs, hasInputs, outputs }: RequestSkeleton, span: Span): RequestSkeleton {
  const { name, datatype, shape, count, blobBytes } = inputs[0]!;
  return { id, parameters, inputs: [{ name, datatype, shape, count, span, blobBytes }], hasInputs, outputs };
}

/**
 * Compares a request with the version that is to answer it, then converts its elements.
 * @throws INVALID_ARGUMENT with the wire text of the first thing that is wrong
 */
export function decodeRequest(version: Expectation, wire: WireRequest, options: CodecOptions): DecodedRequest {
  const { skeleton } = wire;
  if (skeleton === undefined) return decodeRawRequest(version, wire, options);
  const { model } = version.id;
  const { inputs: heads, outputs: choices } = skeleton;
  const specs = version.signature.inputs;
  if (!skeleton.hasInputs && specs.length > 0) throw unparsable('inputs', 'the request has no such member');
  const blobs = heads.length === 0 || wire.blobStart === wire.body.length ? undefined : placeBlobs(wire, heads, model);
  if (blobs === undefined) checkNoBlobs(wire, heads, model);
  const outputs = choices === undefined ? undefined : choices.map((choice) => choice.name);
  const form: ReplyForm = { id: skeleton.id, choices, isBinary: choices === undefined && skeleton.parameters.isBinary };
  const rows = checkInputs(version, heads, outputs);
  checkForms(version, form, options);
  const inputs: Tensor[] = [];
  for (let i = 0; i < specs.length; i++) {
    const at = heads.length === 1 ? 0 : heads.findIndex((head) => head.name === specs[i]!.name);
    inputs.push(decodeInput(wire, heads[at]!, blobs?.[at] ?? wire.blobStart, model, options));
  }
  return { inputs, rows, outputs, form };
}

/** Where each blob begins. */
function placeBlobs(wire: WireRequest, heads: readonly InputSkeleton[], model: string): number[] {
  const starts: number[] = [];
  let at = wire.blobStart;
  for (const { name, blobBytes = 0 } of heads) {
    starts.push(at);
    const missing = blobBytes - (wire.body.length - at);
    if (missing > 0)
      throw invalid(`unexpected size for input '${name}', expecting ${missing} additional bytes for model '${model}'`);
    at += blobBytes;
  }
  if (at < wire.body.length) throw invalid(`unexpected additional input data for model '${model}'`);
  return starts;
}

/** The same when nothing follows the JSON. */
function checkNoBlobs(wire: WireRequest, heads: readonly InputSkeleton[], model: string): void {
  for (let i = 0; i < heads.length; i++) if ((heads[i]!.blobBytes ?? 0) > 0) placeBlobs(wire, heads, model);
  if (wire.blobStart < wire.body.length) throw invalid(`unexpected additional input data for model '${model}'`);
}

function decodeInput(
  wire: WireRequest,
  head: InputSkeleton,
  blobStart: number,
  model: string,
  options: CodecOptions,
): Tensor {
  const { name, shape, count, span, blobBytes } = head;
  const datatype = head.datatype as DataType;
  if (span === undefined) {
    return decodeRaw(
      { name, datatype, shape },
      wire.body.subarray(blobStart, blobStart + blobBytes!),
      model,
      options.stringsMax,
    );
  }
  if (datatype === 'BF16' || (datatype === 'FP16' && options.fp16Json === 'refuse')) {
    throw invalid(
      `receiving ${datatype} data via JSON is not supported. Please use the binary data format for input ${name}`,
    );
  }
  if (datatype === 'BYTES' && count > options.stringsMax) {
    throw invalid(
      `input '${name}' for model '${model}' has ${count} string elements, at most ${options.stringsMax} are accepted`,
    );
  }
  return { name, datatype, shape, data: readElements(wire.reader, span, datatype, count, { input: name, model }) };
}

/** Refuses what could not be written, before the model runs. */
function checkForms(version: Expectation, form: ReplyForm, options: CodecOptions): void {
  for (const { name, datatype } of version.signature.outputs) {
    const isSmall = datatype === 'FP16' || datatype === 'BF16';
    if (!isSmall && datatype !== 'BYTES') continue;
    const choice = form.choices?.find((one) => one.name === name);
    if (form.choices !== undefined && choice === undefined) continue;
    if (choice !== undefined && choice.classes > 0) {
      throw invalid(`class result not available for output due to unsupported type '${datatype}'`);
    }
    const isConverted = datatype === 'FP16' && options.fp16Json === 'convert';
    if (isSmall && !isConverted && !(choice?.isBinary ?? form.isBinary)) {
      throw invalid(
        `sending ${datatype} data via JSON is not supported. Please use the binary data format for output ${name}`,
      );
    }
  }
}

/** Header length 0: the whole body is the only input's data, and its shape is deduced from its size (protocol §6.4). */
function decodeRawRequest(version: Expectation, wire: WireRequest, options: CodecOptions): DecodedRequest {
  const { model } = version.id;
  const specs = version.signature.inputs;
  if (specs.length !== 1) {
    throw invalid(
      `Raw request must only have 1 input (found 1) to be deduced but got ${specs.length} inputs in '${model}' model configuration`,
    );
  }
  const { name, datatype, shape: declared } = specs[0]!;
  const isBatched = version.batch.rowsMax > 0;
  const shape = declared.map((dimension, axis) => (isBatched && axis === 0 ? 1 : dimension));
  const open = shape.filter((dimension) => dimension === -1).length;
  if (open > 1) {
    throw invalid(
      `The shape of the raw input '${name}' can not be deduced because there are more than one variable-sized dimension`,
    );
  }
  const fixed = shape.reduce((product, dimension) => (dimension === -1 ? product : product * dimension), 1);
  let bytes: Buffer = wire.body;
  if (datatype === 'BYTES') {
    if (shape.slice(isBatched ? 1 : 0).join() !== '1') {
      throw invalid(`For BYTE datatype raw input '${name}', the model must have input shape [1]`);
    }
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(bytes.length);
    bytes = Buffer.concat([prefix, bytes]);
  }
  const size = datatype === 'BYTES' ? bytes.length : bytesOf(datatype) * fixed;
  const deduced = size === 0 ? 0 : Math.floor(bytes.length / size);
  const full = shape.map((dimension) => (dimension === -1 ? deduced : dimension));
  const form: ReplyForm = { id: '', choices: undefined, isBinary: true };
  checkForms(version, form, options);
  const rows = checkInputs(version, [{ name, datatype, shape: full }], undefined);
  const input = decodeRaw({ name, datatype, shape: full }, bytes, model, options.stringsMax);
  return { inputs: [input], rows, outputs: undefined, form };
}

/** The parameters of a request in either form. */
export function parametersOf(wire: WireRequest): RequestSkeleton['parameters'] {
  return wire.skeleton?.parameters ?? noParameters;
}

/** The status of an error; a body over the limit is told from a full queue. */
export function httpStatus(error: GatewayError): number {
  if (error.code === 'RESOURCE_EXHAUSTED' && error.reason === 'too_large') return 413;
  return statusOf[error.code];
}
