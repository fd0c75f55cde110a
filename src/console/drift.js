/**
 * Drift: for each version its verdict, and for each feature how its values lie now beside how they lay in the reference.
 *
 * Must not know how drift is decided.
 */
import { drawing, element, empty, factList, pill, showIfChanged } from './elements.js';
import { numberText, percentText } from './text.js';

const featuresMax = 24;

/** @param {{ model: string, answer: object }[]} found models of which the server knows drift */
export function showDrift(place, found) {
  showIfChanged(place, found, () => {
    const cards = found.flatMap(({ model, answer }) => versionsOf(answer).map((one) => versionCard(model, one)));
    if (cards.length > 0) return cards;
    return empty(
      'Drift is not watched',
      'With a reference profile beside a version, its inputs and outputs are compared with how they were when it was trained.',
    );
  });
}

/** Versions of which a window has been judged. */
function versionsOf(answer) {
  return (answer.versions ?? []).filter(({ report }) => report != null);
}

function versionCard(model, { version, status, report }) {
  const features = [...report.features].sort((a, b) => (b.psi_corrected ?? -1) - (a.psi_corrected ?? -1));
  const hidden = features.length - featuresMax;
  return element(
    'article',
    { class: 'card' },
    element('div', { class: 'head' }, element('h3', {}, `${model} version ${version}`), pill(status)),
    factList([
      ['Rows in the window', numberText(report.window.rows)],
      ['Compared with', report.baseline === 'live' ? 'the first rows served' : `${report.baseline} data`],
      ['Weight of drifted features', percentText(report.drifted_weight_share)],
      ['Features', numberText(features.length)],
    ]),
    element('div', { class: 'features' }, ...features.slice(0, featuresMax).map(featureCard)),
    hidden > 0
      ? element('p', { class: 'quiet' }, `${hidden} more features, with smaller differences, are not shown.`)
      : undefined,
  );
}

function featureCard({ name, state, psi_corrected: psi, p_adjusted: p, reference, current, bins }) {
  return element(
    'figure',
    { class: 'feature' },
    element('figcaption', {}, element('strong', {}, name), pill(state)),
    bars(name, { reference: reference.counts, current: current.counts, labels: bins }),
    element('p', { class: 'quiet' }, `PSI ${numberText(psi)}, p ${numberText(p)}`),
  );
}

const [width, height] = [240, 72];

/** Shares of each bin: reference behind, current in front. */
function bars(name, { reference = [], current = [], labels = [] }) {
  const [before, now] = [sharesOf(reference), sharesOf(current)];
  const top = Math.max(...before, ...now, 1e-9);
  const bins = Math.max(before.length, now.length, 1);
  const step = width / bins;
  const bar = (share, bin, kind) => {
    const tall = (share / top) * (height - 2);
    const inset = kind === 'current' ? step * 0.25 : step * 0.05;
    const rect = { x: bin * step + inset, y: height - tall, width: step - 2 * inset, height: tall, class: kind };
    return drawing(
      'rect',
      rect,
      drawing('title', {}, `${labels[bin] ?? `bin ${bin + 1}`}: ${kind} ${percentText(share)}`),
    );
  };
  return drawing(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `Reference and current values of ${name}` },
    ...before.map((share, bin) => bar(share, bin, 'reference')),
    ...now.map((share, bin) => bar(share, bin, 'current')),
  );
}

function sharesOf(counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (total === 0 ? 0 : count / total));
}
