/**
 * The columns of the report, the same ones in the terminal and in HTML.
 *
 * Must not know where they are shown.
 */
import { bytesText, grouped, latencyText, rateText, unknownText } from './figures.js';
import type { Row } from './row.js';

export interface Column {
  readonly title: string;
  readonly isText?: true;
  readonly text: (row: Row) => string;
}

const columns: readonly Column[] = [
  { title: 'protocol', isText: true, text: ({ protocol }) => protocol },
  {
    title: 'mode',
    isText: true,
    text: ({ mode, arrivals }) => (arrivals === undefined ? mode : `${mode} ${arrivals}`),
  },
  { title: 'load', text: loadText },
  { title: 'rps', text: rpsText },
  { title: 'p50', text: ({ figures }) => latencyText(figures?.p50Us) },
  { title: 'p90', text: ({ figures }) => latencyText(figures?.p90Us) },
  { title: 'p99', text: ({ figures }) => latencyText(figures?.p99Us) },
  { title: 'p99.9', text: ({ figures }) => latencyText(figures?.p999Us) },
  { title: 'max', text: ({ figures }) => latencyText(figures?.maxUs) },
  { title: 'errors', text: errorsText },
  { title: 'queue', text: ({ server }) => latencyText(server.queueUs) },
  { title: 'compute', text: ({ server }) => latencyText(server.computeUs) },
  {
    title: 'batch',
    text: ({ server }) => (server.batchRows === undefined ? unknownText : server.batchRows.toFixed(1)),
  },
  { title: 'cpu/req', text: ({ server }) => latencyText(server.cpuUs) },
  { title: 'rss', text: ({ server }) => bytesText(server.rssBytes) },
];

const promise: Column = {
  title: 'slo',
  isText: true,
  text: ({ meetsSlo }) => (meetsSlo === undefined ? unknownText : meetsSlo ? 'kept' : 'broken'),
};

/** With a column for the promise when one was searched for. */
export function columnsOf(rows: readonly Row[]): readonly Column[] {
  return rows.some(({ meetsSlo }) => meetsSlo !== undefined) ? [...columns, promise] : columns;
}

/** `64 conn` or `2,000/s`. */
export function loadText({ mode, load }: Row): string {
  return mode === 'closed' ? `${load} conn` : `${rateText(load)}/s`;
}

/** A word in place of the number that there is not. */
function rpsText({ status, figures }: Row): string {
  if (figures === undefined) return status;
  return status === 'partial' ? `${rateText(figures.rps)} (partial)` : rateText(figures.rps);
}

function errorsText({ errors }: Row): string {
  const parts = Object.entries(errors).map(([code, count]) => `${grouped(count)} × ${code}`);
  return parts.length === 0 ? '0' : parts.join(', ');
}

/** What a reader has to know about a row beyond its numbers. */
export function notesOf(row: Row): string[] {
  const notes: string[] = [];
  const name = loadText(row);
  const isProbe = row.meetsSlo === false && row.status === 'unstable';
  if (row.status !== 'steady' && !isProbe) notes.push(`${name}: ${row.status}, ${row.reason}`);
  if (row.status === 'unstable' && !isProbe) {
    const windows = row.windows.map(({ rps, latencyUs }) => `${rateText(rps)}/s ${latencyText(latencyUs)}`);
    notes.push(`${name}: windows ${windows.join(' · ')}`);
  }
  if (row.refusalP99Us !== undefined) {
    notes.push(
      `${name}: answers that were errors took ${latencyText(row.refusalP99Us)} (p99); latencies above are of successes`,
    );
  }
  // Chosen: what a reader would take for the server's own.
  if (
    row.sendLagP99Us !== undefined &&
    row.figures !== undefined &&
    row.sendLagP99Us > Math.max(1000, row.figures.p99Us / 4)
  ) {
    notes.push(
      `${name}: requests left ${latencyText(row.sendLagP99Us)} late (p99): no free connection, or this machine was too busy to send`,
    );
  }
  return notes;
}
