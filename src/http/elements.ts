/**
 * The elements of a tensor from the span of JSON that holds them: each datatype's own rule, and exactly as many as the shape
 * says.
 *
 * Must not know requests: it is given a span, a datatype and how many elements there must be.
 */
import { GatewayError, invalid } from '../core/errors.js';
import { halfOf } from '../core/half.js';
import {
  allocate,
  bytesOf,
  checkText,
  type DataType,
  elementsOf,
  type TensorData,
  type TypedArray,
} from '../core/tensor.js';
import { ElementCursor, type Owner, type Span } from './element-cursor.js';
import type { JsonReader } from './json-reader.js';

const ranges: Partial<Record<DataType, readonly [number, number]>> = {
  INT8: [-128, 127],
  INT16: [-32768, 32767],
  INT32: [-2147483648, 2147483647],
  UINT8: [0, 255],
  UINT16: [0, 65535],
  UINT32: [0, 4294967295],
};
const wideRanges = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
} as const;

/**
 * @param count elements that the shape asks for
 * @throws INVALID_ARGUMENT when there are more or fewer, or one is not of the datatype
 */
export function readElements(
  reader: JsonReader,
  span: Span,
  datatype: DataType,
  count: number,
  owner: Owner,
): TensorData {
  // Each element but the last takes two bytes at least, so storage never grows beyond what was really sent.
  if (count > (span.end - span.start) >>> 1) throw tooFew();
  const cursor = new ElementCursor(reader, span, owner);
  switch (datatype) {
    case 'FP32':
      return floats(cursor, storageFor('FP32', count) as Float32Array);
    case 'FP64':
      return doubles(cursor, storageFor('FP64', count) as Float64Array);
    case 'FP16':
      return halves(cursor, new Uint16Array(count));
    case 'INT64':
    case 'UINT64':
      return wideIntegers(cursor, storageFor(datatype, count) as BigInt64Array, datatype);
    case 'BOOL':
      return booleans(cursor, new Uint8Array(count));
    case 'BYTES':
      return strings(cursor, count, owner);
    case 'BF16':
      throw new GatewayError('INTERNAL', 'BF16 elements in JSON');
    default:
      return integers(cursor, storageFor(datatype, count) as Int32Array, datatype);
  }
}

const blockBytes = 64 * 1024;
const smallBytes = 1024;
let block = new Uint8Array(blockBytes);
let blockAt = 0;

/**
 * Zeroed storage. What is small is cut from a shared block, each part of it once: such a view costs 0.07 µs, an ArrayBuffer
 * of its own 0.55 and later the collector's time (bench/micro/json.ts).
 */
function storageFor(datatype: DataType, count: number): TypedArray {
  const bytes = count * bytesOf(datatype);
  if (bytes > smallBytes) return allocate(datatype, count);
  if (blockAt + bytes > blockBytes) {
    block = new Uint8Array(blockBytes);
    blockAt = 0;
  }
  const elements = elementsOf(datatype, block, blockAt, bytes);
  blockAt = (blockAt + bytes + 7) & ~7;
  return elements;
}

function tooFew(): GatewayError {
  return invalid(`Failed to parse 'data' field: shape does not match true shape`);
}

function tooMany(): GatewayError {
  return invalid(`Unable to parse 'data': Shape does not match true shape of 'data' field`);
}

function floats(cursor: ElementCursor, out: Float32Array): Float32Array {
  const count = out.length;
  let index = 0;
  while (cursor.next()) {
    if (index === count) throw tooMany();
    out[index] = cursor.readFloat(index);
    index++;
  }
  if (index < count) throw tooFew();
  return out;
}

function doubles(cursor: ElementCursor, out: Float64Array): Float64Array {
  const count = out.length;
  let index = 0;
  while (cursor.next()) {
    if (index === count) throw tooMany();
    out[index] = cursor.readDouble(index, 'FP64');
    index++;
  }
  if (index < count) throw tooFew();
  return out;
}

function halves(cursor: ElementCursor, out: Uint16Array): Uint16Array {
  let index = 0;
  for (; cursor.next(); index++) {
    if (index === out.length) throw tooMany();
    const value = cursor.readDouble(index, 'FP16');
    const bits = halfOf(value);
    if (Number.isFinite(value) && (bits & 0x7c00) === 0x7c00) cursor.refuse(index, 'FP16');
    out[index] = bits;
  }
  if (index < out.length) throw tooFew();
  return out;
}

function integers(cursor: ElementCursor, out: Int32Array, datatype: DataType): Int32Array {
  const [min, max] = ranges[datatype]!;
  const count = out.length;
  let index = 0;
  while (cursor.next()) {
    if (index === count) throw tooMany();
    const value = cursor.readInteger();
    if (!(value >= min && value <= max)) cursor.refuse(index, datatype);
    out[index] = value;
    index++;
  }
  if (index < count) throw tooFew();
  return out;
}

function wideIntegers(cursor: ElementCursor, out: BigInt64Array, datatype: 'INT64' | 'UINT64'): BigInt64Array {
  const [min, max] = wideRanges[datatype];
  let index = 0;
  for (; cursor.next(); index++) {
    if (index === out.length) throw tooMany();
    const value = cursor.readWideInteger();
    if (value === undefined || value < min || value > max) cursor.refuse(index, datatype);
    out[index] = value;
  }
  if (index < out.length) throw tooFew();
  return out;
}

function booleans(cursor: ElementCursor, out: Uint8Array): Uint8Array {
  let index = 0;
  for (; cursor.next(); index++) {
    if (index === out.length) throw tooMany();
    const value = cursor.takeWord('true') ? 1 : cursor.takeWord('false') ? 0 : cursor.refuse(index, 'BOOL');
    out[index] = value;
  }
  if (index < out.length) throw tooFew();
  return out;
}

function strings(cursor: ElementCursor, count: number, owner: Owner): string[] {
  const out: string[] = [];
  while (cursor.next()) {
    if (out.length === count) throw tooMany();
    const text = cursor.readText() ?? cursor.refuse(out.length, 'BYTES');
    checkText(text, out.length, owner.input, owner.model);
    out.push(text);
  }
  if (out.length < count) throw tooFew();
  return out;
}
