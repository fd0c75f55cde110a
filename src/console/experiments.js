/**
 * Experiments: whether the shares of keys are what was promised, then each variant beside the control.
 *
 * Must not know how a verdict is reached.
 */
import { element, empty, pill, showIfChanged, table } from './elements.js';
import { numberText } from './text.js';

/** @param {{ experiments: object[] } | undefined} answer undefined = this server has none */
export function showExperiments(place, answer) {
  const found = answer?.experiments ?? [];
  showIfChanged(place, found, () => {
    if (found.length > 0) return found.map(experimentCard);
    return empty(
      'No experiment is running',
      'A route with two or more variants is an experiment; its variants are compared by key once requests come.',
    );
  });
}

function experimentCard(readOut) {
  const { experiment, phase, srm, variants = [], comparisons = [], advice } = readOut;
  const isWrong = srm?.is_mismatch === true;
  return element(
    'article',
    { class: 'card' },
    element(
      'div',
      { class: 'head' },
      element('h3', {}, experiment),
      element('span', { class: 'quiet' }, `phase ${phase}`),
    ),
    element(
      'p',
      { class: 'note' },
      pill(isWrong ? 'mismatch' : 'ok'),
      isWrong
        ? ` The shares of keys are not what the weights promise (p ${numberText(srm.p_seq)}): results are withheld until a new phase.`
        : ` Shares of keys are as promised (p ${numberText(srm?.p_seq)}).`,
    ),
    advice === undefined ? undefined : element('p', { class: 'note' }, String(advice)),
    variants.length === 0 ? undefined : variantTable(variants),
    comparisons.length === 0 ? undefined : comparisonTable(comparisons),
  );
}

function variantTable(variants) {
  const metrics = variants[0].metrics.map(({ metric }) => metric);
  return table(
    'Variants',
    ['Variant', 'Version', 'Weight', 'Requests', 'Keys', ...metrics],
    variants.map((one) => [
      one.variant,
      one.version,
      numberText(one.weight),
      numberText(one.requests),
      numberText(one.keys),
      ...one.metrics.map(({ mean }) => numberText(mean)),
    ]),
  );
}

function comparisonTable(comparisons) {
  return table(
    'Against the control',
    ['Variant', 'Metric', 'Control', 'Value', 'Difference', 'Interval', 'p', 'Verdict'],
    comparisons.map((one) => [
      one.variant,
      one.metric,
      numberText(one.control_mean),
      numberText(one.mean),
      numberText(one.difference),
      one.interval === null ? '–' : `${numberText(one.interval.low)} … ${numberText(one.interval.high)}`,
      numberText(one.p_always_valid),
      pill(String(one.verdict)),
    ]),
  );
}
