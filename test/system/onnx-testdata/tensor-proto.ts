/**
 * Reads ONNX TensorProto files, such as the inputs and outputs of the backend test data, written without the server's own
 * protobuf reader so that a mistake there cannot hide here.
 *
 * Elements lie in `raw_data`, or in the typed field of their type, where small integers, booleans and the bits of FP16 are
 * widened to int32.
 *
 * Must not know models or what is done with the tensors.
 */
import {
  allocate,
  countOf,
  type DataType,
  elementsOf,
  type Tensor,
  type TypedArray,
} from '../../../src/core/tensor.js';

const datatypeOf: Readonly<Record<number, DataType>> = {
  1: 'FP32',
  2: 'UINT8',
  3: 'INT8',
  4: 'UINT16',
  5: 'INT16',
  6: 'INT32',
  7: 'INT64',
  8: 'BYTES',
  9: 'BOOL',
  10: 'FP16',
  11: 'FP64',
  12: 'UINT32',
  13: 'UINT64',
};

interface Field {
  readonly number: number;
  /** A varint or the bits of a fixed-size field; 0 where `bytes` counts. */
  readonly value: bigint;
  readonly bytes: Buffer | undefined;
}

/** @throws when the element type has no V2 name, or the elements are not those of the dims */
export function readTensorProto(file: Buffer): Tensor {
  const shape: number[] = [];
  let name = '';
  let elementType = 0;
  let raw: Buffer | undefined;
  const numbers: (number | bigint)[] = [];
  const texts: string[] = [];
  for (const field of fieldsOf(file)) {
    if (field.number === 1) for (const dimension of varintsOf(field)) shape.push(Number(dimension));
    else if (field.number === 2) elementType = Number(field.value);
    else if (field.number === 4) for (const bytes of wordsOf(field, 4)) numbers.push(bytes.readFloatLE());
    else if (field.number === 10) for (const bytes of wordsOf(field, 8)) numbers.push(bytes.readDoubleLE());
    else if ([5, 7, 11].includes(field.number)) numbers.push(...varintsOf(field));
    else if (field.number === 6) texts.push(field.bytes!.toString());
    else if (field.number === 8) name = field.bytes!.toString();
    else if (field.number === 9) raw = field.bytes;
  }
  const datatype = datatypeOf[elementType];
  if (datatype === undefined) throw new Error(`element type ${elementType} has no V2 datatype`);
  const data = datatype === 'BYTES' ? texts : raw === undefined ? filled(datatype, numbers) : copied(datatype, raw);
  if (data.length !== countOf(shape)) throw new Error(`${data.length} elements for shape [${shape}]`);
  return { name, datatype, shape, data };
}

function copied(datatype: DataType, raw: Buffer): TypedArray {
  return elementsOf(datatype, new Uint8Array(raw), 0, raw.length);
}

function filled(datatype: DataType, numbers: readonly (number | bigint)[]): TypedArray {
  const data = allocate(datatype, numbers.length);
  const isBig = datatype === 'INT64' || datatype === 'UINT64';
  numbers.forEach((value, i) => {
    data[i] = isBig ? value : Number(value);
  });
  return data;
}

function* fieldsOf(buffer: Buffer): Iterable<Field> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
  };
  const take = (length: number): Buffer => {
    at += length;
    return buffer.subarray(at - length, at);
  };
  while (at < buffer.length) {
    const key = Number(varint());
    const [number, wire] = [key >>> 3, key & 7];
    if (wire === 0) yield { number, value: varint(), bytes: undefined };
    else if (wire === 2) yield { number, value: 0n, bytes: take(Number(varint())) };
    else if (wire === 1 || wire === 5) yield { number, value: 0n, bytes: take(wire === 1 ? 8 : 4) };
    else throw new Error(`wire type ${wire}`);
  }
}

/** One integer, or packed ones. */
function varintsOf({ value, bytes }: Field): bigint[] {
  if (bytes === undefined) return [value];
  const values: bigint[] = [];
  let at = 0;
  while (at < bytes.length) {
    let one = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      one |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    values.push(BigInt.asIntN(64, one));
  }
  return values;
}

function wordsOf({ bytes }: Field, size: number): Buffer[] {
  return Array.from({ length: bytes!.length / size }, (_, i) => bytes!.subarray(i * size, (i + 1) * size));
}
