/** Whether a version fits into the memory of a gateway process: forecasts, what processes measure, and both while one replaces another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VersionId } from '../src/core/model.js';
import { AdmissionRefusal } from '../src/registry/admission-refusal.js';
import { MemoryBudget } from '../src/registry/memory-budget.js';

const mebibyte = 2 ** 20;
const id = (version: string): VersionId => ({ model: 'm', version });

/** A version that takes so many MiB in one thread beside the 80 of the process that tried it. */
const needing = (mebibytes: number, instances = 1) => ({ peakBytes: (80 + mebibytes) * mebibyte, instances });

function budgetOf(mebibytes: number, refresh: () => void = () => {}) {
  const limit = { bytesMax: mebibytes * mebibyte };
  const budget = new MemoryBudget({ bytesMax: () => limit.bytesMax, refresh: async () => refresh() });
  const open = async (version: string, need: ReturnType<typeof needing>) => {
    await budget.reserve(id(version), need);
    budget.opened(id(version));
  };
  const refused = (version: string, need: ReturnType<typeof needing>, text: RegExp) =>
    assert.rejects(budget.reserve(id(version), need), (error) => {
      assert.ok(error instanceof AdmissionRefusal);
      assert.equal(error.kind, 'memory');
      assert.match(error.message, text);
      return true;
    });
  return { budget, limit, open, refused };
}

test('a version that fits exactly is let in, and one beyond is refused with both numbers', async () => {
  const { open, refused } = budgetOf(100);
  await refused(
    '1',
    needing(101),
    /needs about 101 MiB .*\(181 MiB at most while it was tried out, 1 thread\).* allows 100 MiB/,
  );
  await open('1', needing(100));
});

test('every thread that will run a version counts', async () => {
  const { open, refused } = budgetOf(100);
  await refused('1', needing(40, 3), /needs about 120 MiB .* 3 threads/);
  await open('1', needing(40, 2));
});

test('what is open and what is on its way count beside it, until they fail or are closed', async () => {
  const { budget, open, refused } = budgetOf(100);
  await open('1', needing(50));
  await budget.reserve(id('2'), needing(40));
  await refused('3', needing(20), /needs about 20 MiB .* with 90 MiB of what is open that is 110 MiB/);
  budget.failed(id('2'));
  await open('3', needing(20));
  budget.closed(id('1'));
  await open('4', needing(80));
});

test('a version that is opened anew counts twice meanwhile, for both are open', async () => {
  const { budget, open, refused } = budgetOf(100);
  await open('1', needing(60));
  await refused('1', needing(60), /that is 120 MiB/);
  await budget.reserve(id('1'), needing(40));
  assert.equal(budget.takenBytes(), 100 * mebibyte);
  budget.opened(id('1'));
  assert.equal(budget.takenBytes(), 40 * mebibyte);
});

test('what processes measure takes the place of forecasts, the worst process counting, and is asked for before a refusal', async () => {
  let asked = 0;
  const { budget, open, refused } = budgetOf(100, () => {
    asked++;
    budget.told('a', new Map([['m@1', 10 * mebibyte]]));
    budget.told('b', new Map([['m@1', 30 * mebibyte]]));
  });
  await open('1', needing(90));
  assert.equal(asked, 0);
  await open('2', needing(70));
  assert.equal(asked, 1);
  budget.told('c', new Map([['m@1', 95 * mebibyte]]));
  await refused('3', needing(1), /with 165 MiB/);
  budget.ended('c');
  assert.equal(budget.takenBytes(), 100 * mebibyte);
});

test('without a limit everything is let in, and the limit is the one of the moment', async () => {
  const { budget, limit, open, refused } = budgetOf(0);
  await open('1', needing(10_000));
  limit.bytesMax = mebibyte;
  await refused('2', needing(1), /allows 1 MiB/);
  budget.closed(id('1'));
  await open('2', needing(1));
});
