/**
 * What a read-out advises: promote, keep going or stop, one sentence for each variant, with the numbers that it rests on.
 *
 * Must not know how a route is changed.
 */
import type { ComparisonReadOut } from './comparison.js';
import type { ExperimentReadOut } from './experiment.js';

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
  const told = (...verdicts: readonly string[]) =>
    comparisons
      .filter(({ verdict }) => verdicts.includes(verdict))
      .map(numbersOf)
      .join('; ');
  const worse = told('fail', 'worse');
  if (worse !== '') return `Stop '${variant}': worse than allowed in ${worse}.`;
  const open = told('continue');
  if (open !== '') return `Keep going with '${variant}': not decided yet is ${open}.`;
  const [within, better] = [told('pass'), told('better')];
  const reasons = [
    ...(within === '' ? [] : [`within the margin in ${within}`]),
    ...(better === '' ? [] : [`better in ${better}`]),
  ];
  return `Promote '${variant}', or raise its weight: it is ${reasons.join(', and ')}.`;
}

/** `error_rate +0.012 (-0.004 to +0.03, margin 0.005)`. */
function numbersOf({ metric, difference, interval, margin, control_n, n }: ComparisonReadOut): string {
  const units = Math.min(control_n, n);
  const facts = [
    ...(interval === null ? [] : [`${signed(interval.low)} to ${signed(interval.high)}`]),
    ...(margin === null ? [] : [`margin ${margin}`]),
    ...(interval === null ? [`${units} ${units === 1 ? 'unit' : 'units'} in the smaller arm`] : []),
  ];
  return `${metric}${difference === null ? '' : ` ${signed(difference)}`} (${facts.join(', ')})`;
}

function signed(value: number): string {
  const text = String(Number(value.toPrecision(3)));
  return value > 0 ? `+${text}` : text;
}
