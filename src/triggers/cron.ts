/**
 * Five-field cron in UTC: minute, hour, day of the month, month, day of the week, and when its next time is.
 *
 * As cron has always had it: `*`, numbers, names of months and days, ranges, lists, steps; 7 is Sunday too; and when both days
 * are given, a day that fits either counts. There is no daylight saving in UTC, so no time is skipped or comes twice.
 *
 * Must not know what happens at that time.
 */
import { invalid } from '../core/errors.js';

export interface Cron {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly weekdays: ReadonlySet<number>;
  /** Both kinds of day are given: one of them is enough. */
  readonly isEitherDay: boolean;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly words: readonly string[];
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const fields: readonly Field[] = [
  { name: 'minute', min: 0, max: 59, words: [] },
  { name: 'hour', min: 0, max: 23, words: [] },
  { name: 'day of the month', min: 1, max: 31, words: [] },
  { name: 'month', min: 1, max: 12, words: months },
  { name: 'day of the week', min: 0, max: 7, words: weekdays },
];

const charactersMax = 256;
/** The longest way to the next 29 February, across a century without one. */
const daysMax = 8 * 366;
const dayMs = 86_400_000;
const hourMs = 3_600_000;
const minuteMs = 60_000;

/** @throws INVALID_ARGUMENT naming the field, what was expected and what came */
export function parseCron(text: string): Cron {
  const parts = text.trim().split(/\s+/);
  if (text.length > charactersMax || parts.length !== fields.length)
    throw invalid(`cron: expected five fields such as '0 3 * * 1', got '${text.slice(0, 64)}'`);
  const [minutes, hours, days, monthsIn, weekdaysIn] = parts.map((part, index) => valuesOf(part, fields[index]!));
  if (weekdaysIn!.delete(7)) weekdaysIn!.add(0);
  return {
    minutes: minutes!,
    hours: hours!,
    days: days!,
    months: monthsIn!,
    weekdays: weekdaysIn!,
    isEitherDay: !parts[2]!.startsWith('*') && !parts[4]!.startsWith('*'),
  };
}

function valuesOf(text: string, field: Field): Set<number> {
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const [, range = '', step = '1'] = /^([^/]+)(?:\/([0-9]{1,2}))?$/.exec(part) ?? [];
    const [low, high] = rangeOf(range, part.includes('/'), field);
    if (low > high || Number(step) === 0) throw wrong(part, field);
    for (let value = low; value <= high; value += Number(step)) values.add(value);
  }
  return values;
}

function rangeOf(range: string, hasStep: boolean, field: Field): [number, number] {
  if (range === '*') return [field.min, field.max];
  const [first = '', last, ...more] = range.split('-');
  const low = numberOf(first, field);
  if (more.length > 0) throw wrong(range, field);
  // `5/15` means from 5 on.
  if (last === undefined) return [low, hasStep ? field.max : low];
  return [low, numberOf(last, field)];
}

function numberOf(text: string, field: Field): number {
  const word = field.words.indexOf(text.toLowerCase());
  if (word !== -1) return field.min + word;
  const value = /^[0-9]{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= field.min && value <= field.max)) throw wrong(text, field);
  return value;
}

function wrong(text: string, { name, min, max }: Field): Error {
  return invalid(`cron: ${name}: expected numbers from ${min} to ${max}, got '${text.slice(0, 64)}'`);
}

/**
 * @param afterMs milliseconds since the epoch
 * @returns the first minute after it that fits; undefined when none ever does, as on 30 February
 */
export function nextCronMs(cron: Cron, afterMs: number): number | undefined {
  const fromMs = (Math.floor(afterMs / minuteMs) + 1) * minuteMs;
  const firstDayMs = Math.floor(fromMs / dayMs) * dayMs;
  for (let day = 0; day <= daysMax; day++) {
    const startMs = firstDayMs + day * dayMs;
    if (!isDay(cron, new Date(startMs))) continue;
    const found = timeOf(cron, startMs, fromMs);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isDay(cron: Cron, date: Date): boolean {
  if (!cron.months.has(date.getUTCMonth() + 1)) return false;
  const [isDate, isWeekday] = [cron.days.has(date.getUTCDate()), cron.weekdays.has(date.getUTCDay())];
  return cron.isEitherDay ? isDate || isWeekday : isDate && isWeekday;
}

/** The first time of a day that is not before `fromMs`. */
function timeOf({ hours, minutes }: Cron, startMs: number, fromMs: number): number | undefined {
  for (let hour = 0; hour < 24; hour++) {
    if (!hours.has(hour) || startMs + (hour + 1) * hourMs <= fromMs) continue;
    for (let minute = 0; minute < 60; minute++) {
      const atMs = startMs + hour * hourMs + minute * minuteMs;
      if (minutes.has(minute) && atMs >= fromMs) return atMs;
    }
  }
  return undefined;
}
