import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetricsRoom } from '../src/admin/metrics.js';
import { FamilyPacker, FamilyUnpacker } from '../src/core/packed-families.js';
import { packStatistics, unpackStatistics } from '../src/core/packed-statistics.js';
import type { Family, Series } from '../src/core/series.js';
import { emptyStatistics, type VersionStatistics } from '../src/core/statistics.js';

function family(name: string, series: readonly Series[]): Family {
  return { name, help: 'Some.', type: 'counter', series };
}

const a = { model: 'a' };
const b = { model: 'b' };

/** Both ends of a channel, and what went over it. */
function channel() {
  const packer = new FamilyPacker();
  const unpacker = new FamilyUnpacker();
  return (families: readonly Family[]) => {
    const sent = structuredClone(packer.pack(families));
    return { heads: sent.filter(({ head }) => head !== undefined).length, families: unpacker.unpack(sent) };
  };
}

test('labels are said once, and are the same objects as long as they hold', () => {
  const send = channel();
  const first = send([family('one', [{ labels: a, value: 1 }]), family('two', [])]);
  const second = send([family('one', [{ labels: a, value: 2 }]), family('two', [])]);
  assert.deepEqual([first.heads, second.heads], [2, 0]);
  assert.deepEqual(second.families, [family('one', [{ labels: a, value: 2 }]), family('two', [])]);
  assert.equal(second.families[0]!.series[0]!.labels, first.families[0]!.series[0]!.labels);
});

test('whatever comes, goes or changes its place, families arrive as they are', () => {
  const send = channel();
  const one = (...series: Series[]) => family('one', series);
  const two = family('two', [{ labels: b, value: 7 }]);
  const steps: Family[][] = [
    [one({ labels: a, value: 1 }), two],
    [one({ labels: a, value: 1 }, { labels: b, value: 2 }), two],
    [one({ labels: b, value: 3 }), two],
    [two, one({ labels: b, value: 4 })],
    [two],
    [two, one({ labels: b, value: 5 })],
    [],
    [one({ labels: a, value: 6 }), two],
  ];
  for (const families of steps) assert.deepEqual(send(families).families, families);
});

test('what was said before this end listened is left out', () => {
  const packer = new FamilyPacker();
  packer.pack([family('one', [{ labels: a, value: 1 }])]);
  const later = packer.pack([family('one', [{ labels: a, value: 2 }]), family('two', [])]);
  assert.deepEqual(new FamilyUnpacker().unpack(later), [family('two', [])]);
});

test('a series stands once in the text, whichever process ordered its labels how, and however often it was told', () => {
  const room = createMetricsRoom();
  const [first, second] = [channel(), channel()];
  for (let turn = 1; turn <= 3; turn++) {
    room.put(
      '1.1',
      first([family('sluice_requests_total', [{ labels: { model: 'm', code: 'OK' }, value: turn }])]).families,
    );
    room.put(
      '2.1',
      second([family('sluice_requests_total', [{ labels: { code: 'OK', model: 'm' }, value: turn }])]).families,
    );
    const lines = room
      .text([])
      .split('\n')
      .filter((line) => line.startsWith('sluice_requests_total'));
    assert.deepEqual(lines, [`sluice_requests_total{model="m",code="OK"} ${2 * turn}`]);
  }
});

test('statistics that were packed for the way are the same afterwards', () => {
  const sum = (count: number) => ({ count, ns: 2n ** 53n + BigInt(count) });
  const batch = (rows: number) => ({ rows, computeInput: sum(1), computeInfer: sum(2), computeOutput: sum(rows) });
  const full: VersionStatistics = {
    model: 'm',
    version: '3',
    lastInference: 1_700_000_000_123,
    inferenceCount: 1,
    executionCount: 2,
    memoryBytes: 3,
    success: sum(4),
    fail: sum(5),
    queue: sum(6),
    computeInput: sum(7),
    computeInfer: sum(8),
    computeOutput: sum(9),
    cacheHit: sum(10),
    cacheMiss: sum(11),
    batches: [batch(1), batch(8)],
  };
  const all = [emptyStatistics('a', '1'), full, emptyStatistics('ö', '2')];
  assert.deepEqual(unpackStatistics(structuredClone(packStatistics(all))), all);
});
