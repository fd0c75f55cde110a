/**
 * Latency by load: requests arrive at a rate, by chance and whatever the server does, first at a low one, then higher.
 *
 *   capacity of each ─▶ rates ─▶ rate by rate, the servers in turns, round after round ─▶ p50 and p99
 *
 * A rate that a server does not keep up with has no latency: what would be measured there is how long the measurement took.
 * So a curve ends where its server does.
 *
 * Must not know how it is drawn.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallerFactory } from '../caller.js';
import { gapsOf, seededRandom } from '../chance.js';
import { closedCallers } from '../closed.js';
import { HttpCaller, requestBytes } from '../http-caller.js';
import type { Load } from '../load.js';
import { Meter, rpsOf, type Window } from '../meter.js';
import { openLoad } from '../open.js';
import { jsonBody } from './bodies.js';
import { type Model, prepareModel } from './models.js';
import type { Curve } from './results.js';
import type { Plan } from './run-cells.js';
import { type Server, startBaseline, startGateway } from './servers.js';
import { spreadOf } from './statistics.js';
import { short, table } from './tables.js';

const connections = 64;
/** Of its own capacity, where each server is looked at. */
const shares = [0.2, 0.4, 0.6, 0.75, 0.9];
const apartMin = 1.15;
const warmupMs = 300;
/** Of each server at each rate; a picture needs no more. */
const roundsMax = 3;
const windowMs = 1000;
/** Of the rate asked for, that must have been answered. */
const keptMin = 0.95;
const now = () => performance.now();

interface Runner {
  readonly server: Server;
  readonly openCaller: CallerFactory;
}

export async function runCurve(plan: Plan): Promise<Curve> {
  const model = prepareModel('small', plan.directory) as Model;
  const servers: Server[] = [];
  try {
    servers.push(await startBaseline('plain', model, 1), await startGateway({ models: model.repository }));
    const runners = servers.map((server) => ({ server, openCaller: callersOf(server, model) }));
    const capacities: number[] = [];
    for (const { server, openCaller } of runners) {
      plan.onProgress(`capacity of ${server.name}`);
      const load = (meter: Meter) => closedCallers(openCaller, 1, { connections, timeoutMs: 5000, meter, now });
      await watch(load, windowMs);
      capacities.push(rpsOf(await watch(load, windowMs)));
    }
    const series = await sweep(runners, ratesOf(capacities), plan);
    return {
      what: `${model.what}, JSON, independent arrivals over up to ${connections} connections`,
      series: series.map((one, at) => ({ ...one, capacity: capacities[at]! })),
    };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function callersOf({ http }: Server, model: Model): CallerFactory {
  const { path, headers, bytes } = jsonBody(model);
  const requests = requestBytes([{ body: bytes, headers }], { url: http, path, headers: {} });
  return (events) => new HttpCaller(http, requests, events);
}

/** The same rates for all, two digits that count; of two that are close together, the lower one. */
export function ratesOf(capacities: readonly number[]): number[] {
  const all = capacities.flatMap((capacity) => shares.map((share) => Number((share * capacity).toPrecision(2))));
  const rates: number[] = [];
  for (const rate of all.sort((a, b) => a - b)) if (rate >= (rates.at(-1) ?? 0) * apartMin) rates.push(rate);
  return rates;
}

/** What the load does once it is warm. */
async function watch(start: (meter: Meter) => Load, durationMs: number): Promise<Window> {
  const meter = new Meter(now());
  const load = start(meter);
  await sleep(warmupMs);
  meter.turn(now());
  await sleep(durationMs);
  const window = meter.turn(now());
  await load.stop();
  return window;
}

async function sweep(
  runners: readonly Runner[],
  rates: readonly number[],
  { rounds: roundsAsked, onProgress }: Plan,
): Promise<Omit<Curve['series'][number], 'capacity'>[]> {
  const rounds = Math.min(roundsMax, roundsAsked);
  const random = seededRandom(1);
  const series = runners.map(({ server }) => ({
    server: server.name,
    points: [] as Curve['series'][number]['points'],
  }));
  const running = new Set(runners);
  for (const rate of rates) {
    const seen = new Map<Runner, Window[]>(Array.from(running, (runner) => [runner, []]));
    for (let round = 0; round < rounds; round++) {
      for (const [runner, windows] of seen) {
        onProgress(`${rate}/s, round ${round + 1}/${rounds}, ${runner.server.name}`);
        const load = (meter: Meter) =>
          openLoad(runner.openCaller, 1, {
            connections,
            gapMs: gapsOf('poisson', rate, random),
            timeoutMs: 5000,
            meter,
            now,
          });
        windows.push(await watch(load, windowMs));
      }
    }
    for (const [runner, windows] of seen) {
      const point = pointOf(rate, windows);
      if (point === undefined) running.delete(runner);
      else series[runners.indexOf(runner)]!.points.push(point);
    }
  }
  return series;
}

/** Undefined = the server did not keep up, in half of the rounds or more. */
function pointOf(rate: number, windows: readonly Window[]): Curve['series'][number]['points'][number] | undefined {
  const kept = spreadOf(windows.map((window) => rpsOf(window) / rate));
  if (kept.median < keptMin || windows.some(({ latency }) => latency.count === 0)) return undefined;
  const latency = (percent: number) => spreadOf(windows.map((window) => window.latency.percentileUs(percent)));
  return { rate, p50Us: latency(50), p99Us: latency(99) };
}

export function curveText({ series }: Curve): string {
  const rates = [...new Set(series.flatMap(({ points }) => points.map(({ rate }) => rate)))].sort((a, b) => a - b);
  const cell = (points: Curve['series'][number]['points'], rate: number) => {
    const p99Us = points.find((point) => point.rate === rate)?.p99Us;
    return p99Us === undefined
      ? '–'
      : `${short(p99Us.median / 1e3)} (${short(p99Us.min / 1e3)}–${short(p99Us.max / 1e3)})`;
  };
  const lines = rates.map((rate) => [String(rate), ...series.map(({ points }) => cell(points, rate))]);
  return table(['req/s asked for', ...series.map(({ server }) => `${server}: p99 ms`)], lines);
}
