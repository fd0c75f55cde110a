/**
 * Metric families as text: Prometheus 0.0.4, or OpenMetrics 1.0 for those who ask for it.
 *
 * A text of 200 models has 22,000 lines, so a line is an addition of ready pieces, and a series becomes bytes at once: added up
 * to the end, the pieces live through collections and are copied by them.
 *
 * Must not know where the numbers come from.
 */
import type { Exemplar, Family, Series } from '../core/series.js';

export type TextForm = 'prometheus' | 'openmetrics';

export const contentTypeOf: Readonly<Record<TextForm, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** The form that a caller with this Accept header gets: whichever it names first of those it wants most. */
export function formOf(accept: string | undefined): TextForm {
  let best: TextForm = 'prometheus';
  let bestQuality = 0;
  for (const range of (accept ?? '').slice(0, 1024).split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = Number(parameters.find((one) => one.startsWith('q='))?.slice(2) ?? 1);
    if (!(quality > bestQuality)) continue;
    if (type === 'application/openmetrics-text') best = 'openmetrics';
    else if (type === 'text/plain' || type === '*/*' || type === 'text/*') best = 'prometheus';
    else continue;
    bestQuality = quality;
  }
  return best;
}

/** A series with its labels as they stand between the braces. */
export interface TextSeries extends Series {
  readonly text: string;
}

export interface TextFamily extends Omit<Family, 'series'> {
  readonly series: readonly TextSeries[];
}

/** @param more families that are Prometheus text already */
export function textOf(families: readonly TextFamily[], form: TextForm, more = ''): string {
  const text = new TextBytes();
  for (const family of families) {
    text.add(headOf(family, form));
    if (family.type === 'histogram') addHistograms(text, family, form);
    else addValues(text, family);
  }
  text.add(form === 'openmetrics' ? `${openMetricsOf(more)}# EOF\n` : more);
  return text.toString();
}

const bytesUsual = 2 ** 21;

class TextBytes {
  #bytes = Buffer.allocUnsafe(bytesUsual);
  #length = 0;

  add(text: string): void {
    // Three bytes are the most that a character takes.
    const lengthMax = this.#length + 3 * text.length;
    if (lengthMax > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], 2 * lengthMax);
    this.#length += this.#bytes.write(text, this.#length);
  }

  toString(): string {
    return this.#bytes.toString('utf8', 0, this.#length);
  }
}

/** Prometheus text with the heads that OpenMetrics asks for, and without empty lines. */
function openMetricsOf(text: string): string {
  const counters = new Set(Array.from(text.matchAll(/^# TYPE (\S+)_total counter$/gm), ([, name]) => name));
  return text
    .replaceAll(/^# (HELP|TYPE) (\S+)_total /gm, (head, kind, name) =>
      counters.has(name) ? `# ${kind} ${name} ` : head,
    )
    .replaceAll(/\n{2,}/g, '\n');
}

/** OpenMetrics names the family of a counter without `_total`, and knows no counter that does not end so. */
function headOf({ name, help, type }: TextFamily, form: TextForm): string {
  const isCounted = type === 'counter' && form === 'openmetrics';
  const isTotal = name.endsWith('_total');
  const family = isCounted && isTotal ? name.slice(0, -'_total'.length) : name;
  return `# HELP ${family} ${help}\n# TYPE ${family} ${isCounted && !isTotal ? 'unknown' : type}\n`;
}

function addValues(to: TextBytes, { name, series }: TextFamily): void {
  for (const { text, value } of series)
    to.add(text === '' ? `${name} ${numberText(value)}\n` : `${name}{${text}} ${numberText(value)}\n`);
}

function addHistograms(to: TextBytes, { name, buckets = [], series }: TextFamily, form: TextForm): void {
  const ends = buckets.map((le) => `le="${form === 'openmetrics' ? floatText(le) : le}"} `);
  for (const { text, value, counts, sum, exemplars: all } of series) {
    const exemplars = form === 'openmetrics' ? all : undefined;
    const bucket = text === '' ? `${name}_bucket{` : `${name}_bucket{${text},`;
    const labels = text === '' ? ' ' : `{${text}} `;
    let lines = '';
    let below = 0;
    for (let at = 0; at < ends.length; at++) {
      below += counts?.[at] ?? 0;
      lines += `${bucket}${ends[at]!}${below}${exemplarText(exemplars?.[at])}\n`;
    }
    lines += `${bucket}le="+Inf"} ${value}${exemplarText(exemplars?.[ends.length])}\n${name}_sum${labels}${numberText(sum ?? 0)}\n${name}_count${labels}${value}\n`;
    to.add(lines);
  }
}

/** Only OpenMetrics knows them. */
function exemplarText(exemplar: Exemplar | undefined): string {
  if (exemplar === undefined) return '';
  const { traceId, value, epochMs } = exemplar;
  return ` # {trace_id="${traceId}"} ${value} ${epochMs / 1000}`;
}

/** OpenMetrics writes the bound 1 as 1.0. */
function floatText(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : `${value}`;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : `${value}`;
}
