import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Family, mergeFamilies, secondsBuckets, seriesKey } from '../src/core/series.js';

function counter(name: string, ...series: [Record<string, string>, number][]): Family {
  return { name, help: 'h', type: 'counter', series: series.map(([labels, value]) => ({ labels, value })) };
}

test('series of the same labels add up, in whatever order the labels stand; others are kept', () => {
  const a = counter('c', [{ model: 'm', code: 'OK' }, 1], [{ model: 'm', code: 'INTERNAL' }, 2]);
  const b = counter('c', [{ code: 'OK', model: 'm' }, 10], [{ model: 'n', code: 'OK' }, 20]);
  const [merged] = mergeFamilies([a], [b]);
  assert.deepEqual(
    merged!.series.map(({ labels, value }) => [labels.model, labels.code, value]),
    [
      ['m', 'OK', 11],
      ['m', 'INTERNAL', 2],
      ['n', 'OK', 20],
    ],
  );
});

test('families that only one side has are kept, and nothing given is changed', () => {
  const a = [counter('a', [{}, 1])];
  const b = [counter('a', [{}, 1]), counter('b', [{}, 2])];
  const before = JSON.stringify([a, b]);
  assert.deepEqual(
    mergeFamilies(a, b).map((family) => [family.name, family.series[0]!.value]),
    [
      ['a', 2],
      ['b', 2],
    ],
  );
  assert.equal(JSON.stringify([a, b]), before);
});

test('histograms add bucket by bucket', () => {
  const histogram = (counts: number[], sum: number): Family => ({
    name: 'h',
    help: 'h',
    type: 'histogram',
    buckets: [1, 2],
    series: [{ labels: {}, value: counts.reduce((total, count) => total + count), counts, sum }],
  });
  const [merged] = mergeFamilies([histogram([1, 0, 2], 9)], [histogram([0, 3, 1], 8.5)]);
  assert.deepEqual(merged!.series[0], { labels: {}, value: 7, counts: [1, 3, 3], sum: 17.5 });
});

test('a gauge that is a fact does not add up', () => {
  const fact: Family = {
    name: 'info',
    help: 'h',
    type: 'gauge',
    merge: 'max',
    series: [{ labels: { version: '1' }, value: 1 }],
  };
  assert.equal(mergeFamilies([fact], [fact])[0]!.series[0]!.value, 1);
});

test('families of one name and two shapes are refused', () => {
  const a = counter('x', [{}, 1]);
  assert.throws(() => mergeFamilies([a], [{ ...a, type: 'gauge' }]), /two types/);
  assert.throws(() => mergeFamilies([{ ...a, buckets: [1] }], [{ ...a, buckets: [2] }]), /two types or two sets/);
});

test('no two sets of labels share a key', () => {
  const labels = [{ a: 'b,c' }, { a: 'b', c: '' }, { 'a,b': 'c' }, { a: '"b"' }, {}, { a: '' }];
  assert.equal(new Set(labels.map((one) => seriesKey(one as Record<string, string>))).size, labels.length);
});

test('the latency buckets are those of the specification', () => {
  assert.equal(
    secondsBuckets.join(' '),
    '0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10',
  );
});
