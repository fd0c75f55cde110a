/**
 * Inputs and outputs in a frame: numbers as they lie in memory, texts after their lengths. A tensor beyond its limit keeps
 * its first whole elements, and what a rule drops is overwritten at once, so that it does not even reach the observer.
 *
 *   u8 tensors │ each: u16 name length, name │ u8 datatype │ u8 rank │ u32 dimensions │ u32 elements kept │ u32 bytes │ bytes
 *
 * Must not know the rest of a frame.
 */
import {
  asBytes,
  bytesOf,
  type DataType,
  datatypes,
  elementsOf,
  type Tensor,
  type TypedArray,
} from '../core/tensor.js';
import type { Bytes } from './chunk.js';
import { tensorsMax } from './layout.js';
import type { Rule, Subject } from './subject.js';
import { nameCharsMax, putTensorHead } from './tensor-head.js';
import { slackBytes } from './words.js';

/** Elements of one side of an event: with the longest texts and names, both sides fit a chunk. */
const sideBytesMax = 80 * 1024;
const rankMax = 16;

function elementBytesMax(tensor: Tensor, limit: number): number {
  if (tensor.datatype !== 'BYTES') return Math.min((tensor.data as TypedArray).byteLength, limit);
  let bytes = 0;
  for (const text of tensor.data as readonly string[]) {
    bytes += 4 + 3 * text.length;
    if (bytes > limit) return limit;
  }
  return bytes;
}

function headBytesMax(tensor: Tensor): number {
  return 2 + 3 * Math.min(tensor.name.length, nameCharsMax) + 10 + slackBytes + 4 * tensor.shape.length;
}

interface Sides {
  readonly inputs: readonly Tensor[] | undefined;
  readonly outputs: readonly Tensor[] | undefined;
}

/** What is left of tensors. */
type Keeping = Pick<Subject, 'rules' | 'limits' | 'isTapped'>;

/** For a tap no less than without a limit: what is too much for a file is cut off behind it. */
function bytesMaxOf({ limits, isTapped }: Keeping, side: Rule['side'], name: string, tensorBytesMax: number): number {
  for (let i = 0; i < limits.length; i++) {
    const { side: of, tensor, bytes } = limits[i]!;
    if (of === side && tensor === name) return isTapped ? Math.max(bytes, tensorBytesMax) : bytes;
  }
  return tensorBytesMax;
}

/** Bytes that `putPayload` cannot exceed. */
export function payloadBytesMax({ inputs, outputs }: Sides, keeping: Keeping, tensorBytesMax: number): number {
  return (
    tensorsBytesMax(inputs, keeping, tensorBytesMax, 'inputs') +
    tensorsBytesMax(outputs, keeping, tensorBytesMax, 'outputs')
  );
}

function tensorsBytesMax(
  tensors: readonly Tensor[] | undefined,
  keeping: Keeping,
  tensorBytesMax: number,
  side: Rule['side'],
): number {
  if (tensors === undefined) return 1;
  let bytes = 1;
  let left = sideBytesMax;
  for (let i = 0; i < tensors.length && i < tensorsMax; i++) {
    const tensor = tensors[i]!;
    const elements = elementBytesMax(tensor, Math.min(bytesMaxOf(keeping, side, tensor.name, tensorBytesMax), left));
    left -= elements;
    bytes += headBytesMax(tensor) + elements;
  }
  return bytes;
}

/** Inputs, then outputs. @returns where they end; negative when something was cut */
export function putPayload(
  chunk: Bytes,
  start: number,
  { inputs, outputs }: Sides,
  keeping: Keeping,
  tensorBytesMax: number,
): number {
  const inputsEnd = putTensors(chunk, start, inputs, keeping, tensorBytesMax, 'inputs');
  const end = putTensors(chunk, Math.abs(inputsEnd), outputs, keeping, tensorBytesMax, 'outputs');
  return inputsEnd < 0 ? -Math.abs(end) : end;
}

/** @returns where it ends; negative when something was cut */
function putTensors(
  chunk: Bytes,
  start: number,
  tensors: readonly Tensor[] | undefined,
  keeping: Keeping,
  tensorBytesMax: number,
  side: Rule['side'],
): number {
  const { view } = chunk;
  if (tensors === undefined) {
    view.setUint8(start, 0);
    return start + 1;
  }
  const count = Math.min(tensors.length, tensorsMax);
  view.setUint8(start, count);
  let at = start + 1;
  let left = sideBytesMax;
  let isCut = tensors.length > tensorsMax;
  for (let i = 0; i < count; i++) {
    const tensor = tensors[i]!;
    const limit = Math.min(bytesMaxOf(keeping, side, tensor.name, tensorBytesMax), left);
    const rank = Math.min(tensor.shape.length, rankMax);
    at = putTensorHead(chunk, at, tensor, rank);
    for (let d = 0; d < rank; d++, at += 4) view.setUint32(at, tensor.shape[d]!, true);
    const head = at;
    at += 8;
    const { rules } = keeping;
    const isDropped = rules.length > 0 && dropsWhole(rules, side, tensor.name);
    written = 0;
    const kept = isDropped ? 0 : putElements(chunk, at, tensor, limit, rules, side);
    if (!isDropped && kept < tensor.data.length) isCut = true;
    view.setUint32(head, kept, true);
    view.setUint32(head + 4, written, true);
    at += written;
    left -= written;
  }
  return isCut ? -at : at;
}

function isDrop(rule: Rule, side: Rule['side'], name: string): boolean {
  return rule.how === 'drop' && rule.side === side && rule.tensor === name;
}

/** Apart from its caller, whose variables a closure would put on the heap for every tensor. */
function dropsWhole(rules: readonly Rule[], side: Rule['side'], name: string): boolean {
  return rules.some((rule) => isDrop(rule, side, name) && rule.index === -1);
}

const none: readonly number[] = [];
const fewNumbers = 64;

function droppedColumns(rules: readonly Rule[], side: Rule['side'], name: string): number[] {
  return rules.filter((rule) => isDrop(rule, side, name)).map(({ index }) => index);
}

/** Bytes that the last `putElements` wrote. */
let written = 0;

function putElements(
  chunk: Bytes,
  at: number,
  tensor: Tensor,
  limit: number,
  rules: readonly Rule[],
  side: Rule['side'],
): number {
  const dropped = rules.length === 0 ? none : droppedColumns(rules, side, tensor.name);
  const perRow = dropped.length === 0 ? 1 : rowLength(tensor.shape, tensor.data.length);
  if (tensor.datatype === 'BYTES') {
    const texts = tensor.data as readonly string[];
    for (let i = 0; i < texts.length; i++) {
      const text = dropped.length > 0 && dropped.includes(i % perRow) ? '' : texts[i]!;
      if (written + 4 + 3 * text.length > limit) return i;
      const length = chunk.bytes.write(text, at + written + 4, 'utf8');
      chunk.view.setUint32(at + written, length, true);
      written += 4 + length;
    }
    return texts.length;
  }
  const numbers = tensor.data as TypedArray;
  // A view of the bytes and the call that copies it cost more than a loop over a few.
  if (rules.length === 0 && numbers.length <= fewNumbers && numbers.byteLength <= limit) {
    written = putFew(chunk.view, at, numbers);
    if (written > 0) return numbers.length;
  }
  const source = asBytes(numbers);
  const size = bytesOf(tensor.datatype);
  const kept = Math.floor(Math.min(source.length, limit) / size);
  written = kept * size;
  chunk.bytes.set(written === source.length ? source : source.subarray(0, written), at);
  for (const index of dropped) {
    for (let i = index; i < kept; i += perRow) chunk.bytes.fill(0, at + i * size, at + (i + 1) * size);
  }
  return kept;
}

/** @returns the bytes written; 0 for types that are rare enough to be copied as bytes */
function putFew(view: DataView, at: number, numbers: TypedArray): number {
  const { length } = numbers;
  if (numbers instanceof Float32Array) {
    for (let i = 0; i < length; i++) view.setFloat32(at + 4 * i, numbers[i]!, true);
    return 4 * length;
  }
  if (numbers instanceof BigInt64Array) {
    for (let i = 0; i < length; i++) view.setBigInt64(at + 8 * i, numbers[i]!, true);
    return 8 * length;
  }
  if (numbers instanceof Float64Array) {
    for (let i = 0; i < length; i++) view.setFloat64(at + 8 * i, numbers[i]!, true);
    return 8 * length;
  }
  if (numbers instanceof Int32Array) {
    for (let i = 0; i < length; i++) view.setInt32(at + 4 * i, numbers[i]!, true);
    return 4 * length;
  }
  return 0;
}

/** Elements of one row; the first dimension counts rows. */
export function rowLength(shape: readonly number[], length: number): number {
  const rows = shape[0] ?? 1;
  return rows > 0 ? Math.max(1, length / rows) : 1;
}

/** A tensor that may have lost its end: `data` holds its first elements only. */
export interface KeptTensor extends Tensor {
  /** Elements that it had. */
  readonly length: number;
}

/** What `putTensors` wrote, and where it ended. Numbers are copies. */
export function tensorsAt(bytes: Buffer, start: number): { tensors: KeptTensor[]; end: number } {
  const tensors: KeptTensor[] = [];
  let at = start + 1;
  for (let count = bytes.readUInt8(start); count > 0; count--) {
    const { tensor, end } = tensorAt(bytes, at);
    tensors.push(tensor);
    at = end;
  }
  return { tensors, end: at };
}

/** One of them. */
export function tensorAt(bytes: Buffer, start: number): { tensor: KeptTensor; end: number } {
  const nameLength = bytes.readUInt16LE(start);
  let at = start + 2 + nameLength;
  const name = bytes.toString('utf8', start + 2, at);
  const datatype = datatypes[bytes.readUInt8(at)] ?? 'BYTES';
  const rank = bytes.readUInt8(at + 1);
  at += 2;
  const shape: number[] = [];
  for (let d = 0; d < rank; d++, at += 4) shape.push(bytes.readUInt32LE(at));
  const kept = bytes.readUInt32LE(at);
  const size = bytes.readUInt32LE(at + 4);
  at += 8;
  const data = datatype === 'BYTES' ? textsAt(bytes, at, kept) : numbersAt(bytes, at, datatype, size);
  const length = shape.reduce((product, dimension) => product * dimension, 1);
  return { tensor: { name, datatype, shape, data, length }, end: at + size };
}

function textsAt(bytes: Buffer, start: number, count: number): string[] {
  const texts: string[] = [];
  for (let at = start; texts.length < count; ) {
    const length = bytes.readUInt32LE(at);
    texts.push(bytes.toString('utf8', at + 4, at + 4 + length));
    at += 4 + length;
  }
  return texts;
}

/** Copied, because neither alignment nor the life of the chunk is ours. */
function numbersAt(bytes: Buffer, at: number, datatype: DataType, size: number): TypedArray {
  const copy = new Uint8Array(size);
  copy.set(bytes.subarray(at, at + size));
  return elementsOf(datatype, copy, 0, size);
}
