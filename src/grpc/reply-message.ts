/**
 * Replies to inferences as protobuf messages: their sizes are known before the first byte is written.
 *
 * They always carry `raw_output_contents`, one entry for every output, whatever form the request had.
 *
 * Must not know the DataPlane or the gRPC library.
 */
import { encodeRaw } from '../core/raw.js';
import { normaliseBooleans, type Tensor } from '../core/tensor.js';
import type { Message } from './call.js';
import { bytesSize, textSize, varintSize, writeLength, writeText, writeVarint } from './wire.js';

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
