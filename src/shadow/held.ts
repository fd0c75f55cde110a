/**
 * Tensors that outlive their request, and the bytes that all of them may take.
 *
 * Nobody uses the bytes of a request again, so a view of them may be kept. Two things stand against that. A model that runs
 * on a thread moves the buffer of a tensor that fills it there, and the tensor is empty from then on: such inputs are copied,
 * into a buffer with room to spare, which is never moved. And a small view keeps the whole of a large buffer: it is copied,
 * too, so that what is held is at most twice what is counted.
 *
 * Must not know requests or shadows.
 */
import { asBytes, elementsOf, type Tensor, type TypedArray } from '../core/tensor.js';

/** Bytes held by all shadows of a process, against one limit. */
export class Holdings {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes `bytes`, unless that were too many. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** Bytes of a text beside its units. */
const textBytes = 24;

/** Bytes that a tensor takes, estimated for texts. */
export function sizeOf({ datatype, data }: Tensor): number {
  if (datatype !== 'BYTES') return (data as TypedArray).byteLength;
  let bytes = 0;
  for (const text of data as readonly string[]) bytes += textBytes + 2 * text.length;
  return bytes;
}

export function sizeOfAll(tensors: readonly Tensor[]): number {
  let bytes = 0;
  for (const tensor of tensors) bytes += sizeOf(tensor);
  return bytes;
}

/** The tensor as it will stay, whatever becomes of the one that the primary was given. */
export function heldInput(tensor: Tensor): Tensor {
  if (tensor.datatype === 'BYTES') return tensor;
  const data = tensor.data as TypedArray;
  const isMovable = data.byteLength === data.buffer.byteLength;
  return isMovable || isSmallPart(data) ? copyOf(tensor, data) : tensor;
}

/** An answer's tensor as it will stay; nobody moves those. */
export function heldOutput(tensor: Tensor): Tensor {
  if (tensor.datatype === 'BYTES') return tensor;
  const data = tensor.data as TypedArray;
  return isSmallPart(data) ? copyOf(tensor, data) : tensor;
}

function isSmallPart({ byteLength, buffer }: TypedArray): boolean {
  return byteLength * 2 < buffer.byteLength;
}

const spareBytes = 8;

function copyOf({ name, datatype, shape }: Tensor, data: TypedArray): Tensor {
  const bytes = new Uint8Array(data.byteLength + spareBytes);
  bytes.set(asBytes(data));
  return { name, datatype, shape, data: elementsOf(datatype, bytes, 0, data.byteLength) };
}
