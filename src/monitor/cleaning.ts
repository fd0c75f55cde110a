/**
 * What a value is before it is counted (monitoring §10.1): a number, a category, missing or invalid.
 *
 * Values are cast to the datatype of the model input first, also those of training data: otherwise an edge at 0.1 would lie
 * beside the 0.1 that comes over the wire as FP32.
 *
 * Must not know bins or features.
 */
import { halfOf, numberOf } from '../core/half.js';

/** A number as the model input would hold it. */
export type Cast = (value: number) => number;

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

/** The upper half of a single, ties to even. */
function bfloatOf(value: number): number {
  single[0] = value;
  if (!Number.isFinite(single[0])) return single[0]!;
  const bits = singleBits[0]!;
  singleBits[0] = ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0;
  return single[0]!;
}

const unchanged: Cast = (value) => value;
const casts: Readonly<Record<string, Cast>> = {
  FP32: Math.fround,
  FP16: (value) => numberOf(halfOf(value)),
  BF16: bfloatOf,
};

/** @param datatype of the model input; without one, and for whole numbers, values stay as they are */
export function castFor(datatype?: string): Cast {
  return datatype !== undefined && Object.hasOwn(casts, datatype) ? casts[datatype]! : unchanged;
}

/** A value of a numeric feature: a finite number, NaN for missing, Infinity for invalid. −0 is 0. */
export function numberIn(value: unknown, cast: Cast): number {
  if (value === null || value === undefined) return NaN;
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number') return Infinity;
  const held = cast(number) + 0;
  return Number.isFinite(held) || Number.isNaN(held) ? held : Infinity;
}

/**
 * A value of a categorical feature as its key, null for missing. A text is its own key, anything else its JSON text; numbers
 * that have none (NaN and the infinities are `null` in JSON) are missing.
 */
export function keyIn(value: unknown, cast: Cast): string | null {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'number') {
    const held = cast(value) + 0;
    return Number.isFinite(held) ? String(held) : null;
  }
  return JSON.stringify(value) ?? null;
}
