/**
 * How far back, as people say it: `30s`, `15m`, `12h`, `7d`.
 *
 * Must not know what is looked for.
 */
import { Exit } from './exit.js';

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @param text of the flag `--last` @throws Exit 2 */
export function agoMs(text: string): number {
  const [, count, unit] = /^([1-9][0-9]{0,4})([smhd])$/.exec(text) ?? [];
  if (count === undefined) throw new Exit(2, `--last: expected a time such as 12h or 7d, got '${text}'`);
  return Number(count) * unitMs[unit!]!;
}
