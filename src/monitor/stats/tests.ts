/**
 * Whether two histograms differ by more than chance (monitoring §11): tests on counts. Reference first, current second.
 *
 * They need counts, not shares: twice the rows at the same shares is twice the evidence. Columns that are empty on both
 * sides are dropped, except in `chiSquareFit`.
 *
 * Must not know what the bins stand for, or at which p something is decided.
 */
import { chiSquareTail } from '../special.js';
import { type Counts, type Histograms, histogramsOf } from './bins.js';
import { insufficient, type TestResult } from './result.js';
import { Sum } from './sum.js';

/** One cell of the 2 × k table: observed, expected → its part of the statistic. */
type Cell = (observed: number, expected: number) => number;

/**
 * χ² test of homogeneity (Pearson 1900): Σ(o − e)²/e over the 2 × k table, e = column total · row total / (N + M); df =
 * columns − 1; no continuity correction. One column left: statistic 0, df 0, p 1.
 *
 * Equals scipy's `stats.chi2_contingency([ref, cur], correction=False)`.
 */
export function chiSquareHomogeneity(reference: Counts, current: Counts): TestResult {
  return overTable(reference, current, (observed, expected) => (observed - expected) ** 2 / expected);
}

/** The same, at df = 1 with |o − e| reduced by min(½, |o − e|) (Yates 1934): scipy's `correction=True`. */
export function chiSquareYates(reference: Counts, current: Counts): TestResult {
  if (columnsOf(reference, current) !== 2) return chiSquareHomogeneity(reference, current);
  return overTable(reference, current, (observed, expected) => {
    const apart = Math.abs(observed - expected);
    return (apart - Math.min(0.5, apart)) ** 2 / expected;
  });
}

/** Likelihood ratio test: 2Σ o·ln(o/e) over o > 0 of the same table, same df (Wilks 1938). */
export function gTest(reference: Counts, current: Counts): TestResult {
  return overTable(reference, current, (observed, expected) =>
    observed === 0 ? 0 : 2 * observed * Math.log(observed / expected),
  );
}

function columnsOf(reference: Counts, current: Counts): number {
  let columns = 0;
  for (let i = 0; i < reference.length; i++) if (reference[i] !== 0 || current[i] !== 0) columns++;
  return columns;
}

function overTable(reference: Counts, current: Counts, cell: Cell): TestResult {
  const both = histogramsOf(reference, current);
  if (both === null) return insufficient;
  const df = columnsOf(reference, current) - 1;
  if (df === 0) return { statistic: 0, df, p: 1 };
  const statistic = Math.max(0, sumOfCells(both, cell));
  return { statistic, df, p: chiSquareTail(statistic, df) };
}

function sumOfCells({ reference, current, bins, referenceTotal, currentTotal }: Histograms, cell: Cell): number {
  const all = referenceTotal + currentTotal;
  const sum = new Sum();
  for (let i = 0; i < bins; i++) {
    const column = reference[i]! + current[i]!;
    if (column === 0) continue;
    sum.add(cell(reference[i]!, (column * referenceTotal) / all));
    sum.add(cell(current[i]!, (column * currentTotal) / all));
  }
  return sum.value;
}

/**
 * χ² test of fit: the current counts against the reference as if it were exact, Σ(b − e)²/e with e = a·M/N over all k bins;
 * df = k − 1. A current row in a bin that the reference does not have: statistic Infinity, p 0. One bin: p 1.
 *
 * Equals scipy's `stats.chisquare(cur, e)`. It calls the sampling noise of a small reference drift.
 */
export function chiSquareFit(reference: Counts, current: Counts): TestResult {
  const both = histogramsOf(reference, current);
  if (both === null) return insufficient;
  const sum = new Sum();
  for (let i = 0; i < both.bins; i++) {
    const expected = (reference[i]! * both.currentTotal) / both.referenceTotal;
    const apart = current[i]! - expected;
    if (apart !== 0) sum.add((apart * apart) / expected);
  }
  const df = both.bins - 1;
  return { statistic: sum.value, df, p: df === 0 ? 1 : chiSquareTail(sum.value, df) };
}
