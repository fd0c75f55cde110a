/**
 * `sluice log query | tail | export`: what a running gateway has written down of its requests.
 *
 * Must not know how it is stored.
 */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { ask } from './ask.js';
import { Exit } from './exit.js';
import { cellText, type LoggedRow, millisOf, timeOf } from './logged-row.js';
import { harmless, table } from './text.js';

const examples = {
  log: `
Tables: predictions, labels. A row can be queried once its segment is closed (prediction_log.segment_age_ms); tail and
explain also read what is still being written. Nothing can be changed, and nothing outside the log can be read.

Examples:
  $ sluice log tail --last 5
  $ sluice log query "SELECT version, count(*) AS n, avg(latency_us) FROM predictions GROUP BY version"
  $ sluice log export "SELECT * FROM predictions WHERE status >= 400" --format csv --out errors.csv`,
};

const controlPort = 'http://127.0.0.1:8002';

interface Answer {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
  readonly isCut: boolean;
}

interface Where {
  readonly url: string;
}

export function addLogCommands(program: Command, env: NodeJS.ProcessEnv, write: (text: string) => void): void {
  const get = (url: string, path: string) =>
    ask({ url: `${url.replace(/\/+$/, '')}/admin/${path}`, token: env.SLUICE_ADMIN_TOKEN, of: 'the control port' });
  const query = async (url: string, sql: string) =>
    (await ask({
      url: `${url.replace(/\/+$/, '')}/admin/log/query`,
      method: 'POST',
      body: JSON.stringify({ sql }),
      token: env.SLUICE_ADMIN_TOKEN,
      of: 'the control port',
      timeoutMs: 600_000,
    })) as Answer;
  const withUrl = (command: Command) => command.option('--url <url>', 'Address of the control port.', controlPort);
  const log = program.command('log').description('Read the prediction log.').addHelpText('after', examples.log);

  withUrl(log.command('query').description('Ask in SQL.').argument('<sql>'))
    .option('--json', 'Print the answer as it is.')
    .action(async (sql: string, { url, json }: Where & { json?: true }) => {
      const answer = await query(url, sql);
      write(json === true ? `${JSON.stringify(answer)}\n` : answerText(answer));
    });
  withUrl(log.command('tail').description('The newest rows.'))
    .option('--last <n>', 'How many.', '20')
    .option('--model <model>', 'Only of this model.')
    .option('--json', 'One JSON object a line, with every column.')
    .action(async ({ url, last, model, json }: Where & { last: string; model?: string; json?: true }) => {
      const parameters = new URLSearchParams({ last, ...(model === undefined ? {} : { model }) });
      const { rows } = (await get(url, `log/tail?${parameters}`)) as { rows: readonly LoggedRow[] };
      write(json === true ? rows.map((row) => `${JSON.stringify(row)}\n`).join('') : tailText(rows));
    });
  withUrl(log.command('export').description('Write the answer of a query into a file.').argument('<sql>'))
    .option('--format <format>', 'csv or jsonl.', 'csv')
    .requiredOption('--out <file>', 'A file that does not exist yet.')
    .action(async (sql: string, { url, format, out }: Where & { format: string; out: string }) => {
      if (format !== 'csv' && format !== 'jsonl') throw new Exit(2, `--format: expected csv or jsonl, got '${format}'`);
      const answer = await query(url, sql);
      const text = format === 'csv' ? csvText(answer) : jsonLines(answer);
      try {
        writeFileSync(out, text, { flag: 'wx' });
      } catch (error) {
        throw new Exit(1, `--out ${out}: ${(error as Error).message}`);
      }
      const cut = answer.isCut ? '; there are more, see prediction_log.query_rows' : '';
      write(`${answer.rows.length} rows written to ${harmless(out)}${cut}\n`);
    });
}

function answerText({ columns, rows, isCut }: Answer): string {
  const text = table([columns.map(({ name }) => name), ...rows.map((row) => row.map(cellText))]);
  return isCut ? `${text}… there are more rows, see prediction_log.query_rows\n` : text;
}

function tailText(rows: readonly LoggedRow[]): string {
  if (rows.length === 0) return 'nothing is logged yet\n';
  const head = ['TIME', 'REQUEST', 'MODEL', 'VARIANT', 'STATUS', 'LATENCY_MS', 'BATCH', 'PREDICTION', 'SCORE'];
  const lines = rows.map((row) => [
    timeOf(row.ts),
    cellText(row.request_id),
    `${cellText(row.model)}@${cellText(row.version)}`,
    cellText(row.variant_served),
    cellText(row.status),
    millisOf(row.latency_us),
    cellText(row.batch_size),
    cellText(row.prediction),
    typeof row.score === 'number' ? row.score.toPrecision(4) : '',
  ]);
  return table([head, ...lines]);
}

function csvText({ columns, rows }: Answer): string {
  const quoted = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [columns.map(({ name }) => name), ...rows.map((row) => row.map(cellText))]
    .map((cells) => `${cells.map(quoted).join(',')}\r\n`)
    .join('');
}

function jsonLines({ columns, rows }: Answer): string {
  const objectOf = (row: readonly unknown[]) =>
    Object.fromEntries(columns.map(({ name }, at) => [name, row[at] ?? null]));
  return rows.map((row) => `${JSON.stringify(objectOf(row))}\n`).join('');
}
