/**
 * Where finished rows lie:
 *
 *   <root>/log/model=<m>/_manifest.jsonl                          one line per file; the last one of a file counts
 *   <root>/log/model=<m>/date=<YYYY-MM-DD>/hour=<HH>/part-….parquet
 *   <root>/labels/model=<m>/date=<YYYY-MM-DD>/….parquet
 *   <root>/_segments.jsonl                                        one line per converted segment: its numbers and gaps
 *
 * Must not know what is in a file.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface Part {
  readonly path: string;
  readonly model: string;
  /** `YYYY-MM-DD`. */
  readonly date: string;
  /** `HH`; empty for labels. */
  readonly hour: string;
  readonly bytes: number;
}

export type DataSet = 'log' | 'labels';

export interface Span {
  readonly model?: string | undefined;
  /** Microseconds since the epoch; whole hours are looked at. */
  readonly fromUs?: number | undefined;
  readonly toUs?: number | undefined;
}

export function hourOf(tsUs: number): { readonly date: string; readonly hour: string } {
  const text = new Date(tsUs / 1000).toISOString();
  return { date: text.slice(0, 10), hour: text.slice(11, 13) };
}

function foldersOf(path: string, key: string): { readonly path: string; readonly value: string }[] {
  return entriesOf(path)
    .filter((name) => name.startsWith(`${key}=`))
    .map((name) => ({ path: join(path, name), value: name.slice(key.length + 1) }));
}

function entriesOf(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

/** Finished files of a span, oldest first. Folders that are no partition are not looked into. */
export function partsOf(root: string, set: DataSet, span: Span = {}): Part[] {
  const from = span.fromUs === undefined ? '' : stampOf(span.fromUs);
  const to = span.toUs === undefined ? '~' : stampOf(span.toUs);
  const parts: Part[] = [];
  for (const model of foldersOf(join(root, set), 'model')) {
    if (span.model !== undefined && span.model !== model.value) continue;
    for (const date of foldersOf(model.path, 'date')) {
      if (date.value < from.slice(0, 10) || date.value > to.slice(0, 10)) continue;
      const hours = set === 'labels' ? [{ path: date.path, value: '' }] : foldersOf(date.path, 'hour');
      for (const hour of hours) {
        const stamp = `${date.value}T${hour.value}`;
        if (set === 'log' && (stamp < from || stamp > to)) continue;
        for (const name of entriesOf(hour.path)) {
          if (!name.endsWith('.parquet')) continue;
          const path = join(hour.path, name);
          const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
          parts.push({ path, model: model.value, date: date.value, hour: hour.value, bytes });
        }
      }
    }
  }
  return parts.sort((a, b) => stampOfPart(a).localeCompare(stampOfPart(b)));
}

function stampOf(tsUs: number): string {
  const { date, hour } = hourOf(tsUs);
  return `${date}T${hour}`;
}

function stampOfPart({ date, hour, path }: Part): string {
  return `${date}T${hour} ${path}`;
}

/** Folders of one day of one model, oldest first. */
export function daysOf(
  root: string,
  set: DataSet,
): { readonly path: string; readonly model: string; readonly date: string }[] {
  const days = foldersOf(join(root, set), 'model').flatMap((model) =>
    foldersOf(model.path, 'date').map((date) => ({ path: date.path, model: model.value, date: date.value })),
  );
  return days.sort((a, b) => (a.date < b.date ? -1 : a.date > b.date ? 1 : a.model < b.model ? -1 : 1));
}
