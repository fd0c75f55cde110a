import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inputsOf } from '../bench/log-input.js';
import type { ModelFacts } from '../bench/target.js';
import { conditionsOf, type Figures, judged } from '../src/cli/replay-conditions.js';
import { type ReplayReport, replayJunit, replayMarkdown } from '../src/cli/replay-report.js';
import { type AnsweredOutput, ReplayTally } from '../src/cli/replay-tally.js';
import { type LoggedRun, matesAmong } from '../src/control/batch-mates.js';
import type { LoggedRequest } from '../src/control/logged-request.js';
import type { DataType } from '../src/core/tensor.js';

const requestOf = (items: readonly object[], changes: Partial<LoggedRequest> = {}): LoggedRequest => ({
  requestId: 'r',
  version: '1',
  status: 200,
  latencyMs: 1,
  isTruncated: false,
  isRedacted: false,
  items: items.map((item) => ({ ...item })),
  ...changes,
});

const factsOf = (shape: readonly number[], datatype: DataType = 'FP32', rowsMax = 8): ModelFacts => ({
  inputs: [{ name: 'x', datatype, shape }],
  rowsMax,
  server: '',
});

const inputJson = (...cells: unknown[]) => ({ input_json: JSON.stringify({ x: cells }) });
const rebuilt = (request: LoggedRequest, facts: ModelFacts, columns = new Map()) => {
  const [tensor] = inputsOf(request, facts, columns) ?? [];
  return tensor && { shape: tensor.shape, data: Array.from(tensor.data as ArrayLike<unknown>) };
};

test('logged elements become the tensor that they were', () => {
  const two = requestOf([inputJson(1, 2, 'NaN'), inputJson(4, 5, '-Infinity')]);
  const data = [1, 2, Number.NaN, 4, 5, -Infinity];
  assert.deepEqual(rebuilt(two, factsOf([-1, 3])), { shape: [2, 3], data });
  assert.deepEqual(rebuilt(two, factsOf([-1, -1])), { shape: [2, 3], data });
  assert.deepEqual(rebuilt(requestOf([inputJson(1, 2)]), factsOf([-1], 'FP32', 0)), { shape: [2], data: [1, 2] });
  assert.deepEqual(rebuilt(requestOf([inputJson(true, false)]), factsOf([-1, 2], 'BOOL')), {
    shape: [1, 2],
    data: [1, 0],
  });
  assert.deepEqual(rebuilt(requestOf([inputJson('a', '1')]), factsOf([-1, 2], 'BYTES')), {
    shape: [1, 2],
    data: ['a', '1'],
  });
  for (const shape of [
    [-1, 4],
    [-1, -1, -1],
    [-1, 2, -1],
  ])
    assert.equal(rebuilt(two, factsOf(shape)), undefined, String(shape));
  assert.equal(rebuilt(two, factsOf([-1, 3], 'INT64')), undefined, 'no integers');
});

test('columns of declared features are put where the model has them, and a gap is no input', () => {
  const columns = new Map([
    ['1', [1, 0].map((index) => ({ column: `f_${index}`, input: 'x', index }))],
    ['2', []],
  ]);
  const whole = requestOf([{ input_json: null, f_0: 7, f_1: 8 }]);
  assert.deepEqual(rebuilt(whole, factsOf([-1, 2]), columns), { shape: [1, 2], data: [7, 8] });
  assert.deepEqual(rebuilt({ ...whole, version: '9' }, factsOf([-1, 2]), columns)?.data, [7, 8]);
  assert.equal(rebuilt(whole, factsOf([-1, 3]), columns), undefined, 'an element that is not a feature');
  assert.equal(rebuilt(requestOf([{ f_0: 7, f_1: null }]), factsOf([-1, 2]), columns), undefined);
  assert.equal(rebuilt(requestOf([{}]), factsOf([-1, 2]), columns), undefined);
});

const output = (datatype: DataType, shape: readonly number[], ...data: unknown[]): AnsweredOutput => ({
  name: 'y',
  datatype,
  shape,
  data,
});
const logged = (...items: unknown[][]) => requestOf(items.map((y) => ({ outputs_json: JSON.stringify({ y }) })));

test('items agree by their greatest number, differences are those of single precision', () => {
  const tally = new ReplayTally();
  tally.add(
    logged([Math.fround(0.1), Math.fround(0.9)], [0.75, 0.25]),
    [output('FP32', [2, 2], 0.1, 0.9, 0.25, 0.75)],
    3,
  );
  const { agree, match, max_abs, mean_abs, p99_ms, error_rate } = tally.figures;
  assert.deepEqual([agree, match, max_abs, mean_abs, p99_ms, error_rate], [0.5, 0.5, 0.5, 0.25, 3, 0]);
  const [worst] = tally.examples;
  assert.deepEqual([worst!.item, worst!.logged, worst!.candidate, worst!.isAgreed], [1, '0 (0.75)', '1 (0.75)', false]);
});

test('labels are compared exactly, also whole numbers that no double holds', () => {
  const tally = new ReplayTally();
  tally.add(logged(['9007199254740993']), [output('INT64', [1, 1], '9007199254740993')], 1);
  tally.add(logged(['9007199254740993']), [output('INT64', [1, 1], '9007199254740992')], 1);
  tally.add(logged([3]), [output('INT64', [1, 1], 3)], 1);
  tally.add(logged([true]), [output('BOOL', [1, 1], false)], 1);
  tally.add(logged(['cat']), [output('BYTES', [1, 1], 'cat')], 1);
  assert.deepEqual([tally.figures.agree, tally.figures.max_abs], [3 / 5, undefined]);
});

test('an output that is missing or of another size agrees with nothing', () => {
  const tally = new ReplayTally();
  tally.add(logged([1, 2]), [], 1);
  tally.add(logged([1, 2]), [output('FP32', [1, 3], 1, 2, 3)], 1);
  const [found] = tally.outputs;
  assert.deepEqual([found!.items, found!.agreed, found!.shapeMismatches], [2, 0, 2]);
  assert.deepEqual(
    tally.examples.map(({ candidate }) => candidate),
    ['no such output', '2 (3)'],
  );
});

test('of several outputs the worst one decides, and failures count among what was sent', () => {
  const tally = new ReplayTally();
  const items = [{ outputs_json: '{"y":[1,0],"z":[0.5]}' }];
  tally.add(requestOf(items), [output('FP32', [1, 2], 1, 0), { ...output('FP32', [1, 1], 0.75), name: 'z' }], 1);
  tally.fail('500 no');
  assert.deepEqual([tally.figures.agree, tally.figures.max_abs, tally.figures.error_rate], [0, 0.25, 0.5]);
});

const figures: Figures = {
  agree: 0.985,
  match: 0.5,
  max_abs: undefined,
  mean_abs: 0.01,
  error_rate: 0,
  p50_ms: 1,
  p99_ms: 7,
};

test('conditions name a figure, a comparison and a limit; one that cannot be judged is met', () => {
  const found = judged(
    conditionsOf(['agree<0.99', 'agreement < 0.985,p99_ms>=7', 'error_rate>1e-3', 'max_abs>1']),
    figures,
  );
  assert.deepEqual(
    found.map(({ isMet }) => isMet),
    [true, false, true, false, true],
  );
  assert.equal(found.at(-1)!.found, 'there is no max_abs to judge by');
  for (const text of ['', 'agree', 'agree=1', 'agree<x', 'agree<<1', 'toString<1', 'agree<0.9;p99_ms>1'])
    assert.throws(() => conditionsOf([text]), { exitCode: 2 }, text);
  assert.throws(() => conditionsOf([new Array(33).fill('agree<1').join(',')]), /at most 32 conditions/);
});

test('what came from outside is neither markdown nor XML in a report', () => {
  const tally = new ReplayTally();
  tally.add({ ...logged(['a|<b>&"\u0007']), requestId: '](x)`|<i>' }, [output('BYTES', [1, 1], 'b\uffff')], 1);
  tally.fail('500 <script>');
  const report: ReplayReport = {
    model: 'm<1>',
    candidate: 'version "2"',
    last: '1h',
    durationMs: 1500,
    counts: tally.counts,
    figures: tally.figures,
    loggedLatencyMs: tally.loggedLatencyMs,
    outputs: tally.outputs,
    examples: tally.examples,
    judged: judged(conditionsOf(['agree<1']), tally.figures),
    problem: '',
  };
  const markdown = replayMarkdown(report);
  assert.ok(!/<script|<i>|<b>/.test(markdown.replaceAll('\\<', '')), markdown);
  assert.ok(markdown.includes('\\](x)\\`\\|\\<i\\>'), markdown);
  const junit = replayJunit(report);
  assert.match(junit, /<testsuites tests="2" failures="1" errors="0" time="1\.500">/);
  assert.match(junit, /<failure message="agree is 0"\/>/);
  assert.doesNotMatch(junit, /<script|[\ufffe\uffff]|&(?!amp;|lt;|gt;|quot;|#10;)/);
  assert.ok(!junit.includes('\u0007'));
});

const run = (seq: number, items: number, batchSize: number, runUs: number): LoggedRun => ({
  requestId: `r${seq}`,
  seq,
  items,
  batchSize,
  runUs,
});

test('requests of one run are found by its size and time, and nothing is guessed', () => {
  const runs = [
    run(1, 1, 1, 50),
    run(3, 1, 3, 50),
    run(4, 2, 3, 50),
    run(6, 1, 2, 40),
    run(7, 1, 2, 40),
    run(8, 1, 2, 40),
    run(9, 1, 2, 40),
  ];
  assert.deepEqual(matesAmong(runs, 1), []);
  assert.deepEqual(matesAmong(runs, 4), ['r3']);
  assert.deepEqual(matesAmong(runs, 7), ['r6'], 'two runs of one size and time one after the other');
  assert.deepEqual(matesAmong(runs, 8), ['r9']);
  assert.equal(matesAmong(runs.slice(0, 2), 3), null, 'a row is missing');
  assert.equal(matesAmong([run(1, 2, 3, 9), run(2, 2, 3, 9)], 2), null, 'rows that do not add up');
  assert.equal(matesAmong(runs, 99), null);
});
