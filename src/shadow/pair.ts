/**
 * One output of the primary beside the same output of a shadow: item by item, every measure, told to a listener.
 *
 *   tensors ─▶ numbers (doubles) ─▶ for each item: measures, labels, agreement ─▶ onItem
 *
 * The result of an item is one object that is used again, since a pair may have thousands.
 *
 * Must not know requests, or what is made of the items.
 */

import {
  areNear,
  argmax,
  cosine,
  differences,
  jsDistanceBits,
  klNats,
  type Range,
  topkOverlap,
} from '../core/comparison.js';
import type { ComparePlan } from '../core/shadow-plan.js';
import type { Tensor } from '../core/tensor.js';
import { isExact, readNumbers } from './numbers.js';

/** A predicted class: its index, or the value of an output that is one integer, boolean or text. */
export type Label = number | string;

/** What was found of one item; valid until the next one. */
export interface ItemResult {
  index: number;
  isMatched: boolean;
  /** Undefined for texts. */
  isArgmaxAgreed: boolean | undefined;
  primaryLabel: Label | undefined;
  shadowLabel: Label | undefined;
  /** By the rule of the plan. */
  isAgreed: boolean;
  /** In the order of `measureNames`; NaN = undefined. */
  readonly measures: Float64Array;
}

export type PairVerdict = 'compared' | 'shape_mismatch' | 'too_large';

const measuresOfItem = 7;

export class PairComparison {
  readonly #plan: ComparePlan;
  readonly #result: ItemResult = {
    index: 0,
    isMatched: false,
    isArgmaxAgreed: undefined,
    primaryLabel: undefined,
    shadowLabel: undefined,
    isAgreed: false,
    measures: new Float64Array(measuresOfItem),
  };
  #p = new Float64Array(0);
  #q = new Float64Array(0);

  constructor(plan: ComparePlan) {
    this.#plan = plan;
  }

  /** @param rows items along the first dimension; 0 = the tensor is one item */
  compare(primary: Tensor, shadow: Tensor, rows: number, onItem: (item: ItemResult) => void): PairVerdict {
    if (!isSameShape(primary, shadow)) return 'shape_mismatch';
    const elements = primary.data.length;
    if (elements > this.#plan.elementsMax) return 'too_large';
    this.#makeRoom(elements);
    const isNumeric = readNumbers(primary, this.#p) && readNumbers(shadow, this.#q);
    const items = rows > 0 && primary.shape[0] === rows ? rows : 1;
    const size = elements / items;
    for (let index = 0; index < items; index++) {
      this.#item(primary, shadow, { from: index * size, to: (index + 1) * size }, isNumeric);
      this.#result.index = index;
      onItem(this.#result);
    }
    return 'compared';
  }

  #makeRoom(elements: number): void {
    if (elements <= this.#p.length) return;
    const length = Math.min(this.#plan.elementsMax, elements * 2);
    this.#p = new Float64Array(length);
    this.#q = new Float64Array(length);
  }

  #item(primary: Tensor, shadow: Tensor, range: Range, isNumeric: boolean): void {
    const result = this.#result;
    const isLabel = isExact(primary) && range.to - range.from === 1;
    result.isMatched = isExact(primary)
      ? areEqual(primary, shadow, range)
      : areNear(this.#p, this.#q, range, this.#plan);
    result.isArgmaxAgreed = undefined;
    result.primaryLabel = isLabel ? labelOf(primary, range.from) : undefined;
    result.shadowLabel = isLabel ? labelOf(shadow, range.from) : undefined;
    if (isNumeric) this.#measure(range);
    else result.measures.fill(Number.NaN);
    result.isAgreed = this.#isAgreed();
  }

  #measure(range: Range): void {
    const p = this.#p;
    const q = this.#q;
    const result = this.#result;
    const { max, mean, rmse } = differences(p, q, range);
    const { measures } = result;
    measures[0] = max;
    measures[1] = mean;
    measures[2] = rmse;
    measures[3] = cosine(p, q, range);
    measures[4] = this.#plan.isProbabilities ? klNats(p, q, range) : Number.NaN;
    measures[5] = jsDistanceBits(p, q, range);
    measures[6] = topkOverlap(p, q, range, this.#plan.topK);
    const mine = argmax(p, range);
    const theirs = argmax(q, range);
    result.isArgmaxAgreed = mine === theirs;
    if (result.primaryLabel !== undefined || range.to - range.from < 2) return;
    result.primaryLabel = mine;
    result.shadowLabel = theirs;
  }

  /** A rule that an output has nothing for falls back on the elements. */
  #isAgreed(): boolean {
    const { isMatched, isArgmaxAgreed, primaryLabel, shadowLabel } = this.#result;
    if (this.#plan.rule === 'argmax' && isArgmaxAgreed !== undefined) return isArgmaxAgreed;
    if (this.#plan.rule === 'label' && primaryLabel !== undefined) return primaryLabel === shadowLabel;
    return isMatched;
  }
}

function isSameShape(a: Tensor, b: Tensor): boolean {
  if (a.datatype !== b.datatype || a.shape.length !== b.shape.length) return false;
  return a.shape.every((size, axis) => size === b.shape[axis]);
}

function areEqual({ data: p }: Tensor, { data: q }: Tensor, { from, to }: Range): boolean {
  for (let i = from; i < to; i++) if (p[i] !== q[i]) return false;
  return true;
}

const labelUnitsMax = 128;

/** A long text counts by its beginning: labels are kept, and must not be large. */
function labelOf({ data }: Tensor, at: number): Label {
  const value = data[at]!;
  return typeof value === 'number' ? value : String(value).slice(0, labelUnitsMax);
}
