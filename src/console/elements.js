/**
 * Elements of the page. Text only ever becomes text: nothing here, or anywhere in the console, reads markup.
 *
 * Must not know what is shown.
 */
import { percentText } from './text.js';

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties attributes; `on` is a function called on click, `class` as in HTML
 * @param {...unknown} children elements and texts
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name === 'on') made.addEventListener('click', value);
    else made.setAttribute(name, value === true ? '' : String(value));
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/** A word of state in its colour. */
export function pill(word, kind = kindOf(word)) {
  return element('span', { class: `pill ${kind}` }, word);
}

const kinds = {
  good: ['ready', 'ok', 'agrees', 'promoted', 'running', 'better', 'pass', 'up'],
  warn: [
    'opening',
    'admitting',
    'loading',
    'pulling',
    'draining',
    'warn',
    'lazy',
    'insufficient_data',
    'held',
    'undecided',
  ],
  bad: [
    'refused',
    'failed',
    'quarantined',
    'alert',
    'drift',
    'down',
    'gone',
    'rolled_back',
    'worse',
    'fail',
    'mismatch',
  ],
};

function kindOf(word) {
  return Object.keys(kinds).find((kind) => kinds[kind].includes(word)) ?? 'plain';
}

/** What stands where there is nothing yet: what it would be, and what to do. */
export function empty(title, text) {
  return element('div', { class: 'empty' }, element('strong', {}, title), element('p', {}, text));
}

/**
 * A table that is scrolled where it is too wide.
 * @param {string[]} heads
 * @param {unknown[][]} rows a cell is text or an element
 * @param {string} kind stack = one under the other where it is narrow
 */
export function table(caption, heads, rows, kind = '') {
  const cell = (content, column) => element('td', { 'data-head': heads[column] }, content ?? '');
  return element(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    element(
      'table',
      { class: kind },
      element('caption', {}, caption),
      element('thead', {}, element('tr', {}, ...heads.map((head) => element('th', { scope: 'col' }, head)))),
      element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map(cell)))),
    ),
  );
}

/** A share as a bar and a number. @param {number | undefined} share 0 to 1 */
export function meter(label, share) {
  const bar = element('progress', { class: 'fill', max: 1, value: share ?? 0, 'aria-label': label });
  return element('div', { class: 'meter' }, bar, element('span', { class: 'share' }, percentText(share)));
}

/** @param {string[][]} facts pairs of a name and its value */
export function factList(facts) {
  const pairs = facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
  return element('dl', { class: 'facts' }, ...pairs);
}

const svg = 'http://www.w3.org/2000/svg';

export function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS(svg, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/**
 * Shows `make()` in `place` when what it is made from has changed; the focus stays on the element of the same `data-key`.
 * @param {Element} place
 * @param {unknown} from plain values
 */
export function showIfChanged(place, from, make) {
  const text = JSON.stringify(from) ?? '';
  if (place.shownFrom === text) return;
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.shownFrom = text;
  place.replaceChildren(...[make()].flat());
  if (key !== undefined) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}
