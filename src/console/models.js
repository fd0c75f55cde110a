/**
 * Models and their versions: state and reason, what each does now, and the changes that the caller's role allows.
 *
 * Must not know how often it is shown.
 */
import { post } from './api.js';
import { actionButton } from './dialog.js';
import { element, empty, pill, showIfChanged } from './elements.js';
import { durationText, numberText } from './text.js';

const heads = ['Version', 'State', 'Answers', 'Requests/s', 'p99', 'Queue', 'Tensors', ''];

/**
 * @param {Element} place
 * @param {{ listing: object, rates: Map<string, object>, mayChange: boolean, changed: () => void }} shown
 */
export function showModels(place, { listing, rates, mayChange, changed }) {
  showIfChanged(place, [listing, mayChange], () => {
    const names = [...new Set(listing.models.map(({ model }) => model))];
    const down = listing.sources.filter(({ isUp }) => !isUp).map(sourceDown);
    if (names.length === 0)
      return [
        ...down,
        empty('No models yet', 'Put a folder with a model.onnx where models.path points, and it is opened by itself.'),
      ];
    return [...down, ...names.map((name) => modelCard(name, listing.models, { mayChange, changed }))];
  });
  for (const cell of place.querySelectorAll('[data-rate]')) {
    const [version, what] = cell.dataset.rate.split('#');
    cell.textContent = rateText(rates.get(version), what);
  }
}

function sourceDown({ name, reason }) {
  return element('p', { class: 'note' }, pill('down'), ` source ${name}: ${reason || 'it does not answer'}`);
}

function rateText(rate, what) {
  if (what === 'p99') return durationText(rate?.p99);
  return numberText(what === 'queue' ? rate?.queue : rate?.requestsPerSecond);
}

function modelCard(name, all, tools) {
  const versions = all.filter(({ model }) => model === name);
  const titles = heads.map((head) => element('th', { scope: 'col' }, head));
  return element(
    'article',
    { class: 'card model', 'aria-label': `Model ${name}` },
    element(
      'div',
      { class: 'head' },
      element('h3', {}, name),
      ...(tools.mayChange ? modelButtons(name, versions, tools) : []),
    ),
    element(
      'table',
      { class: 'stack' },
      element('thead', {}, element('tr', {}, ...titles)),
      element('tbody', {}, ...versions.map((one) => versionRow(one, tools))),
    ),
  );
}

function versionRow(one, tools) {
  const { model, version, state, reason, isDefault, labels, inputs, outputs } = one;
  const rate = (what) => element('span', { 'data-rate': `${model}@${version}#${what}` }, '–');
  const answers = [...(isDefault ? ['by default'] : []), ...labels.map((label) => `label ${label}`)];
  const tensors = element(
    'details',
    {},
    element('summary', { 'data-key': `tensors ${model}@${version}` }, `${inputs.length} in, ${outputs.length} out`),
    element(
      'ul',
      { class: 'plain' },
      ...inputs.map((text) => element('li', {}, '→ ', text)),
      ...outputs.map((text) => element('li', {}, '← ', text)),
    ),
  );
  const cells = [
    element('strong', {}, version),
    element(
      'span',
      {},
      pill(state),
      reason === '' || reason === state ? undefined : element('span', { class: 'reason' }, reason),
    ),
    answers.join(', '),
    rate('requests'),
    rate('p99'),
    rate('queue'),
    inputs.length + outputs.length === 0 ? '' : tensors,
    tools.mayChange && !isDefault && state === 'ready' ? promoteButton(one, tools) : '',
  ];
  return element('tr', {}, ...cells.map((cell, column) => element('td', { 'data-head': heads[column] }, cell)));
}

function promoteButton({ model, version }, tools) {
  return button('Promote', `${model}@${version}`, tools, {
    title: `Promote ${model} version ${version}?`,
    text: `Version ${version} answers every request for ${model} that names no version. The version before stays open for a while.`,
    verb: 'Promote',
    act: (reason) => post(`${pathOf(model)}/promote`, withReason({ version }, reason)),
  });
}

function modelButtons(name, versions, tools) {
  const isOpen = versions.some(({ state }) => state === 'ready' || state === 'lazy');
  const buttons = [];
  if (versions.length > 1)
    buttons.push(
      button('Roll back', name, tools, {
        title: `Roll ${name} back?`,
        text: 'The version that answered before answers again.',
        verb: 'Roll back',
        isGrave: true,
        act: (reason) => post(`${pathOf(name)}/rollback`, { reason }),
      }),
    );
  buttons.push(
    isOpen
      ? button('Unload', name, tools, {
          title: `Unload ${name}?`,
          text: `No request for ${name} is answered until it is loaded again.`,
          verb: 'Unload',
          isGrave: true,
          act: (reason) => post(`${pathOf(name)}/unload`, withReason({}, reason)),
        })
      : button('Load', name, tools, {
          title: `Load ${name}?`,
          text: `The versions of ${name} that its policy asks for are tried and opened.`,
          verb: 'Load',
          act: (reason) => post(`${pathOf(name)}/load`, withReason({}, reason)),
        }),
  );
  return buttons;
}

function button(word, of, { changed }, { act, ...question }) {
  return actionButton({ word, of, changed }, question, act);
}

function withReason(body, reason) {
  return reason === '' ? body : { ...body, reason };
}

function pathOf(model) {
  return `/admin/models/${encodeURIComponent(model)}`;
}
