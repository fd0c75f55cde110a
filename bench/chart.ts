/**
 * Charts as SVG, drawn once: lines over a linear or categorical x axis and a logarithmic y axis.
 *
 * Drawn here because a report has to open without a network and without scripts, in ten years too. Colours are classes, so
 * that the page decides them for light and dark. A chart is made for a width: the page holds a wide and a narrow one, since
 * a scaled one would have letters nobody can read.
 *
 * Must not know rows or pages.
 */

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Shown when the pointer rests on it. */
  readonly title: string;
  /** Written beside it. */
  readonly label?: string;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Chart {
  readonly title: string;
  readonly series: readonly Series[];
  readonly xTitle: string;
  readonly yTitle: string;
  readonly xText: (x: number) => string;
  readonly yText: (y: number) => string;
  /** Where the x axis is marked; undefined = at round numbers. */
  readonly xTicks?: readonly { readonly x: number; readonly text: string }[];
  /** A line across, for a limit. */
  readonly limit?: { readonly y: number; readonly text: string } | undefined;
  /** Lines from top to bottom, for loads without a number. */
  readonly marks?: readonly { readonly x: number; readonly text: string }[];
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

const edge = { left: 62, right: 30, top: 16, bottom: 46 };

export function drawChart(chart: Chart, { width, height }: Size): string {
  const all = chart.series.flatMap(({ points }) => points);
  const xs = [
    ...all.map(({ x }) => x),
    ...(chart.marks ?? []).map(({ x }) => x),
    ...(chart.xTicks ?? []).map(({ x }) => x),
  ];
  const ys = [...all.map(({ y }) => y), ...(chart.limit ? [chart.limit.y] : [])].filter((y) => y > 0);
  const xEnds = chart.xTicks === undefined ? [0, Math.max(...xs, 1) * 1.06] : [Math.min(...xs), Math.max(...xs)];
  const yEnds = [Math.min(...ys) / 1.25, Math.max(...ys) * 1.25];
  const [x0, x1] = xEnds as [number, number];
  const [y0, y1] = yEnds as [number, number];
  const right = width - edge.right;
  const bottom = height - edge.bottom;
  const xAt = (x: number) => round(edge.left + ((x - x0) / (x1 - x0 || 1)) * (right - edge.left));
  const yAt = (y: number) => round(bottom - (Math.log(y / y0) / Math.log(y1 / y0)) * (bottom - edge.top));
  const parts: string[] = [];

  for (const y of logTicks(y0, y1, height)) {
    parts.push(`<line class="grid" x1="${edge.left}" x2="${right}" y1="${yAt(y)}" y2="${yAt(y)}"/>`);
    parts.push(text(edge.left - 8, yAt(y) + 4, chart.yText(y), 'tick end'));
  }
  for (const { x, text: words } of chart.xTicks ?? linearTicks(x1, width, chart.xText)) {
    parts.push(`<line class="tickline" x1="${xAt(x)}" x2="${xAt(x)}" y1="${bottom}" y2="${bottom + 5}"/>`);
    parts.push(text(xAt(x), bottom + 18, words, 'tick middle'));
  }
  parts.push(`<line class="axis" x1="${edge.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`);
  parts.push(text((edge.left + right) / 2, height - 8, chart.xTitle, 'axis-title middle'));
  const marks = [...(chart.marks ?? [])].sort((a, b) => a.x - b.x);
  for (const [index, { x, text: words }] of marks.entries()) {
    parts.push(
      `<line class="mark" x1="${xAt(x)}" x2="${xAt(x)}" y1="${edge.top}" y2="${bottom}"><title>${escapeXml(words)}</title></line>`,
    );
    // Of neighbours only the first is named, for names would lie upon each other.
    if (index === 0) parts.push(text(xAt(x) - 4, bottom - 8, words, 'tick end'));
  }
  if (chart.limit !== undefined) {
    const { y, text: words } = chart.limit;
    parts.push(`<line class="limit" x1="${edge.left}" x2="${right}" y1="${yAt(y)}" y2="${yAt(y)}"/>`);
    parts.push(text(edge.left + 6, yAt(y) - 6, words, 'limit-text'));
  }
  for (const [index, { points }] of chart.series.entries()) {
    const colour = `s${index % 8}`;
    const path = points.map(({ x, y }, at) => `${at === 0 ? 'M' : 'L'}${xAt(x)} ${yAt(y)}`).join('');
    if (points.length > 1) parts.push(`<path class="line ${colour}" d="${path}"/>`);
    for (const { x, y, title } of points) {
      parts.push(
        `<circle class="dot ${colour}" cx="${xAt(x)}" cy="${yAt(y)}" r="4"><title>${escapeXml(title)}</title></circle>`,
      );
    }
    for (const { x, y, label } of points) {
      if (label !== undefined) parts.push(text(xAt(x), yAt(y) - 9, label, 'label middle'));
    }
  }
  const name = escapeXml(`${chart.title}. Vertical: ${chart.yTitle}, logarithmic. Horizontal: ${chart.xTitle}.`);
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${name}">${parts.join('')}</svg>`;
}

function text(x: number, y: number, words: string, classes: string): string {
  return `<text class="${classes}" x="${round(x)}" y="${round(y)}">${escapeXml(words)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export function escapeXml(words: string): string {
  return words.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** 1, 2 and 5 of every decade; fewer when they would be too close. */
export function logTicks(from: number, to: number, height: number): number[] {
  const decades = Math.log10(to / from);
  const room = height / 34;
  const steps = decades * 3 <= room ? [1, 2, 5] : decades * 2 <= room ? [1, 3] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++) {
    for (const step of steps) ticks.push(step * 10 ** power);
  }
  return ticks.filter((tick) => tick >= from && tick <= to);
}

function linearTicks(to: number, width: number, xText: (x: number) => string): { x: number; text: string }[] {
  const wanted = Math.max(2, Math.floor(width / 110));
  const rough = to / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const ticks: { x: number; text: string }[] = [];
  for (let x = 0; x <= to; x += step) ticks.push({ x, text: xText(x) });
  return ticks;
}
