/**
 * What a read-out advises: one sentence for each variant, the reason why first.
 *
 * Must not know how a route is changed.
 */
import type { ComparisonReadOut, ExperimentReadOut } from './experiment.js';

export function adviceOf({ srm, comparisons }: ExperimentReadOut): string {
  if (srm.is_mismatch) {
    return 'Results are withheld, because the arms do not have the sizes that their weights promise: find where keys get lost, then begin a new phase.';
  }
  if (comparisons.length === 0) return 'There is nothing to compare.';
  const variants = new Set(comparisons.map(({ variant }) => variant));
  return [...variants]
    .map((variant) =>
      adviceOn(
        variant,
        comparisons.filter((one) => one.variant === variant),
      ),
    )
    .join(' ');
}

function adviceOn(variant: string, comparisons: readonly ComparisonReadOut[]): string {
  const named = (...verdicts: readonly string[]) =>
    comparisons.filter(({ verdict }) => verdicts.includes(verdict)).map(({ metric }) => metric);
  const worse = named('fail', 'worse');
  if (worse.length > 0) return `Stop '${variant}': ${worse.join(', ')} worse than allowed.`;
  const open = named('continue');
  if (open.length > 0) return `Go on with '${variant}': ${open.join(', ')} not decided yet.`;
  return `'${variant}' is within every margin: raise its weight or promote it.`;
}
