/**
 * The page: signs in, asks the control port again and again, and hands each section what it shows.
 *
 * One section that cannot be had leaves the others alone; while nobody looks at the page nobody asks.
 *
 * Must not know what a section looks like.
 */
import { between, byVersion, splitBetween } from './activity.js';
import { get, getIfAny } from './api.js';
import { Chart } from './charts.js';
import { showDrift } from './drift.js';
import { element, empty } from './elements.js';
import { showEvents } from './events.js';
import { showExperiments } from './experiments.js';
import { showModels } from './models.js';
import { showRoutes } from './routes.js';
import { keepToken, tokenOfTab } from './session.js';
import { showShadows } from './shadows.js';
import { durationText, numberText, percentText } from './text.js';

const activityMs = 2000;
const sectionsMs = 5000;
/** Looks that are kept: five minutes. */
const looksMax = 151;
/** The live split and the rates of versions are told over so many looks. */
const rateLooks = 15;
/** Models whose drift is asked for. */
const driftModelsMax = 20;
const eventsShown = 25;

const by = (id) => document.getElementById(id);
const bodyOf = (id) => by(id).querySelector('.body');

const looks = [];
let charts;
let caller;
/** Of the API's document. */
let paths = {};
let listing;
let routes;
/** Timers and loops of an earlier sign-in end when this has changed. */
let round = 0;

async function start() {
  const mine = ++round;
  looks.length = 0;
  try {
    caller = await get('/admin/me');
    ({ paths } = await get('/openapi.json'));
  } catch (error) {
    if (error.status === 401) return askForToken(tokenOfTab() === '' ? '' : 'This token is not known here.');
    trouble(error);
    return void setTimeout(() => mine === round && start(), activityMs);
  }
  trouble(undefined);
  by('enter').hidden = true;
  by('content').hidden = false;
  by('caller').textContent = `${caller.name} · ${caller.role}`;
  by('leave').hidden = !caller.needs_token;
  charts ??= openCharts();
  repeat(mine, activityMs, lookAtActivity);
  repeat(mine, sectionsMs, lookAtSections);
}

function askForToken(message) {
  round++;
  keepToken('');
  by('content').hidden = true;
  by('leave').hidden = true;
  by('caller').textContent = '';
  by('ready').textContent = 'signed out';
  by('ready').className = 'pill plain';
  by('wrong').textContent = message;
  by('enter').hidden = false;
  by('token').value = '';
  by('token').focus();
}

/** Until another sign-in; not while nobody looks. */
async function repeat(mine, everyMs, look) {
  while (mine === round) {
    if (!document.hidden) {
      try {
        await look();
        trouble(undefined);
      } catch (error) {
        if (error.status === 401) return void (mine === round && askForToken('The token is not accepted any more.'));
        trouble(error);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

function trouble(error) {
  by('trouble').hidden = error === undefined;
  by('trouble').textContent = error === undefined ? '' : `${error.message} What is shown below may be old.`;
  if (error === undefined) return;
  by('ready').textContent = error.status === 0 ? 'no answer' : 'error';
  by('ready').className = 'pill bad';
}

async function lookAtActivity() {
  const look = await get('/admin/activity');
  looks.push({ look, epochMs: Date.now() });
  if (looks.length > looksMax) looks.shift();
  drawActivity();
  if (listing !== undefined) drawModels();
  if (routes !== undefined) drawRoutes();
  await showReady();
}

async function showReady() {
  const answer = await fetch('/readyz', { cache: 'no-store' }).then((response) => response.json());
  by('ready').textContent = answer.ready ? 'ready' : `not ready: ${answer.error}`;
  by('ready').className = `pill ${answer.ready ? 'good' : 'bad'}`;
}

function drawActivity() {
  const model = by('shown').value;
  const steps = looks.slice(1).map(({ look, epochMs }, index) => ({
    at: epochMs / 1000,
    ...between(looks[index].look, look, model),
  }));
  const { look } = looks.at(-1);
  drawTiles(steps.at(-1), look);
  const times = steps.map(({ at }) => at);
  const column = (name) => steps.map((step) => step[name]);
  charts.throughput.show([times, column('requestsPerSecond'), column('faultsPerSecond')]);
  charts.latency.show([times, column('p50'), column('p95'), column('p99')]);
  charts.fill.show([times, column('batchFill')]);
  charts.queue.show([times, column('queue'), column('inFlight')]);
  charts.lag.show([times, column('lagP99')]);
  charts.threads.show([times, column('threadsBusy')]);
}

function drawTiles(step, { workers, processes }) {
  const threads = (workers.busy ?? 0) + (workers.idle ?? 0);
  const ready = processes.ready ?? 0;
  const all = Object.values(processes).reduce((sum, count) => sum + count, 0);
  const tiles = [
    ['Requests/s', numberText(step?.requestsPerSecond)],
    ['Faults', percentText(step?.faultShare)],
    ['p50', durationText(step?.p50)],
    ['p95', durationText(step?.p95)],
    ['p99', durationText(step?.p99)],
    ['Batch fill', percentText(step?.batchFill)],
    ['Queue', numberText(step?.queue)],
    ['Loop lag p99', durationText(step?.lagP99)],
    ['Threads', threads === 0 ? '–' : `${workers.busy ?? 0} of ${threads}`],
    ['Processes', `${ready} of ${all}`],
  ];
  by('tiles').replaceChildren(
    ...tiles.map(([name, value]) =>
      element('div', { class: 'tile' }, element('span', { class: 'quiet' }, name), element('b', {}, value)),
    ),
  );
}

function openCharts() {
  const chart = (title, textOf, lines, max) => new Chart(by('charts'), { title, textOf, lines, max });
  return {
    throughput: chart('Requests a second', numberText, [
      { name: 'Requests', colour: 'first', isArea: true },
      { name: 'Faults', colour: 'third' },
    ]),
    latency: chart('Latency', durationText, [
      { name: 'p50', colour: 'first' },
      { name: 'p95', colour: 'second' },
      { name: 'p99', colour: 'third' },
    ]),
    fill: chart('Batch fill', percentText, [{ name: 'Fill', colour: 'first', isArea: true }], 1 / 1.1),
    queue: chart('Requests inside', numberText, [
      { name: 'Waiting', colour: 'second', isArea: true },
      { name: 'In flight', colour: 'first' },
    ]),
    lag: chart('Event loop lag', durationText, [{ name: 'p99', colour: 'third' }]),
    threads: chart('Threads busy', numberText, [{ name: 'Busy', colour: 'first', isArea: true }]),
  };
}

async function lookAtSections() {
  await section('models', async () => {
    listing = await get('/admin/models');
    offerModels();
    drawModels();
  });
  await section('routes', async () => {
    routes = await offered('/admin/routes');
    drawRoutes();
  });
  await section('shadows', async () => showShadows(bodyOf('shadows'), await offered('/admin/shadows')));
  await section('drift', async () => showDrift(bodyOf('drift'), await driftOf(modelNames())));
  await section('experiments', async () => showExperiments(bodyOf('experiments'), await offered('/admin/experiments')));
  await section('events', async () => showEvents(bodyOf('events'), await get(`/admin/audit?last=${eventsShown}`)));
}

/** A section that fails says so in its own place; a token that is not accepted is everybody's concern. */
async function section(id, show) {
  try {
    await show();
  } catch (error) {
    if (error.status === 401 || error.status === 0) throw error;
    const place = bodyOf(id);
    place.shownFrom = undefined;
    place.replaceChildren(empty('This cannot be shown', error.message));
  }
}

function modelNames() {
  return [...new Set((listing?.models ?? []).map(({ model }) => model))];
}

async function driftOf(models) {
  const found = [];
  if (!offers('/admin/models/{model}/drift')) return found;
  for (const model of models.slice(0, driftModelsMax)) {
    const answer = await getIfAny(`/admin/models/${encodeURIComponent(model)}/drift`);
    if (answer !== undefined) found.push({ model, answer });
  }
  return found;
}

/** Whether this server has such an address at all. */
function offers(path) {
  return Object.hasOwn(paths, path);
}

/** What is at an address, or undefined where the server has no such thing. */
async function offered(path) {
  return offers(path) ? getIfAny(path) : undefined;
}

/** What happened over the last half minute. */
function recent(of) {
  const [from, to] = [looks.at(-Math.min(looks.length, rateLooks + 1)), looks.at(-1)];
  return from === to || to === undefined ? new Map() : of(from.look, to.look);
}

function drawModels() {
  showModels(bodyOf('models'), { listing, rates: recent(byVersion), mayChange: mayChange(), changed });
}

function drawRoutes() {
  showRoutes(bodyOf('routes'), { answer: routes, split: recent(splitBetween), mayChange: mayChange(), changed });
}

function mayChange() {
  return caller.role === 'operator' || caller.role === 'admin';
}

function changed() {
  lookAtSections().catch(trouble);
}

function offerModels() {
  const select = by('shown');
  const names = ['', ...modelNames()];
  if (names.join('\n') === [...select.options].map(({ value }) => value).join('\n')) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => element('option', { value: name }, name === '' ? 'All models' : name)));
  select.value = names.includes(chosen) ? chosen : '';
}

by('shown').append(element('option', { value: '' }, 'All models'));
by('shown').addEventListener('change', () => looks.length > 0 && drawActivity());
by('leave').addEventListener('click', () => askForToken(''));
by('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  keepToken(by('token').value.trim());
  start();
});
start();
