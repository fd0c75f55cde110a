/**
 * What every report on labels has beside its numbers (monitoring §14.2): how many of the served rows have a label yet, and how
 * late labels come. Accuracy over the tenth of rows that were labelled first is not accuracy.
 *
 * Must not know the metrics themselves.
 */
import type { Interval } from './proportion.js';

/** A metric with its 95 % interval; null where it is not defined. Names are those of the JSON API. */
export interface Metric {
  readonly value: number | null;
  readonly interval: Interval | null;
  /** Rows that the value stands on. */
  readonly n: number;
}

export const noMetric: Metric = { value: null, interval: null, n: 0 };

export interface LabelFacts {
  readonly n: number;
  /** labelled / served in the window; null when nothing was served. */
  readonly label_coverage: number | null;
  readonly label_lag_p50_s: number | null;
  readonly label_lag_p95_s: number | null;
}

/** From 10 ms to 30 d in steps of 10 %: a quantile is right within 5 %. */
const lagLeastS = 0.01;
const lagStep = Math.log(1.1);
const lagBins = 206;

/** How long labels took, in bins that merge by addition. */
export class LagTally {
  readonly counts = new Float64Array(lagBins);
  #n = 0;

  /** @param lagMs received − predicted; a label that came before its prediction counts as at once */
  add(lagMs: number): void {
    if (Number.isNaN(lagMs)) return;
    const bin = Math.ceil(Math.log(Math.max(lagLeastS, lagMs / 1000) / lagLeastS) / lagStep - 1e-9);
    this.counts[Math.min(lagBins - 1, Math.max(0, bin))]!++;
    this.#n++;
  }

  quantileS(q: number): number | null {
    if (this.#n === 0) return null;
    let seen = 0;
    for (const [bin, count] of this.counts.entries()) {
      seen += count;
      if (count > 0 && seen >= q * this.#n) return lagLeastS * Math.exp((bin - 0.5) * lagStep);
    }
    return null;
  }
}

export function labelFacts(n: number, served: number, lag: LagTally): LabelFacts {
  return {
    n,
    label_coverage: served === 0 ? null : Math.min(1, n / served),
    label_lag_p50_s: lag.quantileS(0.5),
    label_lag_p95_s: lag.quantileS(0.95),
  };
}
