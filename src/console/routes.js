/**
 * Routes: the split that is set beside the one that really happened in the last half minute, and what moves it.
 *
 * Must not know how a split is decided.
 */
import { post } from './api.js';
import { actionButton } from './dialog.js';
import { element, empty, meter, pill, showIfChanged } from './elements.js';
import { percentText } from './text.js';

/**
 * @param {Element} place
 * @param {{ answer: { routes: object[] } | undefined, split: Map<string, number>, mayChange: boolean, changed: () => void }} shown
 */
export function showRoutes(place, { answer, split, mayChange, changed }) {
  const routes = answer?.routes ?? [];
  showIfChanged(place, [routes, mayChange], () => {
    if (routes.length > 0) return routes.map((route) => routeCard(route, { mayChange, changed }));
    return empty(
      'No route is configured',
      'Every model is answered by one version. A route shares its requests between variants; it is written under routes.<model>.',
    );
  });
  for (const row of place.querySelectorAll('[data-split]')) {
    const share = split.get(row.dataset.split);
    if (row.dataset.optional !== undefined) row.hidden = !(share > 0);
    row.querySelector('.fill').value = share ?? 0;
    row.querySelector('.share').textContent = percentText(share);
  }
}

function routeCard(route, tools) {
  const { model, experiment, phase, source, change, variants, canary, shadows = [] } = route;
  const facts = [
    experiment === null ? '' : `experiment ${experiment}`,
    `phase ${phase}`,
    source === 'file' ? 'as configured' : `change ${change}`,
    shadows.length === 0 ? '' : `shadows ${shadows.join(', ')}`,
  ];
  return element(
    'article',
    { class: 'card', 'aria-label': `Route of ${model}` },
    element(
      'div',
      { class: 'head' },
      element('h3', {}, model),
      canary === null ? undefined : pill(canary.status),
      ...(tools.mayChange ? buttonsOf(route, tools) : []),
    ),
    element('p', { class: 'quiet note' }, facts.filter((text) => text !== '').join(' · ')),
    canary === null ? undefined : element('p', { class: 'note' }, canaryText(canary)),
    element('div', { class: 'split' }, ...variants.map((one) => variantRow(route, one)), insteadRow(model)),
  );
}

function canaryText({ status, place, percent }) {
  const where = place > 0 ? `step ${place}, ${percent} % of the requests` : 'no requests';
  return `Canary: ${String(status).replaceAll('_', ' ')}, ${where}.`;
}

function variantRow({ model }, { name, model: target, version, share }) {
  const leads = `${target === model ? '' : `${target} `}version ${version || 'none'}`;
  const bar = (word, value, key) =>
    element(
      'div',
      { class: 'bar2', 'data-split': key },
      element('span', { class: 'quiet' }, word),
      meter(`${name}: ${word}`, value),
    );
  return element(
    'div',
    { class: 'variant' },
    element('div', {}, element('strong', {}, name), element('span', { class: 'quiet' }, ` ${leads}`)),
    bar('set', share),
    bar('live', undefined, `${model}/${name}`),
  );
}

/** Requests whose variant was not ready, or which named a version themselves: there only when there are some. */
function insteadRow(model) {
  const name = element(
    'div',
    {},
    element('strong', {}, 'none of them'),
    element('span', { class: 'quiet' }, ' named or fallen back'),
  );
  const live = element(
    'div',
    { class: 'bar2' },
    element('span', { class: 'quiet' }, 'live'),
    meter('none of them: live', 0),
  );
  return element(
    'div',
    { class: 'variant', 'data-split': `${model}/`, 'data-optional': true, hidden: true },
    name,
    element('div'),
    live,
  );
}

const canaryVerbs = {
  advance: { word: 'Ramp up', text: 'The canary goes to its next step now, whatever its guardrails say.' },
  hold: { word: 'Hold', text: 'The canary stays at its step until it is resumed.' },
  resume: { word: 'Resume', text: 'The step of the canary is counted anew, and then it goes on by itself.' },
  rollback: { word: 'Roll back', text: 'The candidate gets no requests any more.', isGrave: true },
};
const verbsIn = { running: ['advance', 'hold', 'rollback'], held: ['advance', 'resume', 'rollback'] };

function buttonsOf(route, tools) {
  const { model, canary, source } = route;
  const name = encodeURIComponent(model);
  const steering = (verbsIn[canary?.status] ?? []).map((verb) => {
    const { word, ...rest } = canaryVerbs[verb];
    return actionButton(
      { word, of: `canary of ${model}`, changed: tools.changed },
      { title: `${word}: the canary of ${model}?`, verb: word, ...rest },
      (reason) => post(`/admin/models/${name}/canary/${verb}`, { reason }),
    );
  });
  if (steering.length === 0) steering.push(weightsButton(route, tools));
  if (source === 'file') return steering;
  const revert = {
    title: `Revert the route of ${model}?`,
    text: 'It is again what it was before its last change.',
    verb: 'Revert',
    isGrave: true,
  };
  return [
    ...steering,
    actionButton({ word: 'Revert', of: `route of ${model}`, changed: tools.changed }, revert, (reason) =>
      post(`/admin/routes/${name}/revert`, { reason }),
    ),
  ];
}

function weightsButton({ model, variants }, { changed }) {
  const question = {
    title: `Weights of ${model}`,
    text: 'Only their ratios matter. Keys move only towards variants that grow.',
    verb: 'Set weights',
    numbers: variants.map(({ name, weight }) => ({ name, value: weight })),
  };
  return actionButton({ word: 'Set weights', of: `of ${model}`, changed }, question, (reason, weights) =>
    post(`/admin/routes/${encodeURIComponent(model)}`, { weights, reason }),
  );
}
