/**
 * The decision on drift: its four parts one by one, the verdict of the model, and the calibration that the specification of
 * monitoring §12 asks for.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnDifference, newTypes } from '../src/monitor/contract.js';
import { decideQuality } from '../src/monitor/data-quality.js';
import { type DriftState, decideDrift, type FeatureWindow } from '../src/monitor/drift.js';
import { driftDocument, featureWindows, qualityInputs } from '../src/monitor/drift-document.js';
import { binMetrics } from '../src/monitor/drift-metrics.js';
import { comparableCounts, referenceCounts } from '../src/monitor/feature-bins.js';
import { afterWindow, quiet } from '../src/monitor/persistence.js';
import { categoricalProfile, numericProfile } from '../src/monitor/profile.js';
import { buildProfile } from '../src/monitor/profile-build.js';
import { Reconstruction } from '../src/monitor/reconstruction.js';
import { Sketch } from '../src/monitor/sketch.js';
import { SketchLayout } from '../src/monitor/sketch-layout.js';
import { normals, profileOf } from './drift-fixture.js';
import { dice } from './monitor-fixture.js';

/** 1,000 rows in two bins: shares of the reference are equal, of the current side moved by `by`. */
function feature(by: number, more: Partial<FeatureWindow> = {}): FeatureWindow {
  return { name: 'x', reference: [500, 500], current: [500 + by, 500 - by], ...more };
}

const same = feature(0);
const warning = feature(170);
const alarming = feature(260);

function statesOf(windows: readonly FeatureWindow[][]): string[][] {
  let state: DriftState = {};
  return windows.map((window) => {
    const { features, next } = decideDrift(window, state);
    state = next;
    return features.map((one) => one.state);
  });
}

test('the example of the specification is no sign of drift', () => {
  const { features } = decideDrift([{ name: 'x', reference: [400, 350, 250], current: [150, 200, 150] }]);
  assert.equal(features[0]!.status, 'ok');
  const metrics = binMetrics([40, 35, 25], [15, 20, 15], { isOrdered: true }) as Record<string, number>;
  assert.ok(Math.abs(metrics.psi! - 0.04456085) < 1e-8);
  assert.ok(Math.abs(metrics.psi_corrected! - -0.01543915) < 1e-8);
});

test('too few rows on either side are insufficient data, never ok', () => {
  const few = feature(0, { current: [200, 299] });
  assert.equal(decideDrift([few]).features[0]!.status, 'insufficient_data');
  assert.equal(decideDrift([few]).verdict, 'insufficient_data');
  assert.equal(decideDrift([feature(0, { reference: [10, 10] })]).features[0]!.state, 'insufficient_data');
  assert.equal(decideDrift([feature(0, { current: [200, 300] })]).features[0]!.status, 'ok');
  assert.equal(decideDrift([feature(0, { current: [0, 0] })]).features[0]!.psiCorrected, null);
  assert.equal(decideDrift([]).verdict, 'no_reference');
  const tiny = feature(0, { current: [50, 50] });
  assert.equal(decideDrift([tiny], {}, { minN: 1 }).features[0]!.status, 'insufficient_data', 'never below 200');
});

test('an effect without evidence and evidence without an effect are ok', () => {
  const large = feature(0, { reference: [500_000, 500_000], current: [510_000, 490_000] });
  const [evident] = decideDrift([large]).features;
  assert.ok(evident!.pAdjusted! < 1e-12);
  assert.equal(evident!.status, 'ok');
  const sparse = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? 9 : 8));
  const [loose] = decideDrift([{ name: 'x', reference: sparse, current: sparse.toReversed(), warn: -1 }]).features;
  assert.ok(loose!.pAdjusted! > 0.05);
  assert.equal(loose!.status, 'ok');
});

test('the adjustment runs within a family', () => {
  const edge = (name: string, family: FeatureWindow['family']) => feature(46, { name, family, warn: -1 });
  const p = decideDrift([edge('x', 'features')]).features[0]!.pAdjusted!;
  assert.ok(p > 0.03 && p < 0.05);
  const companions = Array.from({ length: 19 }, (_, i) => feature(0, { name: `n${i}` }));
  const { features } = decideDrift([edge('x', 'features'), edge('y', 'outputs'), ...companions]);
  assert.ok(features[0]!.pAdjusted! > 0.05);
  assert.equal(features[1]!.pAdjusted, p);
});

test('a level fires after two windows in a row and resolves after three quiet ones', () => {
  assert.deepEqual(statesOf([[alarming], [same], [alarming], [same]]).flat(), ['ok', 'ok', 'ok', 'ok']);
  assert.deepEqual(statesOf([[alarming], [alarming], [same], [same], [same]]).flat(), [
    'ok',
    'alert',
    'alert',
    'alert',
    'ok',
  ]);
  assert.deepEqual(statesOf([[warning], [alarming], [alarming]]).flat(), ['ok', 'warn', 'alert']);
  assert.deepEqual(statesOf([[alarming], [alarming], [warning], [warning], [warning]]).flat(), [
    'ok',
    'alert',
    'alert',
    'alert',
    'warn',
  ]);
});

test('a window between quiet and loud neither fires nor resolves', () => {
  const between = feature(150);
  const { psiCorrected } = decideDrift([between]).features[0]!;
  assert.ok(psiCorrected! > 0.08 && psiCorrected! < 0.1, String(psiCorrected));
  const fired = [[warning], [warning]];
  assert.deepEqual(
    statesOf([...fired, [same], [same], [between], [same], [same], [same]])
      .flat()
      .slice(2),
    ['warn', 'warn', 'warn', 'warn', 'warn', 'ok'],
  );
});

test('a window with too few rows neither counts nor resets, and does not end an alarm', () => {
  const few = feature(0, { current: [10, 10] });
  assert.deepEqual(statesOf([[alarming], [few], [alarming], [few]]).flat(), [
    'ok',
    'insufficient_data',
    'alert',
    'alert',
  ]);
});

test('persistence survives a restart as plain values', () => {
  const first = decideDrift([alarming]);
  const { features } = decideDrift([alarming], JSON.parse(JSON.stringify(first.next)));
  assert.equal(features[0]!.state, 'alert');
  assert.deepEqual(afterWindow(quiet, { isHit: true, isClear: false, atOnce: true }).isFired, true);
});

function judgedTwice(windows: readonly FeatureWindow[]) {
  return decideDrift(windows, decideDrift(windows).next);
}

test('the model has drifted when a third of its weight has, or a critical feature alone', () => {
  const others = (n: number) => Array.from({ length: n }, (_, i) => feature(0, { name: `n${i}` }));
  const one = judgedTwice([alarming, ...others(9)]);
  assert.deepEqual([one.verdict, one.driftedWeightShare], ['ok', 0.1]);
  assert.equal(one.ranking[0], 'x');
  const critical = judgedTwice([{ ...alarming, critical: true }, ...others(9)]);
  assert.equal(critical.verdict, 'drift');
  const three = ['x', 'y', 'z'].map((name) => feature(260, { name, weight: 0.1 }));
  const even = others(7).map((window) => ({ ...window, weight: 0.1 }));
  assert.equal(judgedTwice([...three, ...even]).verdict, 'drift');
  const heavy = judgedTwice([{ ...alarming, weight: 5 }, ...others(9)]);
  assert.equal(heavy.verdict, 'drift');
  assert.deepEqual(judgedTwice([{ ...alarming, weight: 0 }]).driftedWeightShare, null);
});

test('outputs and all features together are flags of their own', () => {
  const windows: FeatureWindow[] = [
    same,
    { ...alarming, name: 'score', family: 'outputs' },
    { ...alarming, name: 'reconstruction_error', family: 'multivariate' },
  ];
  const decision = judgedTwice(windows);
  assert.deepEqual([decision.verdict, decision.outputDrift, decision.multivariateDrift], ['ok', true, true]);
  assert.deepEqual(decision.ranking, ['x']);
});

/** Counts of `rows` normal values in the bins of a reference, shifted by some σ. */
function simulation(seed: number, features: number) {
  const normal = normals(dice(seed));
  const profiles = Array.from({ length: features }, () => numericProfile(Array.from({ length: 10_000 }, normal)));
  const references = profiles.map(referenceCounts);
  const layout = new SketchLayout(profileOf(Object.fromEntries(profiles.map((profile, i) => [`f${i}`, profile]))));
  return (rows: number, shiftOf: (feature: number) => number = () => 0): FeatureWindow[] => {
    const sketch = new Sketch(layout);
    for (let feature = 0; feature < features; feature++) {
      const shift = shiftOf(feature);
      for (let row = 0; row < rows; row++) sketch.addNumber(feature, normal() + shift);
    }
    sketch.addRows(rows);
    return profiles.map((profile, i) => ({
      name: `f${i}`,
      reference: references[i]!,
      current: comparableCounts(profile, sketch.countsOf(i).counts),
    }));
  };
}

test('no false alarm in 1,000 undrifted windows of 500 rows and 20 features', () => {
  const window = simulation(2024, 20);
  let state: DriftState = {};
  let [warned, fired] = [0, 0];
  for (let i = 0; i < 1000; i++) {
    const { features, next } = decideDrift(window(500), state);
    state = next;
    if (features.some(({ status }) => status !== 'ok')) warned++;
    if (features.some((one) => one.state !== 'ok')) fired++;
  }
  assert.equal(fired, 0);
  assert.ok(warned <= 5, `${warned} of 1,000 windows`);
});

test('undrifted windows of 200 rows warn in at most 4 %, and never twice in a row', () => {
  for (const [rows, warnedMax] of [
    [200, 8],
    [1000, 1],
  ] as const) {
    const window = simulation(7 + rows, 20);
    let state: DriftState = {};
    let warned = 0;
    for (let i = 0; i < 200; i++) {
      const { features, next } = decideDrift(window(rows), state, { minN: 200 });
      state = next;
      if (features.some(({ status }) => status !== 'ok')) warned++;
      assert.ok(features.every((one) => one.state === 'ok'));
    }
    assert.ok(warned <= warnedMax, `${warned} of 200 windows of ${rows} rows`);
  }
});

test('a shift of 0.4 σ warns and one of 0.6 σ alerts in nine of ten windows, beside 19 undrifted features', () => {
  const window = simulation(99, 20);
  let [warned, alerted, fired] = [0, 0, 0];
  for (let i = 0; i < 100; i++) {
    const small = decideDrift(window(500, (feature) => (feature === 0 ? 0.4 : 0))).features[0]!;
    if (small.status !== 'ok') warned++;
    const first = decideDrift(window(500, (feature) => (feature === 0 ? 0.6 : 0)));
    const second = decideDrift(
      window(500, (feature) => (feature === 0 ? 0.6 : 0)),
      first.next,
    );
    if (first.features[0]!.status === 'alert') alerted++;
    if (second.features[0]!.state === 'alert') fired++;
  }
  assert.ok(warned >= 90 && alerted >= 90, `${warned} and ${alerted} of 100`);
  assert.ok(fired >= 90, `${fired} of 100 alert within two windows`);
});

test('features that drift together show in the reconstruction error alone', () => {
  const normal = normals(dice(3));
  const pair = (isTwisted: boolean): [number, number] => {
    const x = normal();
    return [x, (isTwisted ? -x : x) + 0.1 * normal()];
  };
  const rows = Array.from({ length: 5000 }, () => pair(false));
  const pca = {
    features: ['a', 'b'],
    mean: [0, 0],
    scale: [1, 1],
    components: [[Math.SQRT1_2, Math.SQRT1_2]],
  };
  const columns = ['a', 'b'].map((name, i) => ({ name, values: rows.map((row) => row[i]!) }));
  const profile = buildProfile({ model: 'm', version: '1', baseline: 'training', columns, pca });
  const layout = new SketchLayout(profile);
  const reconstruction = new Reconstruction(pca);
  const sketch = new Sketch(layout);
  const error = layout.indexOf('multivariate', 'reconstruction_error');
  for (let i = 0; i < 1000; i++) {
    const row = pair(true);
    sketch.addNumber(0, row[0]);
    sketch.addNumber(1, row[1]);
    sketch.addNumber(error, reconstruction.errorOf(row));
  }
  sketch.addRows(1000);
  const statuses = decideDrift(featureWindows(sketch)).features.map(({ status }) => status);
  assert.deepEqual(statuses, ['ok', 'ok', 'alert']);
});

const columns = {
  amount: numericProfile(Array.from({ length: 1000 }, (_, i) => i)),
  country: categoricalProfile(Array.from({ length: 1000 }, (_, i) => (i % 4 === 0 ? 'DK' : 'NO'))),
};

function liveSketch(rows: number, add: (sketch: Sketch, row: number) => void): Sketch {
  const sketch = new Sketch(new SketchLayout(profileOf(columns)));
  for (let row = 0; row < rows; row++) add(sketch, row);
  sketch.addRows(rows);
  return sketch;
}

function qualityOf(sketch: Sketch, windows = 2): Map<string, { status: string; isFired: boolean }> {
  let state = {};
  let results = decideQuality([]).results;
  for (let i = 0; i < windows; i++) {
    const decided = decideQuality(qualityInputs(sketch), state);
    state = decided.next;
    results = decided.results;
  }
  return new Map(results.map((result) => [`${result.feature} ${result.check}`, result]));
}

test('sound values fire no check', () => {
  const sound = liveSketch(1000, (sketch, row) => {
    sketch.addNumber(0, row);
    sketch.addKey(1, row % 4 === 0 ? 'DK' : 'NO');
  });
  for (const [check, { status, isFired }] of qualityOf(sound)) {
    assert.deepEqual([status, isFired], ['ok', false], check);
  }
});

test('each check fires on its own fault, after two windows, a constant at once', () => {
  const broken = liveSketch(1000, (sketch, row) => {
    if (row % 10 === 0) sketch.addNumber(0, Infinity);
    else if (row % 10 > 2) sketch.addNumber(0, row % 10 === 3 ? 5000 : 0);
    sketch.addKey(1, row % 10 === 0 ? 'XX' : 'NO');
  });
  const first = qualityOf(broken, 1);
  const second = qualityOf(broken);
  const expected = ['amount missing', 'amount invalid', 'amount out_of_range', 'amount zeros'];
  for (const check of [...expected, 'country unseen', 'country vanished']) {
    assert.deepEqual([first.get(check)!.status, first.get(check)!.isFired], ['fires', false], check);
    assert.equal(second.get(check)!.isFired, true, check);
  }
  assert.equal(second.get('amount constant')!.isFired, false);
  const stuck = liveSketch(1000, (sketch) => {
    sketch.addNumber(0, 500);
    sketch.addKey(1, 'DK');
  });
  assert.equal(qualityOf(stuck, 1).get('amount constant')!.isFired, true);
});

test('constant is what has one value now and had several once, over enough rows, whatever the chances', () => {
  const isConstant = (others: number, n = 500) => {
    const values = Array.from({ length: 2000 }, (_, i) => (i < others ? i : 0));
    const counts = {
      n,
      missing: 0,
      invalid: 0,
      counts: [],
      zeros: n,
      mean: 0,
      m2: 0,
      min: 0,
      max: 0,
      distinct: null,
    };
    const { results } = decideQuality([{ name: 'x', profile: numericProfile(values), counts }]);
    return results.find(({ check }) => check === 'constant')!.isFired;
  };
  assert.deepEqual([isConstant(5), isConstant(200), isConstant(1), isConstant(5, 499)], [true, true, false, false]);
});

test('few rows decide nothing about quality', () => {
  for (const { status } of qualityOf(liveSketch(499, () => {})).values()) assert.equal(status, 'insufficient_data');
});

test('columns and types are compared with what was declared', () => {
  assert.deepEqual(columnDifference(['a', 'b'], ['b', 'c']), { missing: ['a'], extra: ['c'] });
  assert.deepEqual(newTypes({ number: 10 }, { number: 980, string: 20, null: 0 }), [{ type: 'string', share: 0.02 }]);
  assert.deepEqual(newTypes({ number: 10 }, { number: 981, string: 19 }), []);
});

test('the document has the decision, its numbers and both histograms, and no NaN', () => {
  const sketch = liveSketch(1000, (live, row) => {
    live.addNumber(0, row + 600);
    live.addKey(1, 'NO');
  });
  const decision = judgedTwice(featureWindows(sketch));
  const { results } = decideQuality(qualityInputs(sketch));
  const window = { sketch, fromMinute: 29_000_000, toMinute: 29_000_001, degraded: false };
  const document = driftDocument({ profile: profileOf(columns), window, decision, quality: results });
  assert.equal(document.verdict, 'drift');
  assert.deepEqual(document.window, {
    from: '2025-02-19T21:20:00.000Z',
    to: '2025-02-19T21:22:00.000Z',
    rows: 1000,
    degraded: false,
    provisional: false,
  });
  const [amount, country] = document.features;
  assert.deepEqual([amount!.state, amount!.out_of_range], ['alert', { count: 600, share: 0.6 }]);
  assert.equal(amount!.bins.length, amount!.current.counts.length);
  assert.equal(amount!.bins[0], '(-∞, 99]');
  assert.deepEqual(country!.vanished_categories, ['DK']);
  assert.deepEqual(country!.unseen, { count: 0, share: 0 });
  assert.equal('binned_ks' in country!.metrics, false);
  assert.deepEqual(JSON.parse(JSON.stringify(document)), structuredClone(document));
});

test('a document of a window without rows says so instead of numbers', () => {
  const sketch = liveSketch(0, () => {});
  const decision = decideDrift(featureWindows(sketch));
  const window = { sketch, fromMinute: Infinity, toMinute: -Infinity, degraded: false };
  const quality = decideQuality(qualityInputs(sketch)).results;
  const document = driftDocument({ profile: profileOf(columns), window, decision, quality, provisional: true });
  assert.deepEqual(document.features[0]!.metrics, { insufficient_data: true, reference_n: 1000, current_n: 0 });
  assert.equal(document.window.from, '');
  assert.deepEqual(JSON.parse(JSON.stringify(document)), structuredClone(document));
});
