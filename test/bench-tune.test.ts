/** The tuner: what it tries, how it decides, what it writes; at the end once with a real gateway. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { runBench } from '../bench/bench.js';
import { parseOptions } from '../bench/options.js';
import { axesOf, type Candidate, keyOf } from '../bench/tune/candidate.js';
import { addTuneCommand } from '../bench/tune/command.js';
import { gainMin, type Outcome, type SearchOptions, search, type Trial } from '../bench/tune/search.js';
import { answerYaml } from '../bench/tune/yaml.js';
import { Exit } from '../src/cli/exit.js';
import { loadConfig } from '../src/config/load.js';
import { startTinyServer } from './bench-server.js';
import { dense, writeRepository } from './fixtures.js';

const start: Candidate = { instances: 1, intraOpThreads: 1, rowsMax: 32, delayUs: 0 };
const bounds = { cores: 4, processes: 2, rows: 1, rowsMax: 128, limitUs: 5000 };
const axes = axesOf(bounds);

function namesOf(name: string, of = bounds): unknown[] {
  return (
    axesOf(of)
      .find((axis) => axis.name === name)
      ?.changes.map((change) => Object.values(change)) ?? []
  );
}

/** Candidates are worth what `worth` says; a floor they cannot reach is answered with no rate. */
async function searched(
  worth: (candidate: Candidate, time: number) => number | undefined,
  options: Partial<SearchOptions> = {},
): Promise<Outcome & { readonly tried: readonly string[] }> {
  const times = new Map<string, number>();
  const tried: string[] = [];
  const outcome = await search({
    start,
    axes,
    rows: 1,
    attempt: async (candidate, floorRate): Promise<Trial> => {
      const time = (times.get(keyOf(candidate)) ?? 0) + 1;
      times.set(keyOf(candidate), time);
      tried.push(keyOf(candidate));
      const rate = worth(candidate, time);
      const isBelow = rate !== undefined && floorRate !== undefined && rate < floorRate;
      return { candidate, rate: isBelow ? undefined : rate, floorRate, note: '' };
    },
    onStep: () => {},
    isOver: () => false,
    ...options,
  });
  return { ...outcome, tried };
}

test('threads are tried in every division of a process’s share of the cores, and of twice that', () => {
  assert.deepEqual(namesOf('threads'), [
    [2, 1],
    [1, 2],
    [4, 1],
    [2, 2],
    [1, 4],
  ]);
  assert.deepEqual(namesOf('threads', { ...bounds, cores: 1 }), [[1, 1]]);
  for (const [instances, threads] of namesOf('threads', { ...bounds, cores: 6, processes: 1 }) as number[][])
    assert.ok(instances! * threads! <= 6);
});

test('batches stay between the rows of a request and what the model allows', () => {
  assert.deepEqual(namesOf('batch'), [[1], [8], [32], [128]]);
  assert.deepEqual(namesOf('batch', { ...bounds, rows: 16, rowsMax: 100 }), [[32], [100]]);
  assert.deepEqual(
    axesOf({ ...bounds, rowsMax: 0 }).map(({ name }) => name),
    ['threads'],
  );
});

test('nobody is made to wait for half of what is promised, or for company that cannot come', async () => {
  assert.deepEqual(namesOf('delay', { ...bounds, limitUs: 1000 }), [[0]]);
  const { tried } = await searched(({ rowsMax }) => (rowsMax === 1 ? 200 : 100));
  assert.ok(!tried.some((key) => /^\d+ \d+ 1 [^0]/.test(key)), tried.join(', '));
});

test('the search finds the best along all axes and tries no candidate twice before the final', async () => {
  const worth = ({ instances, rowsMax, delayUs }: Candidate) => 100 * instances + rowsMax + (delayUs === 500 ? 50 : 0);
  const { best, isConfirmed, tried, trials } = await searched(worth);
  assert.deepEqual(best.candidate, { instances: 4, intraOpThreads: 1, rowsMax: 128, delayUs: 500 });
  assert.equal(isConfirmed, true);
  const before = tried.slice(0, -6);
  assert.equal(new Set(before).size, before.length);
  assert.deepEqual(new Set(tried.slice(-6)), new Set([keyOf(best.candidate), keyOf(start)]));
  assert.equal(trials.length, tried.length);
});

test('who won by luck loses the final', async () => {
  const { best, start: before } = await searched(({ rowsMax }, time) => (rowsMax === 8 && time === 1 ? 1000 : 100));
  assert.equal(best, before);
  assert.deepEqual(best.candidate, start);
});

test('a gain within the noise is none', async () => {
  const gain = (share: number) => searched(({ rowsMax }) => (rowsMax === 8 ? 1000 * (1 + share) : 1000));
  assert.deepEqual((await gain(gainMin - 0.01)).best.candidate, start);
  assert.equal((await gain(gainMin + 0.01)).best.candidate.rowsMax, 8);
});

test('a start that keeps no promise loses to anything that does', async () => {
  const { best } = await searched(({ rowsMax }) => (rowsMax === 8 ? 10 : undefined));
  assert.equal(best.candidate.rowsMax, 8);
  assert.equal((await searched(() => undefined)).best.rate, undefined);
});

test('an interrupted search gives the best so far, without a final', async () => {
  let asked = 0;
  const { best, isConfirmed, trials } = await searched(
    ({ instances }) => {
      asked++;
      return 100 * instances;
    },
    { isOver: () => asked >= 3 },
  );
  assert.equal(trials.length, 3);
  assert.equal(best.rate, 200);
  assert.equal(isConfirmed, false);
});

const answer = {
  model: 'null',
  slo: { percent: 99, limitUs: 5000 },
  command: 'sluice tune\nmodel_overrides: {}',
  machine: 'here',
  cutShort: '',
};

test('the answer is a configuration that holds only what differs, with the numbers in comments', async () => {
  const outcome = await searched(({ rowsMax, delayUs }) => (rowsMax === 8 ? 4000 : 2000) + (delayUs === 500 ? 500 : 0));
  const text = answerYaml(outcome, answer);
  const { config } = loadConfig({ file: { name: 'answer', text } });
  assert.deepEqual(config.model_overrides, { null: { max_batch_size: 8, max_queue_delay_us: 500 } });
  assert.match(text, /^# p99 ≤ 5\.00 ms is kept up to 4,500 requests per second; .* up to 2,000 \(\+125 %\)\.$/m);
  assert.match(text, /^# +1 +2 +32 +0 +< 2,\d+/m);
});

test('where nothing is better, nothing has to be set; a partial answer says so', async () => {
  const outcome = await searched(() => 2000);
  const text = answerYaml(outcome, answer);
  assert.deepEqual(loadConfig({ file: { name: 'answer', text } }).config.model_overrides, {});
  assert.match(text, /nothing has to be set/);
  const partial = answerYaml(outcome, { ...answer, cutShort: 'interrupted' });
  assert.match(partial, /^# PARTIAL: interrupted\./m);
  assert.match(partial, /nothing better was found so far/);
});

test('a search that is given its start and floor asks one rate, as often as it is told', async (context) => {
  const { url } = await startTinyServer(context);
  const ask = (slo: string) =>
    runBench(parseOptions(url, { model: 'tiny', slo, duration: '0.3', warmup: '0.1', connections: '4' }), {
      now: () => performance.now(),
      startedAt: 0,
      signal: new AbortController().signal,
      progress: () => {},
      rowDone: () => {},
      search: { startRate: 200, rateMin: 200, probesMax: 1, tries: 2 },
    });
  const broken = await ask('p50=1us');
  assert.deepEqual(
    broken.rows.map(({ load, meetsSlo }) => [load, meetsSlo]),
    [
      [200, false],
      [200, false],
    ],
  );
  assert.equal(broken.bestRate, undefined);
});

test('what is wrong with the options is said in one line before anything is started', async () => {
  const complaint = async (...args: string[]) => {
    const program = new Command().exitOverride();
    addTuneCommand(program);
    const error = await program.parseAsync(['tune', ...args], { from: 'user' }).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof Exit, String(error));
    assert.equal(error.exitCode, 2);
    return error.message;
  };
  const right = ['--model', 'digits', '--slo', 'p99=5ms'];
  assert.match(await complaint('--model', 'digits'), /^--slo: expected what must be kept/);
  assert.match(await complaint('--slo', 'p99=5ms'), /^--model: expected the name of a model/);
  assert.match(await complaint('--model', 'digits', '--slo', 'fast'), /^--slo: expected a percentile and a limit/);
  assert.match(await complaint(...right, '--seconds', '0.1'), /^--seconds: expected a number from 0\.3/);
  assert.match(await complaint(...right, '--protocol', 'smtp'), /^--protocol: expected one of/);
  assert.match(await complaint(...right, '--models', '/does/not/exist'), /^--models: .* does not exist$/);
});

test('interrupted, the command gives the best so far as a configuration and exit code 1', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-tune-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  writeRepository(directory, { small: dense() });
  const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));
  const args = ['tune', '--model', 'small', '--models', directory, '--slo', 'p50=250ms', '--seconds', '0.3'];
  const child = spawn(process.execPath, [cli, ...args], { timeout: 120_000 });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    const isFirst = !err.includes('trial 1:');
    err += chunk;
    if (isFirst && err.includes('trial 1:')) child.kill('SIGINT');
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 1, err);
  assert.match(err, /the answer is partial: interrupted after \d+ trials?$/m);
  assert.match(out, /^# PARTIAL: interrupted/m);
  assert.match(out, /^# p50 ≤ 250 ms is kept up to [\d,]+ requests per second/m);
  loadConfig({ file: { name: 'answer', text: out } });
});
