import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Run } from '../bench/bench.js';
import { logTicks } from '../bench/chart.js';
import { latencyText, rateText } from '../bench/figures.js';
import { Meter } from '../bench/meter.js';
import { parseOptions, type TypedOptions } from '../bench/options.js';
import { reportHtml } from '../bench/report-html.js';
import { reportJson } from '../bench/report-json.js';
import { type Measured, type Row, rowOf } from '../bench/row.js';
import { LiveLine, showRun } from '../bench/table.js';

const server = { queueUs: 20, computeUs: 40, batchRows: 4.25, cpuUs: 55, rssBytes: 300 * 2 ** 20 };

function measured(verdict: Measured['verdict'], answers: number, refusals = 0): Measured {
  const meter = new Meter(0);
  const windows = [1, 2, 3].map((second) => {
    for (let at = 0; at < answers; at++) meter.answer(1000 + at, 0);
    for (let at = 0; at < refusals; at++) meter.refuse('429', 150, 0);
    return meter.turn(second * 1000);
  });
  return { windows, verdict, reason: verdict === 'partial' ? 'interrupted' : '', percent: 50, server };
}

function closedRow(load: number, what: Measured): Row {
  return rowOf({ protocol: 'http-json', mode: 'closed', arrivals: undefined, load }, what);
}

function runOf(rows: readonly Row[], typed: TypedOptions = {}, rest: Partial<Run> = {}): Run {
  const options = parseOptions('http://h:1', { model: 'm', ...typed });
  return { options, server: 'sluice 1', startedAt: 0, rows, cutShort: '', bestRate: undefined, ...rest };
}

test('a steady row is the last three windows as one', () => {
  const { figures, errors, errorCount, status, refusalP99Us } = closedRow(8, measured('steady', 500, 2));
  assert.equal(status, 'steady');
  assert.equal(figures!.rps, 500);
  assert.equal(figures!.requests, 1500);
  assert.ok(Math.abs(figures!.p50Us - 1250) <= 2);
  assert.ok(figures!.maxUs === 1499);
  assert.deepEqual([errors, errorCount, refusalP99Us], [{ 429: 6 }, 6, 150]);
});

test('an unstable row and one without a success have a word in place of numbers', () => {
  const unstable = closedRow(8, measured('unstable', 500));
  const failed = closedRow(64, measured('steady', 0, 7));
  assert.deepEqual([unstable.figures, failed.figures], [undefined, undefined]);
  const text = showRun(runOf([unstable, failed]));
  assert.match(text, /8 conn {2}unstable +– +– +–/);
  assert.match(text, /64 conn +failed +– .*21 × 429/);
  assert.match(text, /8 conn: unstable, 3 windows of which no three in a row agree/);
  assert.match(text, /64 conn: failed, not one request succeeded/);
  assert.doesNotMatch(text, /NaN|Infinity|undefined/);
});

test('a partial report says so, in the terminal, in HTML and in JSON', () => {
  const run = runOf([closedRow(8, measured('partial', 100))], {}, { cutShort: 'the server stopped answering' });
  assert.match(showRun(run), /100 \(partial\)/);
  assert.match(showRun(run), /PARTIAL REPORT: the server stopped answering/);
  assert.match(reportHtml(run), /<b>Partial report\.<\/b> the server stopped answering/);
  const json = JSON.parse(reportJson(run));
  assert.deepEqual([json.isPartial, json.cutShort], [true, 'the server stopped answering']);
});

test('a run without a row has no table', () => {
  assert.doesNotMatch(showRun(runOf([], {}, { cutShort: 'interrupted' })), /rps/);
});

test('the HTML report has a point for each row and percentile, wide and narrow, and needs nothing else', () => {
  const rows = [1, 8, 64].map((load) => closedRow(load, measured('steady', 100 * load)));
  const html = reportHtml(runOf(rows));
  for (const { load, figures } of rows) {
    for (const name of ['p50', 'p90', 'p99', 'p99.9']) {
      const title = `<title>${load} conn: ${rateText(figures!.rps)} req/s, ${name} `;
      assert.equal(html.split(title).length - 1, 2, title);
    }
    assert.ok(html.includes(`<td>${load} conn</td>`));
  }
  assert.doesNotMatch(html, /<script|<link|@import|src=|url\(|https?:\/\/(?!h:1)/);
  assert.doesNotMatch(html, /NaN|Infinity|undefined/);
  assert.match(html, /prefers-color-scheme:dark/);
});

test('an open run is drawn over the rate, with its promise and the rates that have no number', () => {
  const head = { protocol: 'http-json', mode: 'open', arrivals: 'poisson' } as const;
  const rows = [
    rowOf({ ...head, load: 500 }, measured('steady', 500)),
    { ...rowOf({ ...head, load: 900 }, measured('unstable', 700)), meetsSlo: false },
  ];
  const run = runOf(rows, { slo: 'p99=5ms' }, { bestRate: 500 });
  const html = reportHtml(run);
  assert.match(html, /class="limit"/);
  assert.match(html, /class="mark"[^>]*><title>unstable/);
  assert.match(showRun(run), /p99 ≤ 5\.00 ms is kept up to 500 requests per second/);
  assert.match(showRun({ ...run, bestRate: undefined }), /kept at none of the rates measured/);
});

test('names from outside do nothing in a page or a terminal', () => {
  const run = runOf([closedRow(1, measured('steady', 100))], { model: '<u>\u001b[2J' }, { server: '<script>x' });
  assert.doesNotMatch(reportHtml(run), /<script|<u>/);
  assert.equal(showRun(run).includes('\u001b'), false);
});

test('headers, which may be secrets, are not in the report', () => {
  const run = runOf([closedRow(1, measured('steady', 100))], { header: ['Authorization: Bearer hush'] });
  assert.equal(run.options.headers.authorization, 'Bearer hush');
  for (const text of [reportJson(run), reportHtml(run), showRun(run)]) assert.doesNotMatch(text, /hush/);
});

test('JSON has every row with its numbers', () => {
  const { rows } = JSON.parse(reportJson(runOf([closedRow(8, measured('steady', 500, 2))])));
  assert.equal(rows[0].figures.rps, 500);
  assert.equal(rows[0].server.queueUs, 20);
  assert.equal(rows[0].windows.length, 3);
  assert.deepEqual(rows[0].errors, { 429: 6 });
});

test('the live line is drawn on a terminal and not in a file', () => {
  for (const isTTY of [true, false]) {
    let text = '';
    const line = new LiveLine({ isTTY, columns: 40, write: (part) => (text += part) }, () => 1000);
    line.show(
      { protocol: 'grpc', mode: 'closed', arrivals: undefined, load: 8 },
      { stage: 'window 1', rps: 5, latencyUs: 9 },
    );
    assert.equal(text.includes('window 1'), isTTY);
    line.rowDone(closedRow(8, measured('steady', 500)));
    assert.match(text, /http-json 8 conn: 500 req\/s, p99 1\.\d\d ms\n$/);
  }
});

test('numbers are short, and what is not known is a dash', () => {
  assert.deepEqual([999, 1000, 12_345, 1_204_000, undefined].map(latencyText), [
    '999 µs',
    '1.00 ms',
    '12.3 ms',
    '1.20 s',
    '–',
  ]);
  assert.deepEqual([3.14, 99.5, 12_345.6, 1_000_000].map(rateText), ['3.1', '99.5', '12,346', '1,000,000']);
});

test('a logarithmic axis has round marks within its ends', () => {
  assert.deepEqual(logTicks(150, 6000, 400), [200, 500, 1000, 2000, 5000]);
  assert.deepEqual(logTicks(1, 1e7, 200), [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000]);
});
