/**
 * A run as one HTML file: latency over load, the spread of latency, where the time goes, and the table.
 *
 * Nothing is fetched and nothing runs: the file opens offline, from a mail or an archive. It follows the reader's light or
 * dark setting and fits a telephone.
 *
 * Must not know how rows are measured.
 */
import type { Run } from './bench.js';
import { type Chart, drawChart, escapeXml, type Series } from './chart.js';
import { columnsOf, loadText, notesOf } from './columns.js';
import { latencyText, rateText } from './figures.js';
import { styles } from './report-styles.js';
import type { Figures, Row } from './row.js';
import { conclusionOf } from './table.js';

export function reportHtml(run: Run): string {
  const { options, rows, server, startedAt } = run;
  const title = `${options.model}: ${options.protocol}, ${options.mode} loop`;
  const measured = rows.filter(({ figures }) => figures !== undefined);
  const notes = [...conclusionOf(run), ...rows.flatMap(notesOf)];
  const body = [
    `<h1>${escapeXml(title)}</h1>`,
    `<p class="quiet">${escapeXml(`${options.url} · ${server} · ${new Date(startedAt).toISOString().slice(0, 16).replace('T', ' ')} UTC`)}</p>`,
    run.cutShort === '' ? '' : `<p class="partial"><b>Partial report.</b> ${escapeXml(run.cutShort)}</p>`,
    measured.length === 0 ? '<p>There is nothing to draw: no row has figures.</p>' : charts(run, measured),
    `<h2>Table</h2>${table(rows)}`,
    notes.length === 0 ? '' : `<ul class="notes">${notes.map((note) => `<li>${escapeXml(note)}</li>`).join('')}</ul>`,
    `<p class="quiet">${escapeXml(howMeasured(run))}</p>`,
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeXml(title)}</title>
<style>${styles}</style>
</head>
<body><main>
${body.filter((part) => part !== '').join('\n')}
</main></body>
</html>
`;
}

function charts(run: Run, measured: readonly Row[]): string {
  const parts = [
    figure('Latency by load', latencyChart(run, measured)),
    figure('Spread of latency', spreadChart(measured)),
  ];
  const split = measured.filter(({ server }) => server.queueUs !== undefined && server.computeUs !== undefined);
  if (split.length > 0) parts.push(`<section><h2>Where the time goes</h2>${splitBars(split)}</section>`);
  return parts.join('\n');
}

/** Both sizes of a chart; the page shows the one that fits. */
function figure(heading: string, chart: Chart): string {
  const legend = chart.series
    .map(({ name }, at) => `<span><i class="s${at % 8}"></i>${escapeXml(name)}</span>`)
    .join('');
  return `<section><h2>${escapeXml(heading)}</h2>
<p class="legend">${legend}</p>
<div class="wide">${drawChart(chart, { width: 920, height: 380 })}</div>
<div class="narrow">${drawChart(chart, { width: 370, height: 320 })}</div>
</section>`;
}

const percentiles: readonly { readonly name: string; readonly of: (figures: Figures) => number }[] = [
  { name: 'p99.9', of: ({ p999Us }) => p999Us },
  { name: 'p99', of: ({ p99Us }) => p99Us },
  { name: 'p90', of: ({ p90Us }) => p90Us },
  { name: 'p50', of: ({ p50Us }) => p50Us },
];

function latencyChart({ options, rows }: Run, measured: readonly Row[]): Chart {
  const isOpen = options.mode === 'open';
  // Closed: in the order of connections, so that a server beyond its peak bends back. Open: by rate.
  const ordered = [...measured].sort((a, b) => a.load - b.load);
  const series: Series[] = percentiles.map(({ name, of }, index) => ({
    name,
    points: ordered.map((row) => ({
      x: isOpen ? row.load : row.figures!.rps,
      y: Math.max(1, of(row.figures!)),
      title: `${loadText(row)}: ${rateText(row.figures!.rps)} req/s, ${name} ${latencyText(of(row.figures!))}`,
      ...(index === 0 && !isOpen ? { label: loadText(row) } : {}),
    })),
  }));
  const { slo } = options;
  const without = isOpen ? rows.filter(({ figures }) => figures === undefined) : [];
  return {
    title: 'Latency by load',
    series,
    xTitle: isOpen ? 'requests per second asked for' : 'requests per second answered',
    yTitle: 'latency',
    xText: rateText,
    yText: tickText,
    limit: slo === undefined ? undefined : { y: slo.limitUs, text: `p${slo.percent} ≤ ${latencyText(slo.limitUs)}` },
    marks: without.map((row) => ({ x: row.load, text: row.status })),
  };
}

/** Ticks are round: `5 ms`, not `5.00 ms`. */
function tickText(us: number): string {
  return latencyText(us).replace(/\.0+ /, ' ');
}

/** More lines than this are a knot. */
const spreadRows = 8;

function spreadChart(measured: readonly Row[]): Chart {
  // Each nine is as wide as the one before it.
  const xOf = (percent: number) => -Math.log10(1 - percent / 100);
  const ordered = [...measured].sort((a, b) => a.load - b.load);
  const shown = ordered.length <= spreadRows ? ordered : ordered.slice(0, spreadRows);
  return {
    title: 'Spread of latency',
    series: shown.map((row) => ({
      name: loadText(row),
      points: row.figures!.distribution.map(([percent, us]) => ({
        x: xOf(percent),
        y: Math.max(1, us),
        title: `${loadText(row)}: ${percent} % of requests within ${latencyText(us)}`,
      })),
    })),
    xTitle: 'percentile',
    yTitle: 'latency',
    xText: String,
    yText: tickText,
    xTicks: [0, 50, 90, 99, 99.9, 99.99].map((percent) => ({
      x: xOf(percent),
      text: percent === 0 ? '0' : `p${percent}`,
    })),
  };
}

/** The mean latency of each row in three parts: queue, compute, and all that is neither. */
function splitBars(rows: readonly Row[]): string {
  const most = Math.max(...rows.map(({ figures }) => figures!.meanUs));
  const bars = rows.map((row) => {
    const { meanUs } = row.figures!;
    const queueUs = Math.min(row.server.queueUs!, meanUs);
    const computeUs = Math.min(row.server.computeUs!, meanUs - queueUs);
    const restUs = meanUs - queueUs - computeUs;
    const part = (kind: string, us: number) =>
      `<i class="${kind}" style="width:${((us / most) * 100).toFixed(2)}%" title="${escapeXml(`${kind} ${latencyText(us)}`)}"></i>`;
    const words = `${latencyText(queueUs)} + ${latencyText(computeUs)} + ${latencyText(restUs)}`;
    return `<div class="bar"><b>${escapeXml(loadText(row))}</b><span>${part('queue', queueUs)}${part('compute', computeUs)}${part('rest', restUs)}</span><em>${escapeXml(words)}</em></div>`;
  });
  return `<p class="legend"><span><i class="queue"></i>queue</span><span><i class="compute"></i>compute</span><span><i class="rest"></i>network, protocol, client</span></p>
<div class="bars">${bars.join('')}</div>
<p class="quiet">Parts of the mean latency. Queue and compute are the server’s own figures; a request counts the whole time of its batch.</p>`;
}

function table(rows: readonly Row[]): string {
  const columns = columnsOf(rows);
  const kind = (isText: true | undefined) => (isText ? ' class="text"' : '');
  const head = columns.map(({ title, isText }) => `<th${kind(isText)}>${escapeXml(title)}</th>`).join('');
  const lines = rows.map((row) => {
    const cells = columns.map(({ text, isText }) => `<td${kind(isText)}>${escapeXml(text(row))}</td>`).join('');
    return `<tr class="${row.status}${row.meetsSlo === false ? ' broken' : ''}">${cells}</tr>`;
  });
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${lines.join('')}</tbody></table></div>`;
}

function howMeasured({ options }: Run): string {
  const { mode, durationMs, warmupMs, rows } = options;
  const counted =
    mode === 'open'
      ? 'Latency counts from the time a request was due, also when it could only be sent later.'
      : 'Each connection sends its next request when the last one has been answered.';
  const agreement =
    options.slo === undefined
      ? 'agree within 10 % in throughput and latency'
      : 'all keep the promise at the same throughput';
  return `${counted} Latencies are of successes. A row is three windows of ${Math.round(durationMs / 3) / 1000} s that ${agreement}, after ${warmupMs / 1000} s of warm-up; ${rows ?? 1} ${(rows ?? 1) === 1 ? 'row' : 'rows'} in a request${options.input === undefined ? '' : ', or as the file has them'}.`;
}
