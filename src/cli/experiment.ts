/**
 * The read-out of an experiment as text: exposure and whether it is what was promised, then variants, each comparison with the
 * control, advice.
 *
 * Must not know how it was computed.
 */
import type { ComparisonReadOut } from '../monitor/comparison.js';
import type { ExperimentReadOut } from '../monitor/experiment.js';
import { harmless, table } from './text.js';

export interface ShownExperiment extends ExperimentReadOut {
  readonly model?: string;
  readonly advice?: string;
}

/** A line for each. */
export function experimentsText({ experiments }: { readonly experiments: readonly ShownExperiment[] }): string {
  if (experiments.length === 0) return 'no route has variants\n';
  const rows = experiments.map(({ experiment, model = '', phase, srm, advice = '' }) => {
    const keys = Object.entries(srm.keys).map(([variant, count]) => `${variant} ${count}`);
    return [experiment, model, String(phase), keys.join(', '), advice];
  });
  return table([['EXPERIMENT', 'ROUTE', 'PHASE', 'KEYS', 'ADVICE'], ...rows]);
}

export function renderExperiment(readOut: ShownExperiment): string {
  const { experiment, phase, srm } = readOut;
  const head = `${harmless(experiment)}, phase ${phase}\n`;
  const keys = Object.entries(srm.keys).map(([variant, count]) => `${harmless(variant)} ${count}`);
  const ratio = `sample ratio: ${keys.join(', ')} (p ${numberText(srm.p_seq)})`;
  const shown = `${head}\n${exposureText(readOut)}\n${ratio}`;
  if (srm.is_mismatch) {
    return `${shown}: NOT what the weights promise; results are withheld until a new phase\n${adviceText(readOut)}`;
  }
  const capped =
    readOut.keys_over_cap > 0 ? `${readOut.keys_over_cap} reports of keys beyond the limit not analysed\n` : '';
  return `${shown}\n${capped}\n${variantsText(readOut)}\n${comparisonsText(readOut.comparisons)}${adviceText(readOut)}`;
}

function adviceText({ advice }: ShownExperiment): string {
  return advice === undefined ? '' : `\n${harmless(advice)}\n`;
}

function exposureText({ exposure }: ExperimentReadOut): string {
  const rows = exposure.map(({ variant, weight, keys, share, expected_share }) => {
    return [variant, String(keys), percentText(share), percentText(expected_share), String(weight)];
  });
  return table([['EXPOSURE', 'KEYS', 'SHARE', 'PROMISED', 'WEIGHT'], ...rows]);
}

function percentText(share: number | null): string {
  return share === null ? '-' : `${(100 * share).toFixed(1)} %`;
}

function variantsText({ variants }: ExperimentReadOut): string {
  const metrics = variants[0]?.metrics.map(({ metric }) => metric) ?? [];
  const rows = variants.map((one) => [
    one.variant,
    one.version,
    String(one.requests),
    ...one.metrics.map(({ mean }) => numberText(mean)),
  ]);
  return table([['VARIANT', 'VERSION', 'REQUESTS', ...metrics.map((name) => name.toUpperCase())], ...rows]);
}

function comparisonsText(comparisons: readonly ComparisonReadOut[]): string {
  if (comparisons.length === 0) return 'nothing to compare\n';
  const rows = comparisons.map((one) => [
    one.variant,
    one.metric,
    numberText(one.control_mean),
    numberText(one.mean),
    numberText(one.difference),
    one.interval === null ? '-' : `${numberText(one.interval.low)} … ${numberText(one.interval.high)}`,
    numberText(one.p_always_valid),
    numberText(one.margin),
    one.verdict,
  ]);
  return table([
    ['VARIANT', 'METRIC', 'CONTROL', 'VALUE', 'DIFFERENCE', 'INTERVAL', 'P', 'MARGIN', 'VERDICT'],
    ...rows,
  ]);
}

export function numberText(value: number | null): string {
  if (value === null) return '-';
  return value === 0 || Math.abs(value) >= 1e-4 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}
