/**
 * An output given as nested arrays, flattened in row-major order.
 *
 * Must not know what is compared.
 */
import { invalid } from '../../core/errors.js';

export type Element = number | bigint | boolean | string;
/** A list of elements, or of lists of one length, or of lists of those, and so on. */
export type Nested = ArrayLike<Element> | readonly Nested[];

export interface Output {
  readonly shape: readonly number[];
  readonly elements: readonly Element[];
  /** Undefined when there are texts. 64-bit integers are rounded, a boolean is 0 or 1. */
  readonly numbers: Float64Array | undefined;
}

/** Dimensions of a tensor. */
const depthMax = 8;

/** @throws INVALID_ARGUMENT when lists beside each other differ in length, or are too deep */
export function outputOf(nested: Nested): Output {
  const shape: number[] = [];
  let level: readonly unknown[] = Array.from(nested as ArrayLike<unknown>);
  shape.push(level.length);
  while (level.length > 0 && isList(level[0])) {
    if (shape.length === depthMax) throw invalid(`an output has more than ${depthMax} dimensions`);
    const { length } = level[0];
    for (const list of level) {
      if (!isList(list) || list.length !== length) throw invalid('an output is ragged: its lists differ in length');
    }
    shape.push(length);
    level = level.flatMap((list) => Array.from(list as ArrayLike<unknown>));
  }
  if (level.some(isList)) throw invalid('an output is ragged: a list stands beside an element');
  const elements = level as readonly Element[];
  const isText = elements.some((element) => typeof element === 'string');
  return { shape, elements, numbers: isText ? undefined : Float64Array.from(elements, Number) };
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || ArrayBuffer.isView(value);
}
