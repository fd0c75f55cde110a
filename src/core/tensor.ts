/**
 * Tensors: the values that requests and replies are made of.
 *
 * A tensor is a name, a V2 datatype, a shape and its elements in row-major order. Numbers live in the typed array of their
 * datatype (BOOL in bytes of 0 and 1, FP16 as its 16-bit patterns), BYTES in an array of strings, because that is what the
 * runtime takes and gives. Rows are the first dimension: `concat` and `split` work along it.
 *
 * Must not know protocols or the runtime.
 */
import { GatewayError, invalid } from './errors.js';

export type DataType =
  | 'BOOL'
  | 'UINT8'
  | 'UINT16'
  | 'UINT32'
  | 'UINT64'
  | 'INT8'
  | 'INT16'
  | 'INT32'
  | 'INT64'
  | 'FP16'
  | 'BF16'
  | 'FP32'
  | 'FP64'
  | 'BYTES';

export type TypedArray =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

export type TensorData = TypedArray | readonly string[];

export interface Tensor {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** What a model declares of an input or output; −1 is a dimension that varies. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: readonly number[];
}

type TypedArrayOf = {
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TypedArray;
};

interface TypeFacts {
  /** Bytes of one element; 0 for BYTES, whose elements differ in length. */
  readonly size: number;
  readonly array: TypedArrayOf | undefined;
}

const facts: Readonly<Record<DataType, TypeFacts>> = {
  BOOL: { size: 1, array: Uint8Array },
  UINT8: { size: 1, array: Uint8Array },
  UINT16: { size: 2, array: Uint16Array },
  UINT32: { size: 4, array: Uint32Array },
  UINT64: { size: 8, array: BigUint64Array },
  INT8: { size: 1, array: Int8Array },
  INT16: { size: 2, array: Int16Array },
  INT32: { size: 4, array: Int32Array },
  INT64: { size: 8, array: BigInt64Array },
  FP16: { size: 2, array: Uint16Array },
  BF16: { size: 2, array: Uint16Array },
  FP32: { size: 4, array: Float32Array },
  FP64: { size: 8, array: Float64Array },
  BYTES: { size: 0, array: undefined },
};

/** All of them. In the prediction log a datatype is its place in this list: a new one goes last. */
export const datatypes = Object.keys(facts) as readonly DataType[];

/** `name` is one of the V2 datatypes. Case matters. */
export function isDataType(name: string): name is DataType {
  return Object.hasOwn(facts, name);
}

/** Bytes of one element; 0 for BYTES. */
export function bytesOf(datatype: DataType): number {
  return facts[datatype].size;
}

/** Number of elements of `shape`; 1 for a scalar. Above 2^53 the result is inexact, which every caller compares first. */
export function countOf(shape: readonly number[]): number {
  let count = 1;
  for (const dimension of shape) count *= dimension;
  return count;
}

/** Zeroed storage for `count` elements of a datatype that has a fixed size. */
export function allocate(datatype: DataType, count: number): TypedArray {
  const { array } = facts[datatype];
  if (array === undefined) throw new GatewayError('INTERNAL', `no storage for ${datatype}`);
  return new array(count);
}

/**
 * The bytes `[offset, offset + length)` of `source` as elements of `datatype`. A view where the offset is aligned and the
 * bytes may be shared, else a copy: a typed array over an unaligned offset does not exist.
 */
export function elementsOf(datatype: DataType, source: Uint8Array, offset: number, length: number): TypedArray {
  const { array, size } = facts[datatype];
  if (array === undefined) throw new GatewayError('INTERNAL', `no elements for ${datatype}`);
  const start = source.byteOffset + offset;
  if (start % size === 0) return new array(source.buffer, start, length / size);
  // Not `source.slice`: that of a Buffer is a view, and its `buffer` the pool that it was cut from.
  const copy = new Uint8Array(length);
  copy.set(source.subarray(offset, offset + length));
  return new array(copy.buffer, 0, length / size);
}

/** Any typed array as its bytes, without a copy. */
export function asBytes(data: TypedArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** `shape` as the wire texts write it: `[-1,16]`. */
export function shapeText(shape: readonly (number | bigint)[]): string {
  return `[${shape.join(',')}]`;
}

/**
 * Tensors of the same name, datatype and row shape as one, rows in the order given.
 * @throws nothing: the caller has put only like shapes together.
 */
export function concat(parts: readonly Tensor[]): Tensor {
  const first = parts[0]!;
  if (parts.length === 1) return first;
  let rows = 0;
  let length = 0;
  for (const part of parts) {
    rows += part.shape[0]!;
    length += part.data.length;
  }
  const shape = [rows, ...first.shape.slice(1)];
  if (first.datatype === 'BYTES') {
    const data: string[] = [];
    for (const part of parts) for (const text of part.data as readonly string[]) data.push(text);
    return { name: first.name, datatype: first.datatype, shape, data };
  }
  const data = allocate(first.datatype, length);
  let at = 0;
  for (const part of parts) {
    (data as Float32Array).set(part.data as Float32Array, at);
    at += part.data.length;
  }
  return { name: first.name, datatype: first.datatype, shape, data };
}

/** Rows `[from, from + count)` of a tensor, as a view. */
export function rowsOf(tensor: Tensor, from: number, count: number): Tensor {
  const total = tensor.shape[0]!;
  const perRow = total === 0 ? 0 : tensor.data.length / total;
  const start = from * perRow;
  const end = start + count * perRow;
  const data =
    tensor.datatype === 'BYTES'
      ? (tensor.data as readonly string[]).slice(start, end)
      : (tensor.data as TypedArray).subarray(start, end);
  return { name: tensor.name, datatype: tensor.datatype, shape: [count, ...tensor.shape.slice(1)], data };
}

/** Makes every byte of a BOOL tensor 0 or 1, in place: the runtime passes other values on as they are. */
export function normaliseBooleans(bytes: Uint8Array): Uint8Array {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 1) bytes[i] = 1;
  return bytes;
}

/** Refuses text that the runtime would change without a word: cut at NUL, lone surrogates replaced. */
export function checkText(text: string, index: number, input: string, model: string): void {
  if (text.includes('\0'))
    throw invalid(`string element ${index} of input '${input}' for model '${model}' contains a NUL byte`);
  if (!text.isWellFormed()) {
    throw invalid(`string element ${index} of input '${input}' for model '${model}' is not valid UTF-8`);
  }
}
