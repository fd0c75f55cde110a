/**
 * What the statistics promise over many runs: false alarms below their bound, true differences found. Chance is seeded, so a
 * run is the same each time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alwaysValid } from '../src/monitor/always-valid.js';
import { momentsOfCounts } from '../src/monitor/moments.js';
import { pooledZ, sampleSizePerArm } from '../src/monitor/proportion.js';
import { isRatioMismatch, sampleRatio } from '../src/monitor/srm.js';
import { dice, keyMoments } from './monitor-fixture.js';

/** Looks at a growing A/B comparison of shares; @returns units per arm at the first look that is significant, else Infinity */
function firstSignificant(random: () => number, shares: readonly [number, number], looks: number, perLook: number) {
  let [x, y] = [0, 0];
  let fixed = Infinity;
  for (let look = 1; look <= looks; look++) {
    for (let i = 0; i < perLook; i++) {
      if (random() < shares[0]) x++;
      if (random() < shares[1]) y++;
    }
    const n = look * perLook;
    const { p } = alwaysValid(momentsOfCounts(x, n), momentsOfCounts(y, n), 0.05);
    if (fixed === Infinity && pooledZ({ hits: x, n }, { hits: y, n })!.pTwoSided < 0.05) fixed = n;
    if (p < 0.05) return { sequential: n, fixed };
  }
  return { sequential: Infinity, fixed };
}

test('an A/A test looked at 100 times is ever significant in at most 5 % of runs; one made for a single look in 30 %', () => {
  const random = dice(1);
  const runs = 400;
  let [sequential, fixed] = [0, 0];
  for (let run = 0; run < runs; run++) {
    const found = firstSignificant(random, [0.1, 0.1], 100, 100);
    if (found.sequential < Infinity) sequential++;
    if (found.fixed < Infinity) fixed++;
  }
  assert.ok(sequential / runs <= 0.05, `always-valid: ${sequential} of ${runs}`);
  assert.ok(fixed / runs >= 0.3, `fixed: ${fixed} of ${runs}`);
});

test('a true effect is found at a median at most 10 % above the fixed sample size for 80 % power', () => {
  const random = dice(2);
  const planned = sampleSizePerArm(0.1, 0.13, 0.05, 0.8)!;
  const found = Array.from({ length: 300 }, () => firstSignificant(random, [0.1, 0.13], 200, 50).sequential);
  const median = found.sort((p, q) => p - q)[150]!;
  assert.ok(median <= 1.1 * planned, `median ${median}, planned ${planned}`);
});

test('keys whose requests are alike do not look like evidence when the key is the unit, and do when the request is', () => {
  const random = dice(3);
  const runs = 200;
  let [byKey, byRequest] = [0, 0];
  for (let run = 0; run < runs; run++) {
    // Half of the keys fail always, half never: 20 requests each.
    const arm = () => Array.from({ length: 300 }, () => (random() < 0.5 ? 20 : 0));
    const [a, b] = [arm(), arm()];
    const counts = a.map(() => 20);
    const total = (sums: readonly number[]) =>
      momentsOfCounts(
        sums.reduce((all, one) => all + one, 0),
        6000,
      );
    if (alwaysValid(keyMoments(a, counts), keyMoments(b, counts), 0.05).p < 0.05) byKey++;
    if (alwaysValid(total(a), total(b), 0.05).p < 0.05) byRequest++;
  }
  assert.ok(byKey / runs <= 0.05, `by key: ${byKey} of ${runs}`);
  assert.ok(byRequest / runs >= 0.2, `by request: ${byRequest} of ${runs}`);
});

/** Looks at the sizes of two arms every 1,000 keys; @returns keys at the first mismatch, else Infinity */
function firstMismatch(random: () => number, share: number, keysMax: number): number {
  let treatment = 0;
  let before = 1;
  for (let keys = 1; keys <= keysMax; keys++) {
    if (random() < share) treatment++;
    if (keys % 1000 !== 0) continue;
    const arms = [keys - treatment, treatment].map((size) => ({ weight: 50, keys: size }));
    const look = sampleRatio(arms, before);
    if (isRatioMismatch(look)) return keys;
    before = look.pSequential;
  }
  return Infinity;
}

test('52 to 48 is a sample ratio mismatch by 30,000 keys in nine runs of ten; 50 to 50 hardly ever in 100 looks', () => {
  const random = dice(4);
  const found = Array.from({ length: 100 }, () => firstMismatch(random, 0.48, 30_000));
  const detected = found.filter((keys) => keys < Infinity).length;
  assert.ok(detected >= 90, `${detected} of 100`);
  const falsely = Array.from({ length: 100 }, () => firstMismatch(random, 0.5, 100_000)).filter(
    (keys) => keys < Infinity,
  );
  assert.ok(falsely.length <= 1, `${falsely.length} of 100`);
});
