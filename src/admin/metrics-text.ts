/**
 * Metric families as text: Prometheus 0.0.4, or OpenMetrics 1.0 for those who ask for it.
 *
 * A text of 200 models has 25,000 lines, so a label set becomes text once, and a line is an addition of ready pieces.
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

/** `model="m",version="1"`: the labels in the order of `names`. */
export function labelText(labels: Readonly<Record<string, string>>, names: readonly string[]): string {
  let text = '';
  for (const name of names) text += `${text === '' ? '' : ','}${name}="${escaped(labels[name] ?? '')}"`;
  return text;
}

/** A tensor has a name as long as whoever made the model likes. */
const valueCharactersMax = 256;
/** Halves of characters, too, which would be no UTF-8. */
const special = /[\\"\n\ud800-\udfff]/;

function escaped(value: string): string {
  const short = value.length > valueCharactersMax ? `${value.slice(0, valueCharactersMax - 1)}…` : value;
  if (!special.test(short)) return short;
  return short.toWellFormed().replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** @param more families that are Prometheus text already */
export function textOf(families: readonly TextFamily[], form: TextForm, more = ''): string {
  let text = '';
  for (const family of families) text += headOf(family, form) + linesOf(family, form);
  return form === 'openmetrics' ? `${text}${openMetricsOf(more)}# EOF\n` : text + more;
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

function linesOf(family: TextFamily, form: TextForm): string {
  if (family.type === 'histogram') return histogramLines(family, form);
  let lines = '';
  for (const { text, value } of family.series)
    lines += text === '' ? `${family.name} ${numberText(value)}\n` : `${family.name}{${text}} ${numberText(value)}\n`;
  return lines;
}

function histogramLines({ name, buckets = [], series }: TextFamily, form: TextForm): string {
  const ends = buckets.map((le) => `le="${form === 'openmetrics' ? floatText(le) : le}"} `);
  let lines = '';
  for (const { text, value, counts, sum, exemplars: all } of series) {
    const exemplars = form === 'openmetrics' ? all : undefined;
    const bucket = text === '' ? `${name}_bucket{` : `${name}_bucket{${text},`;
    const labels = text === '' ? ' ' : `{${text}} `;
    let below = 0;
    for (let at = 0; at < ends.length; at++) {
      below += counts?.[at] ?? 0;
      lines += `${bucket}${ends[at]!}${below}${exemplarText(exemplars?.[at])}\n`;
    }
    lines += `${bucket}le="+Inf"} ${value}${exemplarText(exemplars?.[ends.length])}\n${name}_sum${labels}${numberText(sum ?? 0)}\n${name}_count${labels}${value}\n`;
  }
  return lines;
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
