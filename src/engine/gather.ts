/**
 * The inputs of a batch as one run wants them: together, aligned, and owned by whoever runs them.
 *
 * Must not know queues or lanes.
 */
import { concat, type Tensor, type TypedArray } from '../core/tensor.js';
import type { Entry } from './entry.js';

/** The inputs of a batch: a lone request's own tensors, or all rows together. */
export function gather(batch: readonly Entry[]): readonly Tensor[] {
  const { inputs } = batch[0]!.request;
  if (batch.length === 1) return inputs.every(isAligned) ? inputs : inputs.map(aligned);
  return inputs.map((_, at) => concat(batch.map(({ request }) => request.inputs[at]!)));
}

/**
 * The runtime sums whole vectors from an input that begins on their boundary, and single elements up to it from one that
 * does not: where a tensor happened to lie in its request would show in the last bit of the result.
 */
const vectorBytes = 16;

function isAligned({ data }: Tensor): boolean {
  return Array.isArray(data) || (data as TypedArray).byteOffset % vectorBytes === 0;
}

function aligned(tensor: Tensor): Tensor {
  return isAligned(tensor) ? tensor : { ...tensor, data: (tensor.data as TypedArray).slice() };
}

/** What is moved to a thread must not be a view of somebody else's bytes. */
export function ownCopy(tensor: Tensor): Tensor {
  if (tensor.datatype === 'BYTES') return tensor;
  const data = tensor.data as TypedArray;
  // Tensors without elements may all look at one empty buffer, which can be moved only once.
  const isWhole = data.byteLength > 0 && data.byteLength === data.buffer.byteLength;
  if (isWhole && data.buffer instanceof ArrayBuffer) return { ...tensor };
  return { ...tensor, data: data.slice() };
}
