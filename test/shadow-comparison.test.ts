/** The measures of monitoring §9.2, against values worked out by hand and against the formulas written out naively. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  areNear,
  argmax,
  cosine,
  differences,
  isNear,
  jsDistanceBits,
  klNats,
  topkOverlap,
} from '../src/core/comparison.js';
import { halfOf } from '../src/core/half.js';
import { type ComparePlan, planOf } from '../src/core/shadow-plan.js';
import type { DataType, Tensor, TensorData } from '../src/core/tensor.js';
import { type ItemResult, PairComparison } from '../src/shadow/pair.js';
import { pseudoRandom } from './fixtures.js';

const f64 = (...values: number[]) => Float64Array.from(values);
const whole = (values: Float64Array) => ({ from: 0, to: values.length });
const tolerance = { absolute: 1e-6, relative: 1e-4 };

function assertClose(got: number, expected: number): void {
  if (Number.isNaN(expected) || !Number.isFinite(expected)) return assert.equal(got, expected);
  assert.ok(Math.abs(got - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), `${got}, expected ${expected}`);
}

test('elements match within absolute + relative · |p|, and the bound itself still matches', () => {
  const exact = { absolute: 0.25, relative: 0.5 };
  assert.equal(isNear(2, 3.25, exact), true);
  assert.equal(isNear(2, 3.2500001, exact), false);
  assert.equal(isNear(3.25, 2, exact), true, 'the tolerance is of the primary');
  assert.equal(isNear(1, 2, exact), false);
  assert.equal(isNear(0, 1e-6, tolerance), true);
  assert.equal(isNear(0, 1.1e-6, tolerance), false);
});

test('NaN matches NaN, an infinity only itself, and zero of either sign is one number', () => {
  assert.equal(isNear(Number.NaN, Number.NaN, tolerance), true);
  assert.equal(isNear(Number.NaN, 0, tolerance), false);
  assert.equal(isNear(0, Number.NaN, tolerance), false);
  assert.equal(isNear(Infinity, Infinity, tolerance), true);
  assert.equal(isNear(Infinity, -Infinity, tolerance), false);
  assert.equal(isNear(Infinity, 1e308, tolerance), false);
  assert.equal(isNear(1, Infinity, tolerance), false);
  assert.equal(isNear(0, -0, tolerance), true);
  const [p, q] = [f64(1, Number.NaN, Infinity), f64(1, Number.NaN, Infinity)];
  assert.equal(areNear(p, q, whole(p), tolerance), true);
});

test('the first of equal maxima is the argmax, NaN never is, and the range starts it at 0', () => {
  assert.equal(argmax(f64(1, 3, 3, 2), { from: 0, to: 4 }), 1);
  assert.equal(argmax(f64(9, 1, 2, 9), { from: 1, to: 4 }), 2);
  assert.equal(argmax(f64(Number.NaN, -5, Number.NaN), { from: 0, to: 3 }), 1);
  assert.equal(argmax(f64(-Infinity, -Infinity), { from: 0, to: 2 }), 0);
  assert.equal(argmax(f64(Number.NaN), { from: 0, to: 1 }), -1);
});

test('differences of 3, 0 and 4 have maximum 4, mean 7/3 and root mean square 5/√3', () => {
  const [p, q] = [f64(1, 2, -1), f64(4, 2, 3)];
  const found = differences(p, q, whole(p));
  assert.equal(found.max, 4);
  assertClose(found.mean, 7 / 3);
  assertClose(found.rmse, 5 / Math.sqrt(3));
});

test('what is equally not finite is no difference, anything else beside it an infinite one', () => {
  const p = f64(Number.NaN, Infinity, -Infinity, 1);
  assert.deepEqual(differences(p, p, whole(p)), { max: 0, mean: 0, rmse: 0 });
  for (const [a, b] of [
    [Number.NaN, 1],
    [1, Number.NaN],
    [Infinity, 1],
    [Infinity, -Infinity],
    [Infinity, Number.NaN],
  ] as const) {
    assert.equal(differences(f64(a), f64(b), { from: 0, to: 1 }).max, Infinity, `${a} beside ${b}`);
  }
});

test('nothing has no difference, no direction and no best', () => {
  const empty = f64();
  assert.ok(Number.isNaN(differences(empty, empty, whole(empty)).max));
  assert.ok(Number.isNaN(cosine(empty, empty, whole(empty))));
  assert.ok(Number.isNaN(topkOverlap(empty, empty, whole(empty), 5)));
});

test('the cosine of parallel vectors is 1, of orthogonal ones 0, of opposite ones −1, and beside zero it does not exist', () => {
  const p = f64(3, 4);
  assertClose(cosine(p, f64(6, 8), whole(p)), 1);
  assertClose(cosine(p, f64(-4, 3), whole(p)), 0);
  assertClose(cosine(p, f64(-3, -4), whole(p)), -1);
  assertClose(cosine(p, f64(4, 3), whole(p)), 24 / 25);
  assert.ok(Number.isNaN(cosine(p, f64(0, 0), whole(p))));
});

test('Kullback–Leibler: (½, ½) beside (¼, ¾) is ½·ln(4/3) nats, and infinite where the shadow rules out what happened', () => {
  const p = f64(0.5, 0.5);
  assertClose(klNats(p, f64(0.25, 0.75), whole(p)), 0.5 * Math.log(4 / 3));
  assert.equal(klNats(p, p, whole(p)), 0);
  assert.equal(klNats(p, f64(0, 1), whole(p)), Infinity);
  assertClose(klNats(f64(0, 1), p, whole(p)), Math.log(2));
  assert.ok(Number.isNaN(klNats(p, f64(-0.1, 1.1), whole(p))));
  assertClose(klNats(f64(1), f64(5e-324), { from: 0, to: 1 }), -Math.log(5e-324));
});

test('Jensen–Shannon distance: 0 for the same, 1 for distributions that share nothing, the same both ways', () => {
  const p = f64(0.5, 0.5, 0);
  const q = f64(0.1, 0.2, 0.7);
  assert.equal(jsDistanceBits(p, p, whole(p)), 0);
  assertClose(jsDistanceBits(f64(1, 0), f64(0, 1), { from: 0, to: 2 }), 1);
  assertClose(jsDistanceBits(p, q, whole(p)), jsDistanceBits(q, p, whole(p)));
  assert.ok(Number.isNaN(jsDistanceBits(p, f64(-1, 1, 1), whole(p))));
});

test('of the 2 highest, ties to the lower index, one is shared', () => {
  const [p, q] = [f64(5, 1, 5, 5), f64(0, 1, 9, 8)];
  assert.equal(topkOverlap(p, q, whole(p), 2), 0.5);
  assert.equal(topkOverlap(p, q, whole(p), 9), 1, 'more than there are means all');
  assert.equal(topkOverlap(f64(Number.NaN, 1, 0), f64(0, 1, Number.NaN), { from: 0, to: 3 }, 1), 1);
});

test('every measure equals its formula written out, on 300 random pairs inside a larger array', () => {
  const random = pseudoRandom(9);
  for (let round = 0; round < 300; round++) {
    const size = 1 + Math.floor(random() * 12);
    const from = Math.floor(random() * 5);
    const make = () => Float64Array.from({ length: from + size + 3 }, () => Math.round(random() * 8) / 8);
    const [p, q] = [make(), make()];
    const range = { from, to: from + size };
    const a = Array.from(p.subarray(range.from, range.to));
    const b = Array.from(q.subarray(range.from, range.to));
    const apart = a.map((x, i) => Math.abs(x - b[i]!));
    const total = (values: number[]) => values.reduce((left, right) => left + right, 0);
    const found = differences(p, q, range);
    assertClose(found.max, Math.max(...apart));
    assertClose(found.mean, total(apart) / size);
    assertClose(found.rmse, Math.sqrt(total(apart.map((x) => x * x)) / size));
    const norms = Math.sqrt(total(a.map((x) => x * x))) * Math.sqrt(total(b.map((x) => x * x)));
    assertClose(cosine(p, q, range), norms === 0 ? Number.NaN : total(a.map((x, i) => x * b[i]!)) / norms);
    assertClose(klNats(p, q, range), total(a.map((x, i) => (x > 0 ? x * Math.log(x / b[i]!) : 0))));
    const half = (x: number, y: number) => (x > 0 ? 0.5 * x * Math.log(x / ((x + y) / 2)) : 0);
    const js = total(a.map((x, i) => half(x, b[i]!) + half(b[i]!, x)));
    const expected = Math.sqrt(Math.max(0, js) / Math.LN2);
    assert.ok(Math.abs(jsDistanceBits(p, q, range) - expected) < 1e-7, 'a root magnifies what a sum near 0 rounds');
    const k = 1 + Math.floor(random() * 6);
    const best = (values: number[]) =>
      values
        .map((value, index) => ({ value, index }))
        .sort((x, y) => y.value - x.value || x.index - y.index)
        .slice(0, k)
        .map(({ index }) => index);
    const shared = best(a).filter((index) => best(b).includes(index)).length;
    assertClose(topkOverlap(p, q, range, k), shared / Math.min(k, size));
    assert.equal(argmax(p, range), a.indexOf(Math.max(...a)));
  }
});

const tensor = (datatype: DataType, shape: number[], data: TensorData): Tensor => ({
  name: 'y',
  datatype,
  shape,
  data,
});

/** Compares two tensors. @returns the verdict and a copy of every item's result */
function compared(p: Tensor, q: Tensor, rows: number, compare: Partial<ComparePlan> = {}) {
  const plan = planOf({ route: 'm', name: 's', version: { model: 'm', version: '2' }, compare }).compare;
  const items: ItemResult[] = [];
  const verdict = new PairComparison(plan).compare(p, q, rows, (item) =>
    items.push({ ...item, measures: item.measures.slice() }),
  );
  return { verdict, items };
}

test('a batch is compared row by row', () => {
  const p = tensor('FP32', [3, 2], Float32Array.of(0.9, 0.1, 0.2, 0.8, 0.5, 0.5));
  const q = tensor('FP32', [3, 2], Float32Array.of(0.8, 0.2, 0.6, 0.4, 0.5, 0.5));
  const { verdict, items } = compared(p, q, 3, { rule: 'argmax' });
  assert.equal(verdict, 'compared');
  assert.deepEqual(
    items.map(({ index, isAgreed, isMatched, primaryLabel, shadowLabel }) => [
      index,
      isAgreed,
      isMatched,
      primaryLabel,
      shadowLabel,
    ]),
    [
      [0, true, false, 0, 0],
      [1, false, false, 1, 0],
      [2, true, true, 0, 0],
    ],
  );
});

test('an output without a row for each item is one item', () => {
  const p = tensor('FP32', [4], Float32Array.of(1, 2, 3, 4));
  assert.equal(compared(p, p, 3).items.length, 1);
  assert.equal(compared(p, p, 0).items.length, 1);
});

test('unequal shapes and datatypes are not compared', () => {
  const p = tensor('FP32', [2, 3], new Float32Array(6));
  assert.equal(compared(p, tensor('FP32', [3, 2], new Float32Array(6)), 2).verdict, 'shape_mismatch');
  assert.equal(compared(p, tensor('FP32', [6], new Float32Array(6)), 2).verdict, 'shape_mismatch');
  assert.equal(compared(p, tensor('FP64', [2, 3], new Float64Array(6)), 2).verdict, 'shape_mismatch');
});

test('an output at the limit of elements is compared, one beyond is not', () => {
  const of = (length: number) => tensor('FP32', [length], new Float32Array(length));
  assert.equal(compared(of(8), of(8), 0, { elementsMax: 8 }).verdict, 'compared');
  assert.equal(compared(of(9), of(9), 0, { elementsMax: 8 }).verdict, 'too_large');
});

test('64-bit integers that round to one double do not match', () => {
  const p = tensor('INT64', [1], BigInt64Array.of(2n ** 53n));
  const q = tensor('INT64', [1], BigInt64Array.of(2n ** 53n + 1n));
  const { items } = compared(p, q, 1, { rule: 'label' });
  assert.equal(items[0]!.isMatched, false);
  assert.equal(items[0]!.isAgreed, false);
  assert.deepEqual([items[0]!.primaryLabel, items[0]!.shadowLabel], ['9007199254740992', '9007199254740993']);
  assert.equal(compared(p, p, 1).items[0]!.isMatched, true);
});

test('integers must be equal whatever the tolerance', () => {
  const loose = { absolute: 10, relative: 10 };
  const [p, q] = [tensor('INT32', [1, 2], Int32Array.of(1, 2)), tensor('INT32', [1, 2], Int32Array.of(1, 3))];
  assert.equal(compared(p, q, 1, loose).items[0]!.isMatched, false);
  assert.equal(compared(p, q, 1, loose).items[0]!.measures[0], 1);
});

test('half-precision patterns are compared as the numbers they stand for', () => {
  const half = (...values: number[]) => tensor('FP16', [1, values.length], Uint16Array.from(values, halfOf));
  const { items } = compared(half(1, -2), half(1.5, -2), 1);
  assert.equal(items[0]!.measures[0], 0.5);
  assert.equal(compared(half(0), half(-0), 1).items[0]!.isMatched, true);
});

test('texts have labels and equality, and no measures', () => {
  const { items } = compared(tensor('BYTES', [2, 1], ['cat', 'dog']), tensor('BYTES', [2, 1], ['cat', 'cow']), 2, {
    rule: 'argmax',
  });
  assert.deepEqual(
    items.map(({ isMatched, isAgreed }) => [isMatched, isAgreed]),
    [
      [true, true],
      [false, false],
    ],
  );
  assert.ok(items.every(({ measures }) => measures.every(Number.isNaN)));
  assert.equal(items[1]!.shadowLabel, 'cow');
});

test('the divergence in nats is taken only of outputs declared to be probabilities', () => {
  const p = tensor('FP64', [1, 2], f64(0.5, 0.5));
  const q = tensor('FP64', [1, 2], f64(0.25, 0.75));
  assert.ok(Number.isNaN(compared(p, q, 1).items[0]!.measures[4]!));
  assertClose(compared(p, q, 1, { isProbabilities: true }).items[0]!.measures[4]!, 0.5 * Math.log(4 / 3));
});
