/**
 * The read-out of an experiment as text: variants, then each comparison with the control.
 *
 * Must not know how it was computed.
 */
import type { ComparisonReadOut, ExperimentReadOut } from '../monitor/experiment.js';
import { harmless, table } from './text.js';

export function renderExperiment(readOut: ExperimentReadOut): string {
  const { experiment, phase, srm } = readOut;
  const head = `${harmless(experiment)}, phase ${phase}\n`;
  const keys = Object.entries(srm.keys).map(([variant, count]) => `${harmless(variant)} ${count}`);
  const ratio = `sample ratio: ${keys.join(', ')} (p ${number(srm.p_seq)})`;
  if (srm.is_mismatch) {
    return `${head}${ratio}: NOT what the weights promise; results are withheld until a new phase\n`;
  }
  const capped =
    readOut.keys_over_cap > 0 ? `${readOut.keys_over_cap} reports of keys beyond the limit not analysed\n` : '';
  return `${head}${ratio}\n${capped}\n${variantsText(readOut)}\n${comparisonsText(readOut.comparisons)}`;
}

function variantsText({ variants }: ExperimentReadOut): string {
  const metrics = variants[0]?.metrics.map(({ metric }) => metric) ?? [];
  const rows = variants.map((one) => [
    one.variant,
    one.version,
    String(one.weight),
    String(one.requests),
    String(one.keys),
    ...one.metrics.map(({ mean }) => number(mean)),
  ]);
  return table([
    ['VARIANT', 'VERSION', 'WEIGHT', 'REQUESTS', 'KEYS', ...metrics.map((name) => name.toUpperCase())],
    ...rows,
  ]);
}

function comparisonsText(comparisons: readonly ComparisonReadOut[]): string {
  if (comparisons.length === 0) return 'nothing to compare\n';
  const rows = comparisons.map((one) => [
    one.variant,
    one.metric,
    number(one.control_mean),
    number(one.mean),
    number(one.difference),
    one.interval === null ? '-' : `${number(one.interval.low)} … ${number(one.interval.high)}`,
    number(one.p_always_valid),
    one.verdict,
  ]);
  return table([['VARIANT', 'METRIC', 'CONTROL', 'VALUE', 'DIFFERENCE', 'INTERVAL', 'P', 'VERDICT'], ...rows]);
}

function number(value: number | null): string {
  if (value === null) return '-';
  return value === 0 || Math.abs(value) >= 1e-4 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}
