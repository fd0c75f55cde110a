/**
 * Tensors as the bytes that the binary forms of both protocols carry, and back: little-endian numbers, strings after their
 * length as uint32. The client's side of it, so it shares nothing with the server's.
 */
import {
  allocate,
  asBytes,
  type DataType,
  elementsOf,
  type Tensor,
  type TypedArray,
} from '../../../src/core/tensor.js';

export function bytesOfTensor({ datatype, data }: Tensor): Buffer {
  if (datatype !== 'BYTES') return Buffer.from(asBytes(data as TypedArray));
  const parts = (data as readonly string[]).flatMap((text) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(Buffer.byteLength(text));
    return [length, Buffer.from(text)];
  });
  return Buffer.concat(parts);
}

export function tensorOfBytes(head: Omit<Tensor, 'data'>, bytes: Buffer): Tensor {
  return { ...head, data: head.datatype === 'BYTES' ? textsOf(bytes) : numbersOf(head.datatype, bytes) };
}

function numbersOf(datatype: DataType, bytes: Buffer): TypedArray {
  return bytes.length === 0 ? allocate(datatype, 0) : elementsOf(datatype, new Uint8Array(bytes), 0, bytes.length);
}

function textsOf(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    texts.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}
