/**
 * A run in the terminal: one line that lives while it goes on, a table and what has to be said at its end.
 *
 * Must not know how rows are measured.
 */
import { harmless } from '../src/cli/text.js';
import type { Run } from './bench.js';
import { columnsOf, loadText, notesOf } from './columns.js';
import { latencyText, rateText } from './figures.js';
import type { Progress } from './measure.js';
import type { Row, RowHead } from './row.js';

export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Chosen: fast enough to look alive. */
const redrawMs = 100;

/** On a terminal one line is drawn over and over; elsewhere each row is told once, when it is done. */
export class LiveLine {
  readonly #screen: Screen;
  readonly #now: () => number;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(screen: Screen, now: () => number) {
    this.#screen = screen;
    this.#now = now;
  }

  show(head: RowHead, { stage, rps, latencyUs }: Progress): void {
    if (!this.#screen.isTTY || this.#now() - this.#drawnAt < redrawMs) return;
    this.#drawnAt = this.#now();
    const load = head.mode === 'closed' ? `${head.load} connections` : `${rateText(head.load)}/s`;
    const line = `${head.protocol} ${load}  ${stage}  ${rateText(rps)} req/s  ${latencyText(latencyUs)}`;
    this.#screen.write(`\r\x1b[2K${line.slice(0, (this.#screen.columns ?? 80) - 1)}`);
  }

  rowDone(row: Row): void {
    this.clear();
    const { figures } = row;
    const words =
      figures === undefined ? row.status : `${rateText(figures.rps)} req/s, p99 ${latencyText(figures.p99Us)}`;
    this.#screen.write(`${row.protocol} ${loadText(row)}: ${words}\n`);
  }

  clear(): void {
    if (this.#screen.isTTY) this.#screen.write('\r\x1b[2K');
  }
}

export function showRun(run: Run): string {
  const { options, rows, server } = run;
  const head = `${options.model} at ${options.url} (${server})`;
  const notes = [...rows.flatMap(notesOf), ...conclusionOf(run)];
  const parts = rows.length === 0 ? [harmless(head)] : [harmless(head), '', rowsTable(rows)];
  if (notes.length > 0) parts.push('', ...notes.map(harmless));
  return `${parts.join('\n')}\n`;
}

/** What the run as a whole comes to. */
export function conclusionOf({ options, bestRate, cutShort }: Run): string[] {
  const lines: string[] = [];
  if (options.slo !== undefined) {
    const { percent, limitUs } = options.slo;
    const promise = `p${percent} ≤ ${latencyText(limitUs)}`;
    if (bestRate !== undefined) lines.push(`${promise} is kept up to ${rateText(bestRate)} requests per second`);
    else lines.push(`${promise} was kept at none of the rates measured`);
  }
  if (cutShort !== '') lines.push(`PARTIAL REPORT: ${cutShort}`);
  return lines;
}

function rowsTable(rows: readonly Row[]): string {
  const columns = columnsOf(rows);
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => harmless(text(row)))),
  ];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => line[at]!.length)));
  return cells
    .map((line) =>
      line
        .map((cell, at) => (columns[at]!.isText ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
