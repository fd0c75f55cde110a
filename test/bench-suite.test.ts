/** The suite's own arithmetic, and its gRPC load against a real listener. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcMessage } from '../bench/suite/bodies.js';
import { cells, chosenCells } from '../bench/suite/cells.js';
import { curveText, ratesOf } from '../bench/suite/curve.js';
import { curveSvg } from '../bench/suite/curve-svg.js';
import { compare, isWorse } from '../bench/suite/gate.js';
import { Connection } from '../bench/suite/grpc-connection.js';
import type { Sample } from '../bench/suite/measure.js';
import { meanBetween, parseMetrics, quantileBetween } from '../bench/suite/metrics-text.js';
import { readOptions } from '../bench/suite/options.js';
import { judge, promises } from '../bench/suite/promises.js';
import { type CellResult, type Curve, mergeResults, type Results, rowsOf } from '../bench/suite/results.js';
import { quantile, ratiosOf, spreadOf } from '../bench/suite/statistics.js';
import { short, table } from '../bench/suite/tables.js';
import { firstUndisturbed, leftText, undisturbed } from '../bench/suite/theft.js';
import { featureVerdict } from '../bench/suite/variants.js';
import { Rig } from './grpc-fixture.js';

const sample = (rps: number): Sample => ({
  rps,
  p50Us: 1e6 / rps,
  p99Us: 2e6 / rps,
  cpuUs: 50,
  rssBytes: 1,
  errors: 0,
});

function cellOf(name: string, plain: readonly number[], sluice: readonly number[]): CellResult {
  const samples = new Map([
    ['plain', plain.map(sample)],
    ['sluice', sluice.map(sample)],
  ]);
  return { name, what: '', rows: rowsOf(samples, ['plain']), batchRows: 1, lagP99Ms: 1 };
}

function resultsOf(...measured: CellResult[]): Results {
  const settings = { rounds: 3, seconds: 1, generator: 'wrk' };
  return { machine: {}, settings, cells: measured, floors: [], variants: [], scenarios: [] };
}

test('a ratio is taken round by round, so a slow round does not move it', () => {
  assert.deepEqual(spreadOf([3, 1, 2, 10]), { median: 2.5, min: 1, max: 10 });
  assert.deepEqual(ratiosOf([400, 40, 410], [100, 10, 100]), { median: 4, min: 4, max: 4.1 });
  assert.equal(quantile([1, 2, 3, 4], 0.99), 4);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('every promise is about a cell that is measured, on the server that it is compared with', () => {
  for (const { cell, of } of promises) {
    const found = cells.find(({ name }) => name === cell);
    assert.ok(found !== undefined, cell);
    assert.ok(
      of.startsWith('floor-') && of !== 'floor-echo' ? found.model === 'large' : found.servers.includes(of as 'plain'),
      `${cell} ${of}`,
    );
  }
});

test('a promise is met at its bound and not below it', () => {
  const verdictAt = (rps: number) =>
    judge([cellOf('small-json-64', [100], [rps])]).find(({ promise }) => promise.metric === 'rps')!.verdict;
  assert.equal(verdictAt(379), 'NOT MET');
  assert.equal(verdictAt(380), 'met');
  assert.equal(verdictAt(450), 'met, aim reached');
});

test('the gate fails only when each median lies outside the other range', () => {
  const stored = { median: 4, min: 3.8, max: 4.2 };
  assert.equal(isWorse(stored, { median: 3.7, min: 3.5, max: 3.9 }, 'higher'), true);
  assert.equal(isWorse(stored, { median: 3.7, min: 3.5, max: 4.1 }, 'higher'), false);
  assert.equal(isWorse(stored, { median: 3.9, min: 3, max: 3.9 }, 'higher'), false);
  assert.equal(isWorse(stored, { median: 4.3, min: 4.1, max: 4.4 }, 'lower'), true);
  assert.equal(isWorse(stored, { median: 3, min: 3, max: 3 }, 'lower'), false);
});

test('the gate names the cell and measure that became worse, and compares nothing that was not stored', () => {
  const stored = resultsOf(cellOf('a', [100, 100], [400, 410]));
  const { compared, regressions } = compare(stored, [cellOf('a', [100, 100], [200, 210]), cellOf('b', [1], [1])]);
  assert.equal(compared, 4);
  assert.deepEqual(
    new Set(regressions.map(({ cell, metric }) => `${cell} ${metric}`)),
    new Set(['a rps', 'a p50Us', 'a p99Us']),
  );
  assert.deepEqual(compare(stored, stored.cells).regressions, []);
});

test('what was measured now replaces what was stored, the rest stays', () => {
  const stored = resultsOf(cellOf('a', [100], [400]), cellOf('b', [100], [300]));
  const merged = mergeResults(stored, resultsOf(cellOf('b', [100], [200])));
  assert.deepEqual(
    merged.cells.map(({ name, rows }) => [name, rows[1]!.rps.median]),
    [
      ['a', 400],
      ['b', 200],
    ],
  );
});

test('metrics are read as what happened between two texts', () => {
  const text = (low: number, all: number, sum: number) =>
    parseMetrics(
      `# HELP h x\nh_bucket{le="0.01",a="x\\"y"} ${low}\nh_bucket{le="+Inf"} ${all}\nh_sum ${sum}\nh_count ${all} 123\n`,
    );
  const [before, after] = [text(10, 10, 1), text(109, 110, 4)];
  assert.equal(after[0]!.labels.a, 'x\\"y');
  assert.equal(meanBetween(before, after, 'h'), 0.03);
  assert.equal(quantileBetween(before, after, 'h', 0.99), 0.01);
  assert.equal(quantileBetween(before, after, 'h', 0.999), Number.POSITIVE_INFINITY);
  assert.ok(Number.isNaN(quantileBetween(before, before, 'h', 0.5)));
});

test('flags are checked, and a prefix chooses cells', () => {
  assert.equal(readOptions(['--quick']).rounds, 3);
  assert.equal(readOptions(['--rounds', '7']).rounds, 7);
  assert.throws(() => readOptions(['--rounds', '0']), /--rounds must be a whole number from 1 to 99, got: 0/);
  assert.throws(() => readOptions(['--against', 'localhost:8000']), /--against must be a URL/);
  assert.throws(() => readOptions(['--fast']), /--fast/);
  assert.deepEqual(
    chosenCells(['small-json'], false).map(({ connections }) => connections),
    [1, 8, 64],
  );
});

test('tables are aligned, and numbers keep three digits', () => {
  assert.deepEqual([0.0123, 0.98, 3.456, 45.67, 12345, Number.NaN, 0].map(short), [
    '0.012',
    '0.980',
    '3.46',
    '45.7',
    '12345',
    '–',
    '0',
  ]);
  assert.equal(table(['a', 'b'], [['xyzz', '1']]), '| a    |   b |\n|------|----:|\n| xyzz |   1 |');
});

/** Answers of one connection until there are `wanted`. */
async function answersOf(port: number, model: string, isStream: boolean, wanted: number): Promise<boolean[]> {
  const row = Float32Array.of(1, 2, 3, 4);
  const message = grpcMessage({
    name: model as 'small',
    input: 'IN',
    shape: [1, 4],
    row,
    what: '',
    repository: '',
    file: '',
  });
  const answers: boolean[] = [];
  await new Promise<void>((resolve) => {
    const connection = new Connection({
      host: '127.0.0.1',
      port,
      message,
      inFlight: 8,
      isStream,
      now: () => performance.now(),
      onAnswer: (ms, isSuccess) => {
        assert.ok(ms >= 0 && ms < 60_000);
        answers.push(isSuccess);
        if (answers.length === wanted) connection.stop();
      },
      onClose: () => resolve(),
    });
  });
  return answers.slice(0, wanted);
}

for (const [what, isStream] of [
  ['calls', false],
  ['messages of a stream', true],
] as const) {
  test(`the gRPC load tells ${what} that succeed from those that fail`, async () => {
    const rig = await Rig.open();
    try {
      const good = await answersOf(rig.door.port, 'scores', isStream, 500);
      assert.deepEqual(new Set(good), new Set([true]));
      const bad = await answersOf(rig.door.port, 'nobody', isStream, 20);
      assert.deepEqual(new Set(bad), new Set([false]));
    } finally {
      await rig.close();
    }
  });
}

test('the gRPC load tells a connection that is lost', async () => {
  const unanswered = await new Promise<number>((resolve) => {
    const options = { host: '127.0.0.1', port: 1, message: Buffer.alloc(4), inFlight: 1, isStream: false };
    new Connection({ ...options, now: () => 0, onAnswer: () => {}, onClose: resolve });
  });
  assert.equal(unanswered, 1);
});

const point = (rate: number, p99Us: number) => {
  const spread = { median: p99Us, min: p99Us / 2, max: p99Us * 2 };
  return { rate, p50Us: spread, p99Us: spread };
};
const curve: Curve = {
  what: 'a <small> model',
  series: [
    { server: 'plain', capacity: 1000, points: [point(200, 1500), point(400, 90_000)] },
    { server: 'sluice', capacity: 5000, points: [point(200, 1000), point(400, 1200), point(3000, 2000)] },
  ],
};

test('the curve has rates for every server, the same for all and none close to another', () => {
  // 1000 is a fifth of 5000, and too close to 900.
  assert.deepEqual(ratesOf([1000, 5000]), [200, 400, 600, 750, 900, 2000, 3000, 3800, 4500]);
  assert.deepEqual(ratesOf([5000, 1000, 1010]), ratesOf([1000, 5000]));
});

test('the picture of the curve holds every point, asks for nothing from outside and has colours for light and dark', () => {
  const svg = curveSvg(curve);
  // Two more dots are the legend's.
  assert.equal(svg.match(/<circle/g)!.length, 5 + 2);
  assert.match(svg, /p99 90\.0 ms at 400 requests per second/);
  assert.match(svg, /prefers-color-scheme:dark/);
  assert.match(svg, /a &#60;small&#62; model/);
  assert.deepEqual(svg.match(/https?:[^"]*|<script|<image|@import|url\(/g), ['http://www.w3.org/2000/svg']);
  assert.ok(svg.length < 20_000);
});

test('a rate that a server did not keep up with has no latency in the table', () => {
  const [, , ...lines] = curveText(curve).split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[2]!, /^\| 3000 +\| +– \| +2\.00 \(1\.00–4\.00\) \|$/);
});

test('a stored curve stays until another is measured', () => {
  const stored = { ...resultsOf(), curve };
  assert.equal(mergeResults(stored, resultsOf()).curve, curve);
  const fresh = { ...curve, what: 'another' };
  assert.equal(mergeResults(stored, { ...resultsOf(), curve: fresh }).curve, fresh);
});

test('all features together may take 15 % of the minimal path and not more', () => {
  const verdictAt = (rps: number) => {
    const samples = new Map([
      ['defaults', [sample(rps)]],
      ['floor-minimal', [sample(1000)]],
    ]);
    const rows = rowsOf(samples, ['defaults', 'floor-minimal']);
    return featureVerdict([{ table: 'features', cell: 'a', rows }]);
  };
  assert.equal(verdictAt(850)!.isMet, true);
  assert.equal(verdictAt(849)!.isMet, false);
  assert.equal(featureVerdict([]), undefined);
});

test('rounds that the host disturbed are made again, and no more than four times as many as asked for', async () => {
  const stolen = [0, 500, 0, 500, 0];
  let total = 0;
  const robs = (shares: readonly number[]) => async (round: number) => {
    total += shares[round] ?? 0;
    return round;
  };
  const options = { rounds: 3, onProgress: () => {}, stolenMs: () => total };
  assert.deepEqual(await undisturbed(options, robs(stolen)), { all: [0, 1, 2, 3, 4], kept: [0, 2, 4] });
  const always = await undisturbed(options, robs(Array.from({ length: 99 }, () => 500)));
  assert.deepEqual([always.all.length, always.kept.length], [12, 0]);
  assert.equal(leftText({ all: [1, 2], kept: [1] }), '1 rounds, 1 disturbed by the host left out');
});

test('the first result that was not disturbed counts, or else the fourth', async () => {
  let [total, tries] = [0, 0];
  const work = (isRobbed: (tries: number) => boolean) => async () => {
    tries++;
    if (isRobbed(tries)) total += 500;
    return tries;
  };
  assert.equal(
    await firstUndisturbed(
      work((tries) => tries < 3),
      () => total,
    ),
    3,
  );
  tries = 0;
  assert.equal(
    await firstUndisturbed(
      work(() => true),
      () => total,
    ),
    4,
  );
});
