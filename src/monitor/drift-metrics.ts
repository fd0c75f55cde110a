/**
 * Every distance and test of two histograms under its name in the JSON API (monitoring §11): reported beside the decision,
 * without a vote in it.
 *
 * Must not know what is decided.
 */
import {
  binnedKs,
  hellinger,
  jensenShannon,
  jensenShannonNats,
  lInfinity,
  psi,
  psiCorrected,
  psiNullMean,
  totalVariation,
} from './stats/distances.js';
import { klNats, psiCritical95, psiJeffreys, psiPValue } from './stats/stability.js';
import { chiSquareFit, chiSquareHomogeneity, chiSquareYates, gTest } from './stats/tests.js';

type Counts = ArrayLike<number>;

/** A test in the JSON API; an infinite statistic is null there, and p is 0. */
interface TestDocument {
  readonly statistic: number | null;
  readonly df: number | null;
  readonly p: number | null;
}

export type MetricsDocument =
  | { readonly insufficient_data: true; readonly reference_n: number; readonly current_n: number }
  | Readonly<Record<string, number | TestDocument | null>>;

/** @param isOrdered bins have an order, as those of numbers do */
export function binMetrics(
  reference: Counts,
  current: Counts,
  { isOrdered }: { readonly isOrdered: boolean },
): MetricsDocument {
  const [referenceN, currentN] = [totalOf(reference), totalOf(current)];
  if (referenceN === 0 || currentN === 0) {
    return { insufficient_data: true, reference_n: referenceN, current_n: currentN };
  }
  const nats = jensenShannonNats(reference, current);
  return {
    psi: psi(reference, current),
    psi_jeffreys: psiJeffreys(reference, current),
    psi_null_mean: psiNullMean(reference, current),
    psi_corrected: psiCorrected(reference, current),
    psi_crit_95: psiCritical95(reference, current),
    psi_p_value: psiPValue(reference, current),
    kl_ref_cur_nats: klNats(reference, current),
    kl_cur_ref_nats: klNats(current, reference),
    jsd_nats: nats,
    jsd_bits: nats === null ? null : nats / Math.LN2,
    js_distance_nats: nats === null ? null : Math.sqrt(nats),
    js_distance_bits: jensenShannon(reference, current),
    hellinger: hellinger(reference, current),
    l_infinity: lInfinity(reference, current),
    tvd: totalVariation(reference, current),
    ...(isOrdered && { binned_ks: binnedKs(reference, current) }),
    chi2_homogeneity: testOf(chiSquareHomogeneity(reference, current)),
    chi2_homogeneity_yates: testOf(chiSquareYates(reference, current)),
    g_test: testOf(gTest(reference, current)),
    chi2_gof: testOf(chiSquareFit(reference, current)),
  };
}

function totalOf(counts: Counts): number {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i]!;
  return total;
}

function testOf({ statistic, df, p }: TestDocument): TestDocument {
  return { statistic: statistic === null || !Number.isFinite(statistic) ? null : statistic, df, p };
}
