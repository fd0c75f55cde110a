/**
 * Results as tables: aligned text that is also Markdown.
 *
 * Must not know how anything was measured.
 */
import { compare } from './gate.js';
import type { Judged } from './promises.js';
import type { CellResult, Metric, Results, Row } from './results.js';
import type { Spread } from './statistics.js';

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(3, title.length, ...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((text, column) => (column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/** Three digits that count, without an exponent. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(3, digits));
}

function spreadText({ median, min, max }: Spread, scale = 1): string {
  if (!Number.isFinite(median)) return '–';
  return `${short(median * scale)} (${short(min * scale)}–${short(max * scale)})`;
}

function ratioText(spread: Spread | undefined): string {
  return spread === undefined ? '–' : spreadText(spread);
}

function baseOf(rows: readonly Row[], fallback: string): string {
  return rows[0]?.ratios.plain === undefined ? fallback : 'plain';
}

export function rowsTable(rows: readonly Row[], fallback: string): string {
  const base = baseOf(rows, fallback);
  const head = ['server', 'req/s', `× ${base}`, 'p50 ms', 'p99 ms', `p99 × ${base}`, 'CPU µs/req', 'RSS MB', 'errors'];
  const lines = rows.map((row) => [
    row.server,
    spreadText(row.rps),
    ratioText(row.ratios[base]?.rps),
    spreadText(row.p50Us, 1e-3),
    spreadText(row.p99Us, 1e-3),
    ratioText(row.ratios[base]?.p99Us),
    spreadText(row.cpuUs),
    short(row.rssBytes.median / 1e6),
    String(row.errors),
  ]);
  return table(head, lines);
}

export function cellText(cell: CellResult): string {
  const batch = Number.isNaN(cell.batchRows) ? '' : ` Mean batch of the gateway: ${short(cell.batchRows)} rows.`;
  const lag = Number.isNaN(cell.lagP99Ms) ? '' : ` Its event loop lag at p99: at most ${short(cell.lagP99Ms)} ms.`;
  return `### ${cell.name}\n\n${cell.what}.${batch}${lag}\n\n${rowsTable(cell.rows, 'floor-ort')}`;
}

const metricTexts: Readonly<Record<Metric, string>> = {
  rps: 'throughput',
  p50Us: 'p50',
  p99Us: 'p99',
  cpuUs: 'CPU per request',
};

export function promisesText(judged: readonly Judged[]): string {
  const head = ['cell', 'measure', 'must', 'aim', 'found', 'verdict'];
  const lines = judged.map(({ promise: { cell, metric, of, bound, must, aim }, found, verdict }) => {
    const sign = bound === 'at least' ? '≥' : '≤';
    const limit = (value: number | undefined) => (value === undefined || value === 0 ? '–' : `${sign} ${value}`);
    return [cell, `${metricTexts[metric]} ÷ ${of}`, limit(must), limit(aim), spreadText(found), verdict];
  });
  return table(head, lines);
}

export function floorsText(floors: Results['floors']): string {
  const lines = floors.map(({ model, rows, rowsPerSecond }) => [model, String(rows), spreadText(rowsPerSecond)]);
  return table(['model', 'rows in a batch', 'rows/s'], lines);
}

export function scenariosText(scenarios: Results['scenarios']): string {
  const lines = scenarios.map(({ name, promise, isMet, found }) => [name, promise, isMet ? 'pass' : 'FAIL', found]);
  return table(['scenario', 'promise', 'verdict', 'found'], lines);
}

/** Scenarios with a table, each in a section of its own. */
export function scenarioSections(scenarios: Results['scenarios']): string[] {
  return scenarios.flatMap(({ name, promise, table: own }) =>
    own === undefined ? [] : [`### ${name}`, `Must hold: ${promise}.`, table(own.head, own.lines)],
  );
}

/** @returns the text and whether the gate is passed */
export function gateText(
  stored: Results,
  cells: readonly CellResult[],
): { readonly text: string; readonly isPassed: boolean } {
  const { compared, regressions } = compare(stored, cells);
  if (compared === 0) return { text: 'gate: nothing to compare; store results first with --write', isPassed: false };
  const lines = regressions.map(
    ({ cell, metric, stored: then, found }) =>
      `gate: ${cell} ${metricTexts[metric]} is worse: ${spreadText(found)}, stored ${spreadText(then)}`,
  );
  return {
    text: [...lines, `gate: ${compared} ratios compared, ${regressions.length} worse`].join('\n'),
    isPassed: regressions.length === 0,
  };
}
