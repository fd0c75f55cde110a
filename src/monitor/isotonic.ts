/**
 * A score as a probability: the non-decreasing curve that fits the shares of positives best (monitoring §14.4).
 *
 * Pool adjacent violators: neighbours that fall are replaced by their mean until nothing falls (Ayer, Brunk, Ewing, Reid,
 * Silverman 1955). Linear between the knots, constant outside.
 *
 * Must not know models.
 */
import type { Calibration } from './profile-document.js';

export class IsotonicMap {
  readonly #x: Float64Array;
  readonly #y: Float64Array;

  /** Points in any order; those of equal x count as one with their mean. Without points the map changes nothing. */
  constructor({ x, y }: Calibration) {
    const knots = knotsOf(x, y);
    this.#x = Float64Array.from(knots, (knot) => knot.x);
    this.#y = fitted(knots);
  }

  of(score: number): number {
    const [x, y] = [this.#x, this.#y];
    const last = x.length - 1;
    if (last < 0) return score;
    if (score <= x[0]!) return y[0]!;
    if (score >= x[last]!) return y[last]!;
    let from = 0;
    let to = last;
    while (to - from > 1) {
      const middle = (from + to) >>> 1;
      if (x[middle]! <= score) from = middle;
      else to = middle;
    }
    const part = (score - x[from]!) / (x[to]! - x[from]!);
    return y[from]! + part * (y[to]! - y[from]!);
  }
}

/** Steps of a curve with more points than this are pooled, by twos: as many as a profile can hold. */
const stepsMost = 250;

/**
 * The curve through points as few points: the two ends of each of its steps.
 * @param y 0 or 1, or shares
 */
export function calibrationOf(x: readonly number[], y: readonly number[]): Calibration {
  let knots = knotsOf(x, y);
  for (;;) {
    const curve = fitted(knots);
    const ends = knots.flatMap((_, i) => {
      const isEnd = curve[i] !== curve[i - 1] || curve[i] !== curve[i + 1];
      return isEnd ? [i] : [];
    });
    if (ends.length <= 2 * stepsMost)
      return { x: ends.map((i) => knots[i]!.x), y: ends.map((i) => Math.min(1, Math.max(0, curve[i]!))) };
    knots = knots.flatMap((knot, i) => (i % 2 === 0 ? [knots[i + 1] ? pooled(knot, knots[i + 1]!) : knot] : []));
  }
}

interface Knot {
  readonly x: number;
  readonly y: number;
  readonly weight: number;
}

function knotsOf(x: readonly number[], y: readonly number[]): Knot[] {
  const order = x.map((_, i) => i).sort((a, b) => x[a]! - x[b]!);
  const knots: Knot[] = [];
  for (const i of order) {
    const before = knots.at(-1);
    if (before?.x !== x[i]) knots.push({ x: x[i]!, y: y[i]!, weight: 1 });
    else knots[knots.length - 1] = pooled(before!, { x: x[i]!, y: y[i]!, weight: 1 });
  }
  return knots;
}

function pooled(a: Knot, b: Knot): Knot {
  const weight = a.weight + b.weight;
  return { x: b.x, y: (a.y * a.weight + b.y * b.weight) / weight, weight };
}

function fitted(knots: readonly Knot[]): Float64Array {
  const blocks: { knot: Knot; size: number }[] = [];
  for (const one of knots) {
    let block = { knot: one, size: 1 };
    while (blocks.length > 0 && blocks.at(-1)!.knot.y >= block.knot.y) {
      const before = blocks.pop()!;
      block = { knot: pooled(before.knot, block.knot), size: before.size + block.size };
    }
    blocks.push(block);
  }
  return Float64Array.from(blocks.flatMap(({ knot, size }) => new Array<number>(size).fill(knot.y)));
}
