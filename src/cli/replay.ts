/**
 * `sluice replay`: logged requests once more, to a candidate, and what it answers beside what was answered then.
 *
 *   prediction log ─▶ requests whose inputs are whole ─▶ candidate: a version that is open, or a folder tried for it ─▶ report
 *
 * Must not know how rows are stored, or how a candidate runs.
 */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { agoMs } from './ago.js';
import { controlPort, gatewayOf } from './control-port.js';
import { Exit } from './exit.js';
import { conditionsOf, figureNames } from './replay-conditions.js';
import { type ReplayReport, replayJunit, replayMarkdown, replayText } from './replay-report.js';
import type { ReplayOrder } from './replay-run.js';
import { untilStopped } from './stopping.js';
import { harmless } from './text.js';

const help = `
Needs prediction_log.sample above 0: requests are logged with their inputs and outputs then. What was cut off, redacted,
refused or logged without inputs is passed over and counted. A row is found once its segment is closed
(prediction_log.segment_age_ms).

The candidate is a version that the gateway has open, or the folder of a version (or a model.onnx) that is tried in a
gateway of its own, on this machine, with all that admission checks. What is sent to a version of the gateway is logged
like all that is asked for, under ids that begin with "replay-", and no replay takes it for traffic.

Conditions: ${figureNames.join(', ')} with <, <=, > or >=. Of several outputs the worst one decides.

Examples:
  $ sluice replay --candidate 3 --model digits --last 1h --fail-on "agree<0.99"
  $ sluice replay --candidate ./models/digits/3 --model digits --last 7d --limit 10000 --markdown replay.md
  $ sluice replay --candidate 3 --fail-on "agree<0.99" --fail-on "p99_ms>20" --junit replay.xml

Exit codes: 0 done and no condition is met; 1 a condition is met, or there was nothing to compare; 2 wrong usage.`;

interface Given {
  readonly candidate: string;
  readonly model?: string;
  readonly baseline?: string;
  readonly last: string;
  readonly limit: string;
  readonly connections: string;
  readonly failOn?: readonly string[];
  readonly markdown?: string;
  readonly junit?: string;
  readonly json?: string;
  readonly url: string;
  readonly gateway: string;
}

const append = (value: string, earlier: readonly string[] = []) => [...earlier, value];

export function addReplayCommand(program: Command, env: NodeJS.ProcessEnv, write: (text: string) => void): void {
  program
    .command('replay')
    .description('Send logged requests to a candidate and compare its answers with those that were given.')
    .requiredOption('--candidate <version>', 'A version of the model, the folder of one, or a model.onnx.')
    .option('--model <name>', 'Of this model; may be left out when the log has only one.')
    .option('--baseline <version>', 'Only what this version answered.')
    .option('--last <time>', 'How far back, as in 30m, 12h or 7d.', '1h')
    .option('--limit <n>', 'At most so many requests, the newest.', '1000')
    .option('--connections <n>', 'Requests at a time.', '1')
    .option('--fail-on <condition>', 'End with 1 when it holds, for example agree<0.99; may be repeated.', append)
    .option('--markdown <file>', 'Write the report as markdown.')
    .option('--junit <file>', 'Write the conditions as test cases.')
    .option('--json <file>', 'Write the report as JSON.')
    .option('--url <url>', 'Address of the control port, which has the log.', controlPort)
    .option('--gateway <url>', 'Address of the gateway, for a candidate that it has open.', 'http://127.0.0.1:8000')
    .addHelpText('after', help)
    .action(async (given: Given) => {
      const order = orderOf(given, env);
      for (const file of [given.markdown, given.junit, given.json]) if (file !== undefined) written(file, '', 2);
      const { replayed } = await import('./replay-run.js');
      const report = await untilStopped((signal) => replayed(order, signal));
      write(replayText(report));
      if (given.markdown !== undefined) written(given.markdown, replayMarkdown(report), 1);
      if (given.junit !== undefined) written(given.junit, replayJunit(report), 1);
      if (given.json !== undefined) written(given.json, jsonOf(report), 1);
      end(report);
    });
}

function orderOf(given: Given, env: NodeJS.ProcessEnv): ReplayOrder {
  const { candidate, model, baseline, last, limit, connections, failOn = [], url, gateway } = given;
  return {
    candidate,
    model,
    baseline,
    last,
    fromMs: Date.now() - agoMs(last),
    requestsMax: whole('limit', limit, 1_000_000),
    connections: whole('connections', connections, 256),
    conditions: conditionsOf(failOn),
    control: gatewayOf(url, env),
    http: gateway.replace(/\/+$/, ''),
  };
}

function whole(flag: string, text: string, most: number): number {
  const value = Number(text);
  if (/^[1-9]\d*$/.test(text) && value <= most) return value;
  throw new Exit(2, `--${flag}: expected a number from 1 to ${most}, got ${text}`);
}

/** A file that cannot be written is found out before the work, not after it. */
function written(file: string, text: string, exitCode: 1 | 2): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new Exit(exitCode, `${harmless(file)}: cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function jsonOf(report: ReplayReport): string {
  const plain = (_: string, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value);
  return `${JSON.stringify(report, plain, 2)}\n`;
}

/** @throws Exit 1 when the candidate does not pass */
function end({ judged, problem }: ReplayReport): void {
  const lines = judged.filter(({ isMet }) => isMet).map(({ condition, found }) => `--fail-on ${condition}: ${found}`);
  if (problem !== '') lines.unshift(problem);
  if (lines.length > 0) throw new Exit(1, lines.join('\n'));
}
