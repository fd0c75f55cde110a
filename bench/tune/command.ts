/**
 * `sluice tune`: finds the settings of a model that carry the most load within a promise about latency.
 *
 *   options ─▶ configuration in force ─▶ search ─▶ YAML on stdout, or into --out
 *
 * What measures is imported only when it is asked for, so that the other commands start in a moment.
 *
 * Must not know how candidates are chosen or judged.
 */
import { statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { Exit } from '../../src/cli/exit.js';
import { harmless } from '../../src/cli/text.js';
import { type BenchOptions, parseOptions, type TypedOptions } from '../options.js';
import { parseSlo, type Slo } from '../slo.js';
import type { AttemptOptions } from './attempt.js';
import type { Site } from './gateways.js';
import type { Outcome } from './search.js';

const help = `
Starts gateways of its own on free ports of this machine, one setting after another, and searches each for the highest rate
of independent arrivals at which the promise is kept. Nothing that runs is touched. What is configured already
(SLUICE_CONFIG or config/sluice.yaml, and the environment) stays in force; searched are, for this model:

  instances            threads that run it in each process
  intra_op_threads     threads inside one operator
  max_batch_size       rows merged into one run
  max_queue_delay_us   how long a request waits for others to join its batch

A setting is first asked for 5 % more than the best so far, and given up when it cannot do that ("< 2,310" in the table).
The best then plays a final against what is in force: three rounds in turns, whose medians decide; a gain below 5 % is taken
for noise. Ctrl-C ends with the best so far, marked as partial. The load is made on this machine, too, so rates are lower
than from a machine beside it. Run it where the gateway will run, with nothing else going on: a few minutes for each model.

Examples:
  $ sluice tune --model digits --slo p99=5ms
  $ sluice tune --model digits --slo p99.9=20ms --protocol grpc --seconds 10 --out tuned.yaml
  $ sluice tune --model cancer --slo p99=2ms --models /srv/models --input patients.csv --rows 8

Merge the answer into the configuration file; "sluice check --config FILE" reads the whole.
Exit codes: 0 an answer was found, 1 none or a partial one, 2 wrong usage.`;

interface TypedTune extends TypedOptions {
  readonly models?: string;
  readonly seconds?: string;
  readonly out?: string;
}

const append = (value: string, earlier: readonly string[] = []) => [...earlier, value];

export function addTuneCommand(program: Command): void {
  program
    .command('tune')
    .description('Search the settings of a model that carry the most load within a promise about latency.')
    .option('--model <name>', 'Model to tune.')
    .option('--slo <promise>', 'What must be kept, for example p99=5ms.')
    .option('--models <dir>', 'Folder of models. (default: that of the configuration)')
    .option('--protocol <protocol>', 'http-json, http-binary, grpc or grpc-stream. (default: http-json)')
    .option('--seconds <s>', 'Seconds measured for a rate. (default: 3)')
    .option('--rows <n>', 'Rows in a request. (default: 1)')
    .option('--shape <input=d,d,…>', 'Size of an input whose dimensions vary; may be repeated.', append)
    .option('--input <file>', 'Real rows: V2 request in JSON, JSONL of requests, or CSV for a model with one input.')
    .option('--out <file>', 'Write the YAML into this file instead of showing it.')
    .addHelpText('after', help)
    .action(tune);
}

async function tune(typed: TypedTune): Promise<void> {
  const { models, seconds, out, ...rest } = typed;
  if (typed.slo === undefined) throw new Exit(2, '--slo: expected what must be kept, for example --slo p99=5ms');
  const duration = secondsOf(seconds);
  const warmup = String(Math.min(1, Number(duration)));
  const load: TypedOptions = { ...rest, duration, warmup, timeout: timeoutOf(parseSlo(typed.slo)), mode: 'open' };
  const options = parseOptions(undefined, load);
  const site = await siteOf(options.model, models);
  if (out !== undefined) prepareFile(out);

  const stopping = new AbortController();
  const stop = () => {
    // The first one asks for the best so far; whoever does not want to wait for it says so again.
    if (stopping.signal.aborted) process.exit(130);
    stopping.abort();
  };
  const { killAll } = await import('../suite/children.js');
  process.on('SIGINT', stop).on('SIGTERM', stop).on('exit', killAll);
  try {
    const outcome = await run(site, load, options, stopping.signal);
    await conclude(outcome, { options, out, isPartial: stopping.signal.aborted });
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop).off('exit', killAll);
    killAll();
  }
}

/** Whoever has waited for four times what is promised need not wait on: the rate is too high. */
function timeoutOf({ limitUs }: Slo): string {
  return String(Math.min(60, Math.max(1, (4 * limitUs) / 1e6)));
}

function secondsOf(text = '3'): string {
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds >= 0.3 && seconds <= 600) return text;
  throw new Exit(2, `--seconds: expected a number from 0.3 to 600, got ${text}`);
}

/** @throws Exit 2 when the configuration is wrong or there is no such folder */
async function siteOf(model: string, typedModels: string | undefined): Promise<Site> {
  const { loadConfig } = await import('../../src/config/load.js');
  const { readConfigFile } = await import('../../src/config/read.js');
  const { config } = loadConfig({ env: process.env, file: readConfigFile(undefined, process.env) });
  const models = typedModels ?? config.models.path;
  if (statSync(models, { throwIfNoEntry: false }) === undefined)
    throw new Exit(2, `--models: expected a folder of models, got ${models}: it does not exist`);
  return { models, model, config };
}

async function run(
  site: Site,
  typed: TypedOptions,
  { slo, rows = 1 }: BenchOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const { settled } = await import('../../src/config/derived.js');
  const { attempt } = await import('./attempt.js');
  const { axesOf, batchRowsMax } = await import('./candidate.js');
  const { askKnown } = await import('./gateways.js');
  const { TuneLine } = await import('./progress.js');
  const { search } = await import('./search.js');
  const now = () => performance.now();
  const line = new TuneLine(process.stderr, now);
  const { candidate: start, ownRowsMax } = await askKnown(site);
  const cores = availableParallelism();
  const { processes } = settled(site.config, cores).gateway;
  const rowsMax = ownRowsMax ?? batchRowsMax;
  const options: AttemptOptions = {
    site,
    typed,
    now,
    signal,
    start,
    onProgress: (head, progress) => line.show(head, progress),
  };
  try {
    return await search({
      start,
      axes: axesOf({ cores, processes, rows, rowsMax, limitUs: slo!.limitUs }),
      rows,
      attempt: async (candidate, floorRate) => {
        const trial = await attempt(candidate, floorRate, options);
        line.done(trial);
        return trial;
      },
      onStep: (step) => line.begin(step),
      isOver: () => signal.aborted,
    });
  } finally {
    line.clear();
  }
}

interface Conclusion {
  readonly options: BenchOptions;
  readonly out: string | undefined;
  readonly isPartial: boolean;
}

/** @throws Exit 1 when there is no answer, or not a whole one */
async function conclude(outcome: Outcome, { options, out, isPartial }: Conclusion): Promise<void> {
  const { answerYaml, conclusionOf } = await import('./yaml.js');
  const { describeMachine } = await import('../suite/machine.js');
  const { model, protocol, slo } = options;
  const count = outcome.trials.length;
  if (outcome.best.rate === undefined) {
    if (isPartial) throw new Exit(1, 'interrupted before any rate was found that keeps the promise');
    throw new Exit(1, `--slo: no rate was found that keeps it, with none of ${count} settings`);
  }
  const { date, cpu, cores, node, sluice, 'onnxruntime-node': runtime } = describeMachine(new Date());
  const cutShort = isPartial ? 'interrupted' : '';
  const yaml = answerYaml(outcome, {
    model,
    slo: slo!,
    command: `sluice tune --model ${model} --slo p${slo!.percent}=${slo!.limitUs / 1000}ms --protocol ${protocol}`,
    machine: `${date}, ${cpu}, ${cores} cores, Node ${node}, onnxruntime-node ${runtime}, Sluice ${sluice}`,
    cutShort,
  });
  if (out === undefined) process.stdout.write(yaml);
  else {
    writeFile(out, yaml);
    process.stdout.write(`${conclusionOf(outcome, { slo: slo!, cutShort }).join('\n')}\nwrote ${harmless(out)}\n`);
  }
  if (isPartial) throw new Exit(1, `the answer is partial: interrupted after ${count} trials`);
}

/** A file that cannot be written is found out before the load, not after it. */
function prepareFile(file: string): void {
  try {
    writeFileSync(file, '', { flag: 'a' });
  } catch (error) {
    throw new Exit(2, `--out: ${harmless(file)} cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function writeFile(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new Exit(1, `--out: ${harmless(file)} cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}
