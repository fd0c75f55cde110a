/**
 * Folders by day, `2026-11-21`, in UTC.
 *
 * Must not know what lies in them.
 */
import { readdirSync } from 'node:fs';

const dayMs = 86_400_000;
const pattern = /^\d{4}-\d{2}-\d{2}$/;

/** The day that was asked for last: rows come in the order of time, and the text of a date costs as much as writing one. */
let known = { number: NaN, text: '' };

export function dayOf(epochMs: number): string {
  // A clock that is nowhere must not end the process.
  const ms = Number.isFinite(epochMs) ? Math.min(Math.max(epochMs, 0), 8e15) : 0;
  const number = Math.floor(ms / dayMs);
  if (number !== known.number) known = { number, text: new Date(ms).toISOString().slice(0, 10) };
  return known.text;
}

/** Those that are there, the newest first. */
export function daysIn(root: string): string[] {
  return namesIn(root)
    .filter((name) => pattern.test(name))
    .sort()
    .reverse();
}

/** The last day that is kept. */
export function horizonOf(epochMs: number, days: number): string {
  return dayOf(epochMs - days * dayMs);
}

/** Empty when there is no such folder. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
