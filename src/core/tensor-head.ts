/**
 * A tensor as the wire announces it: how many elements that is, and the complaint when its bytes are others.
 *
 * Counts are exact: a product that a number cannot hold is refused, not rounded.
 *
 * Must not know models, beyond a name for the complaint.
 */
import { invalid } from './errors.js';
import { bytesOf, isDataType, shapeText } from './tensor.js';

/** Before its elements are looked at. */
export interface TensorHead {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

const maxInt64 = 9223372036854775807n;

/**
 * The number of elements that a shape on the wire stands for, exactly.
 * @param shape non-negative integers; bigint where the wire carried more than 2^53
 * @throws INVALID_ARGUMENT when a dimension, the product or the byte size passes 2^63−1
 */
export function checkedCount(input: string, shape: readonly (number | bigint)[], datatype: string): number {
  let quick = 1;
  for (const dimension of shape) quick *= Number(dimension);
  if (quick <= 2 ** 49) return quick;
  let count = 1n;
  for (const dimension of shape) {
    if (BigInt(dimension) > maxInt64) {
      throw invalid(
        `invalid shape for input '${input}': shape ${shapeText(shape)} contains one or more invalid dimensions`,
      );
    }
    count *= BigInt(dimension);
  }
  if (count > maxInt64) {
    throw invalid(
      `invalid shape for input '${input}': shape ${shapeText(shape)} causes total element count to exceed maximum size of ${maxInt64}`,
    );
  }
  const size = isDataType(datatype) ? bytesOf(datatype) : 1;
  if (count * BigInt(size) > maxInt64) {
    throw invalid(
      `byte size overflow for input '${input}': element count (${count}) * data type size (${size}) exceeds maximum allowed size (${maxInt64})`,
    );
  }
  return Number(count);
}

/** The error of a tensor whose bytes are not what its shape asks for. */
export function byteSizeMismatch(model: string, input: string, expected: number, got: number): Error {
  return invalid(
    `input byte size mismatch for input '${input}' for model '${model}'. Expected ${expected}, got ${got}`,
  );
}
