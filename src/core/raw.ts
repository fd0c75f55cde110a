/**
 * The binary form of a tensor: little-endian, row-major, no padding; each BYTES element after its length as uint32.
 *
 * The binary tensors of HTTP and the raw contents of gRPC are both this. Lengths that a client wrote are compared with the
 * bytes that are there before anything is made of them.
 *
 * Must not know messages or headers.
 */
import { isUtf8 } from 'node:buffer';
import { invalid } from './errors.js';
import {
  asBytes,
  bytesOf,
  countOf,
  type DataType,
  elementsOf,
  normaliseBooleans,
  type Tensor,
  type TypedArray,
} from './tensor.js';
import { byteSizeMismatch } from './tensor-head.js';

/**
 * A tensor from its binary form. Numbers are a view of `bytes` where they are aligned, so `bytes` must not change later.
 * @param count elements, as `checkedCount` gave it
 * @throws INVALID_ARGUMENT when the bytes are not exactly those of the shape, or a string is one the runtime would change
 */
export function decodeRaw(
  head: { readonly name: string; readonly datatype: DataType; readonly shape: readonly number[] },
  bytes: Uint8Array,
  model: string,
  stringsMax: number,
): Tensor {
  const { name, datatype, shape } = head;
  const count = countOf(shape);
  if (datatype === 'BYTES') {
    return { name, datatype, shape, data: decodeStrings(name, bytes, count, model, stringsMax) };
  }
  const expected = count * bytesOf(datatype);
  if (bytes.length !== expected) throw byteSizeMismatch(model, name, expected, bytes.length);
  const data = elementsOf(datatype, bytes, 0, expected);
  if (datatype === 'BOOL') normaliseBooleans(data as Uint8Array);
  return { name, datatype, shape, data };
}

function decodeStrings(name: string, bytes: Uint8Array, count: number, model: string, stringsMax: number): string[] {
  if (count > stringsMax) {
    throw invalid(
      `input '${name}' for model '${model}' has ${count} string elements, at most ${stringsMax} are accepted`,
    );
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data: string[] = [];
  let at = 0;
  while (at < buffer.length) {
    if (data.length === count) {
      throw invalid(
        `unexpected number of string elements ${count + 1} for inference input '${name}' for model '${model}', expecting ${count}`,
      );
    }
    const left = buffer.length - at;
    if (left < 4) {
      throw invalid(
        `incomplete string length indicator for inference input '${name}' for model '${model}', expecting 4 bytes but only ${left} bytes available`,
      );
    }
    const length = buffer.readUInt32LE(at);
    at += 4;
    if (length > buffer.length - at) {
      throw invalid(
        `incomplete string data for inference input '${name}' for model '${model}', expecting string of length ${length} but only ${buffer.length - at} bytes available`,
      );
    }
    data.push(textOf(buffer.subarray(at, at + length), data.length, name, model));
    at += length;
  }
  if (data.length < count) {
    throw invalid(
      `expected ${count} string elements for inference input '${name}' for model '${model}', got ${data.length}`,
    );
  }
  return data;
}

/** The text of one BYTES element. The runtime cuts at NUL and replaces invalid UTF-8, so both are refused. */
export function textOf(bytes: Buffer, index: number, input: string, model: string): string {
  if (bytes.includes(0))
    throw invalid(`string element ${index} of input '${input}' for model '${model}' contains a NUL byte`);
  if (!isUtf8(bytes))
    throw invalid(`string element ${index} of input '${input}' for model '${model}' is not valid UTF-8`);
  return bytes.toString('utf8');
}

/** The binary form of a tensor. Numbers are a view of the tensor's own storage. */
export function encodeRaw(tensor: Tensor): Uint8Array {
  if (tensor.datatype !== 'BYTES') return asBytes(tensor.data as TypedArray);
  const texts = tensor.data as readonly string[];
  let size = 0;
  for (const text of texts) size += 4 + Buffer.byteLength(text);
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const text of texts) {
    const length = out.write(text, at + 4);
    out.writeUInt32LE(length, at);
    at += 4 + length;
  }
  return out;
}
