/**
 * The regression gate: is a ratio worse than the stored one by more than both measurements vary by themselves?
 *
 *   stored   |----o----|
 *   new   |--o---|            worse only when each median lies outside the other's range
 *
 * Ratios to `plain` are compared, never absolute numbers, so the machine may be another one of its kind.
 *
 * Must not know how anything is measured.
 */
import type { CellResult, Metric, Results } from './results.js';
import type { Spread } from './statistics.js';

const better: Readonly<Record<Metric, 'higher' | 'lower'>> = {
  rps: 'higher',
  p50Us: 'lower',
  p99Us: 'lower',
  cpuUs: 'lower',
};
const metrics = Object.keys(better) as readonly Metric[];
const base = 'plain';

export interface Regression {
  readonly cell: string;
  readonly metric: Metric;
  readonly stored: Spread;
  readonly found: Spread;
}

export interface GateVerdict {
  readonly compared: number;
  readonly regressions: readonly Regression[];
}

export function compare(stored: Results, cells: readonly CellResult[]): GateVerdict {
  let compared = 0;
  const regressions: Regression[] = [];
  for (const { name, rows } of cells) {
    const now = ratiosIn(rows);
    const then = ratiosIn(stored.cells.find((cell) => cell.name === name)?.rows ?? []);
    if (now === undefined || then === undefined) continue;
    for (const metric of metrics) {
      compared++;
      if (!isWorse(then[metric], now[metric], better[metric])) continue;
      regressions.push({ cell: name, metric, stored: then[metric], found: now[metric] });
    }
  }
  return { compared, regressions };
}

/** `large` has no `plain` beside it; its ratio is to the bare runtime. */
function ratiosIn(rows: CellResult['rows']): CellResult['rows'][number]['ratios'][string] | undefined {
  const ratios = rows.find(({ server }) => server === 'sluice')?.ratios;
  return ratios?.[base] ?? ratios?.['floor-ort'];
}

export function isWorse(stored: Spread, found: Spread, direction: 'higher' | 'lower'): boolean {
  if (direction === 'higher') return found.median < stored.min && found.max < stored.median;
  return found.median > stored.max && found.min > stored.median;
}
