/**
 * Shadows: how much of what they answer agrees with what was answered, and the worst examples.
 *
 * Must not know how agreement is counted.
 */
import { element, empty, factList, meter, showIfChanged, table } from './elements.js';
import { durationText, numberText, percentText } from './text.js';

const examplesMax = 5;

/** @param {{ shadows: object[] } | undefined} answer undefined = this server has none */
export function showShadows(place, answer) {
  const shadows = answer?.shadows ?? [];
  showIfChanged(place, shadows, () => {
    if (shadows.length === 0)
      return empty(
        'No shadow is configured',
        'A shadow sees copies of a model’s requests and is compared with it; nobody waits for it. It is written under routes.<model>.shadows.',
      );
    return shadows.map(shadowCard);
  });
}

function shadowCard({
  route,
  shadow,
  model,
  version,
  pairs,
  disagreement_ratio: ratio,
  outcomes,
  latency_ms: latency,
  outputs,
  worst,
}) {
  const lost = Object.entries(outcomes).filter(([name, count]) => count > 0 && name !== 'ok' && name !== 'sampled_out');
  const facts = [
    ['Pairs compared', numberText(pairs)],
    ['Agree', ratio === null ? '–' : percentText(1 - ratio)],
    ['Slower by', latency.mean === null ? '–' : durationText(latency.mean / 1000)],
    ['Not compared', lost.length === 0 ? '0' : lost.map(([name, count]) => `${name} ${numberText(count)}`).join(', ')],
  ];
  return element(
    'article',
    { class: 'card' },
    element(
      'div',
      { class: 'head' },
      element('h3', {}, `${route}: ${shadow}`),
      element('span', { class: 'quiet' }, `${model} version ${version}`),
    ),
    meter('Agreement of pairs', ratio === null ? undefined : 1 - ratio),
    factList(facts),
    outputs.length === 0 ? undefined : outputTable(outputs),
    worst.length === 0 ? undefined : worstTable(worst),
  );
}

function outputTable(outputs) {
  return table(
    'By output',
    ['Output', 'Items', 'Agreement', 'Argmax', 'Labels', 'κ', 'Largest difference'],
    outputs.map((one) => [
      one.output,
      numberText(one.items),
      percentText(one.agreement),
      percentText(one.argmax_agree),
      percentText(one.label_agreement),
      numberText(one.cohen_kappa),
      numberText(one.measures?.max_abs_diff?.max),
    ]),
  );
}

function worstTable(worst) {
  return element(
    'details',
    {},
    element('summary', {}, 'Worst examples'),
    table(
      'Requests that differ most',
      ['Request', 'Output', 'Difference', 'Answered', 'Shadow'],
      worst
        .slice(0, examplesMax)
        .map((one) => [
          one.request_id,
          one.output,
          numberText(one.max_abs_diff),
          one.primary_label ?? '',
          one.shadow_label ?? '',
        ]),
    ),
  );
}
