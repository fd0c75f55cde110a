/**
 * `sluice bench`: the options as commander knows them, files and signals around a run.
 *
 * What measures is imported only when it is asked for, so that the other commands start in a moment.
 *
 * Must not know how anything is measured.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { Exit } from '../src/cli/exit.js';
import { untilStopped } from '../src/cli/stopping.js';
import { harmless } from '../src/cli/text.js';
import type { Run } from './bench.js';
import { type BenchOptions, parseOptions, type TypedOptions } from './options.js';

const help = `
Closed loop (the default): N connections, each sending its next request when the last one was answered. It tells what the
server can do. Open loop (--mode open): requests are due at a rate, whatever the server does, and latency counts from the
time they were due. It tells what users see, stalls included.

A row is three windows that agree within 10 %, a third of --duration each. When ten windows do not agree, the row says
"unstable" instead of a number; in a search for --slo, three windows have to keep the promise. Answers other than 2xx are
counted by code and kept out of the latencies.
Queue, compute and batch come from the server's V2 statistics; processor and memory from the metrics of a Sluice gateway
(--admin) or from a process on this machine (--pid). "–" means that the server does not say.

Examples:
  $ sluice bench --model digits                                  1, 8 and 64 connections, random rows
  $ sluice bench http://gateway:8000 --model digits --connections 16,32,64 --duration 30
  $ sluice bench --model digits --protocol grpc --connections 64          port 8001
  $ sluice bench --model digits --rate 500,1000,2000,4000 --out report    curve of latency by load, in report/bench.html
  $ sluice bench --model digits --slo p99=5ms                    the highest rate at which p99 stays below 5 ms
  $ sluice bench --model cancer --input patients.csv --rows 8    real rows, eight in a request
  $ sluice bench --model digits --input requests.jsonl --protocol http-binary
  $ sluice bench --model digits --input log --last 2h            what was really asked, newest first

Exit codes: 0 every row was measured, 1 a row is unstable, partial or failed, or the server cannot be used; 2 wrong usage.`;

const append = (value: string, earlier: readonly string[] = []) => [...earlier, value];

export function addBenchCommand(program: Command): void {
  program
    .command('bench')
    .description('Put load on a running gateway, or any V2 server, and report what it does.')
    .argument('[url]', 'Address of the server. (default: http://127.0.0.1:8000, for gRPC 127.0.0.1:8001)')
    .option('--model <name>', 'Model to ask.')
    .option('--model-version <n>', 'Ask for this version instead of the default one.')
    .option('--protocol <protocol>', 'http-json, http-binary, grpc or grpc-stream. (default: http-json)')
    .option('--mode <mode>', 'closed or open. (default: closed; open with --rate or --slo)')
    .option('--arrivals <kind>', 'Open: constant or poisson. (default: poisson)')
    .option('--connections <n,n,…>', 'Closed: one row for each. (default: 1,8,64) Open: most in flight. (default: 256)')
    .option('--rate <r,r,…>', 'Open: requests per second, one row for each.')
    .option('--duration <s>', 'Seconds measured for a row. (default: 10)')
    .option('--warmup <s>', 'Seconds before that. (default: 2)')
    .option('--timeout <s>', 'Seconds until a request is given up. (default: 10)')
    .option('--slo <promise>', 'Search the highest rate that keeps it, for example p99=5ms.')
    .option('--rows <n>', 'Rows in a request. (default: 1)')
    .option(
      '--shape <input=d,d,…>',
      'Size of an input whose dimensions vary, without the rows; may be repeated.',
      append,
    )
    .option(
      '--input <file>',
      'Real rows: V2 request in JSON, JSONL of requests, CSV for a model with one input, or log: the prediction log.',
    )
    .option('--last <time>', 'Of the log: how far back, as in 30m, 12h or 7d. (default: 1h)')
    .option('--seed <n>', 'Decides random rows and arrivals. (default: 1)')
    .option('--header <line>', "HTTP header or gRPC metadata, 'name: value'; may be repeated.", append)
    .option('--admin <url>', 'Control port of the gateway. (default: port 8002 there, for a gateway on 8000 or 8001)')
    .option('--pid <n>', 'Measure processor and memory of this process and its children instead.')
    .option('--out <dir>', 'Write bench.json and bench.html into this folder.')
    .option('--json <file>', 'Write the report as JSON.')
    .option('--html <file>', 'Write the report as one HTML file that opens offline.')
    .addHelpText('after', help)
    .action((url: string | undefined, typed: TypedOptions) => runCommand(parseOptions(url, typed)));
}

async function runCommand(options: BenchOptions): Promise<void> {
  const problem = problemOf(await untilStopped((signal) => runInTerminal(options, signal)));
  if (problem !== '') throw new Exit(1, problem);
}

async function runInTerminal(options: BenchOptions, signal: AbortSignal): Promise<Run> {
  for (const file of [options.json, options.html]) if (file !== undefined) prepareFile(file);
  const { runBench } = await import('./bench.js');
  const { LiveLine, showRun } = await import('./table.js');
  const now = () => performance.now();
  const line = new LiveLine(process.stderr, now);
  let run: Run;
  try {
    run = await runBench(options, {
      now,
      startedAt: Date.now(),
      signal,
      progress: (head, progress) => line.show(head, progress),
      rowDone: (row) => line.rowDone(row),
    });
  } finally {
    line.clear();
  }
  process.stdout.write(`\n${showRun(run)}`);
  if (options.json !== undefined) {
    const { reportJson } = await import('./report-json.js');
    write(options.json, reportJson(run));
  }
  if (options.html !== undefined) {
    const { reportHtml } = await import('./report-html.js');
    write(options.html, reportHtml(run));
  }
  return run;
}

/** Why a run is not what was asked for; '' when it is. */
function problemOf({ cutShort, rows, options, bestRate }: Run): string {
  if (cutShort !== '') return `the report is partial: ${cutShort}`;
  if (options.slo !== undefined && bestRate === undefined) return '--slo: no rate was found that keeps it';
  // A search walks into rates that the server cannot bear; that is its purpose.
  const bad = rows.filter(({ status, meetsSlo }) => status !== 'steady' && meetsSlo === undefined);
  return bad.length === 0 ? '' : `${bad.length} of ${rows.length} rows have no steady figures (${bad[0]!.reason})`;
}

/** A report that cannot be written is found out before the load, not after it. */
function prepareFile(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '', { flag: 'a' });
  } catch (error) {
    throw new Exit(2, `${harmless(file)}: cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new Exit(1, `${harmless(file)}: cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
  process.stdout.write(`wrote ${harmless(file)}\n`);
}
