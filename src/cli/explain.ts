/**
 * `sluice explain`: all that is known of one request: who answered it and why, with whom it ran, how long it took, from what
 * to what. A shadow's copy of it is shown beside it.
 *
 * Must not know how rows are stored.
 */
import type { Command } from 'commander';
import { controlPort, gatewayOf, questionTo } from './control-port.js';
import { cellText, type LoggedRow, millisOf, timeOf } from './logged-row.js';
import { table } from './text.js';

const examples = `
Examples:
  $ sluice explain 0196f3c2-5d1e-7a41-9d5b-0b7e5a1c2d3f`;

interface Answer {
  readonly rows: readonly LoggedRow[];
  /** Who else was in the run of a row, by its number. */
  readonly batches?: readonly { readonly seq: number; readonly mates: readonly string[] | null }[];
}

export function addExplainCommand(program: Command, env: NodeJS.ProcessEnv, write: (text: string) => void): void {
  program
    .command('explain')
    .description('Show what is logged of one request: version, variant, why, with whom, timings, inputs and outputs.')
    .argument('<request-id>')
    .option('--json', 'Print the rows as they are.')
    .option('--url <url>', 'Address of the control port.', controlPort)
    .addHelpText('after', examples)
    .action(async (id: string, { url, json }: { url: string; json?: true }) => {
      const answer = (await questionTo(gatewayOf(url, env), `requests/${encodeURIComponent(id)}`)) as Answer;
      if (json === true) write(`${JSON.stringify(answer.rows, null, 2)}\n`);
      else write(answer.rows.map((row) => explainText(row, answer)).join('\n'));
    });
}

/** In the order in which people ask: who answered, why, how long, from what to what. */
function explainText(row: LoggedRow, { rows, batches = [] }: Answer): string {
  const lines: [string, string][] = [
    [
      'request',
      `${cellText(row.request_id)} item ${cellText(row.item_index)}, ${timeOf(row.ts)}, ${cellText(row.role)}`,
    ],
    [
      'answered by',
      `${cellText(row.model)} version ${cellText(row.version)}, digest ${cellText(row.artifact_sha256).slice(0, 12)}`,
    ],
    ['route', routeText(row)],
    ['result', `status ${cellText(row.status)} ${row.cache_hit === true ? 'from memory' : cellText(row.error_code)}`],
    ['predicted', `${cellText(row.prediction)} ${isNothing(row.score) ? '' : `(score ${cellText(row.score)})`}`],
    ['time', timeText(row)],
    ['batch', batchText(row, rows, batches.find(({ seq }) => seq === Number(row.seq))?.mates)],
    ['logged', `every ${cellText(inverse(row.sample_rate))} of such requests, by ${cellText(row.gateway_id)}`],
  ];
  if (!isNothing(row.trace_id)) lines.push(['trace', cellText(row.trace_id)]);
  const marks = ['truncated', 'redacted'].filter((name) => row[name] === true);
  if (marks.length > 0) lines.push(['not whole', marks.join(', ')]);
  const features = Object.entries(row).filter(([name, value]) => name.startsWith('f_') && !isNothing(value));
  for (const [name, value] of features) lines.push([name.slice(2), cellText(value)]);
  if (!isNothing(row.input_json)) lines.push(['inputs', cellText(row.input_json)]);
  if (!isNothing(row.outputs_json)) lines.push(['outputs', cellText(row.outputs_json)]);
  return table(lines.map(([name, value]) => [name, value.trim()]));
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

function routeText(row: LoggedRow): string {
  const served = cellText(row.variant_served);
  if (row.route_reason === 'shadow')
    return `shadow ${served}${isNothing(row.experiment) ? '' : ` beside ${cellText(row.experiment)} phase ${cellText(row.phase)}`}`;
  if (isNothing(row.experiment)) return 'none';
  const assigned = cellText(row.variant_assigned);
  const moved = served === assigned ? '' : `, assigned ${assigned}`;
  const key = row.sticky === true ? ', the same for its key' : '';
  return `${cellText(row.experiment)} phase ${cellText(row.phase)}: variant ${served || 'none'}${moved}, because of ${cellText(row.route_reason)}${key}`;
}

function timeText({ latency_us, queue_us, upstream_us }: LoggedRow): string {
  return `${millisOf(latency_us)} ms, of that ${millisOf(queue_us)} in the queue, ${millisOf(upstream_us)} in the model`;
}

const matesShown = 12;

/** @param mates null = they cannot be told */
function batchText(row: LoggedRow, rows: readonly LoggedRow[], mates: readonly string[] | null | undefined): string {
  const size = Number(row.batch_size ?? 0);
  if (size === 0) return 'none';
  const text = `${size} rows in its run`;
  const own = rows.filter(({ seq, gateway_id }) => seq === row.seq && gateway_id === row.gateway_id).length;
  if (size <= own) return `${text}, all its own`;
  if (mates === undefined || mates === null || mates.length === 0)
    return `${text}; the others are not all logged, or not yet`;
  const more = mates.length > matesShown ? ` and ${mates.length - matesShown} more` : '';
  return `${text}, with ${mates.slice(0, matesShown).join(', ')}${more}`;
}

function inverse(rate: unknown): string {
  return typeof rate === 'number' && rate > 0 ? String(Math.round(1 / rate)) : '?';
}
