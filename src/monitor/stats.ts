/**
 * The statistics module: every formula of the specification of monitoring under one name each, so that it can be checked
 * from outside. Pure functions without dependencies; each says its formula, unit, edge cases and source where it stands.
 *
 * Reference first and current second; control first and treatment second; primary first and shadow second. A distance is a
 * number; a test is `{ statistic, df, p }` and what it has to say beside. Null = not defined, never 0 and never NaN; a test
 * with an empty side also says `insufficientData`. What no data can be (a negative count, alpha outside (0, 1)) throws.
 *
 * Must not know processes, configuration or what is decided.
 */
export { murmur3, uniform as unitInterval } from '../core/murmur3.js';
export { benjaminiHochberg } from './adjust.js';
export { cbpe } from './cbpe.js';
export { decideDrift } from './drift.js';
export { binIndex, numericProfile } from './profile.js';
export { mcnemar, newcombe, nonInferiority, twoProportions, welch, wilson } from './stats/arms.js';
export { assignVariant } from './stats/assigned.js';
export {
  binnedKs,
  hellinger,
  jensenShannon,
  lInfinity,
  psi,
  psiCorrected,
  psiNullMean,
  totalVariation,
} from './stats/distances.js';
export { ksTwoSample } from './stats/ks.js';
export { compareOutputs } from './stats/outputs.js';
export { confidenceSequence, msprt, srm } from './stats/sequential.js';
export { chiSquareHomogeneity } from './stats/tests.js';
export { wasserstein } from './stats/transport.js';
