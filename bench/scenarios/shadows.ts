/**
 * Shadows see every request: callers should not notice, neither when a shadow never answers nor when two answer well.
 *
 *   without · with · without   a round, each a gateway of its own, since a run that never ends ends with its process only
 *
 * The two phases without give the noise of the machine: a difference smaller than theirs cannot be told. One gateway process,
 * so that a core is free for what shadows do: the promise is for such machines.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dense, slow } from '../../test/fixtures.js';
import { readMetrics } from '../suite/metrics-text.js';
import { usageOf } from '../suite/process-stat.js';
import { quantile, spreadOf } from '../suite/statistics.js';
import { leftText, undisturbed } from '../suite/theft.js';
import { rowBody, type Scenario, type Stage } from './frame.js';
import { openLoop } from './open-loop.js';

const growthBytesMax = 64 * 1024 * 1024;
const rate = 500;
const width = 30;

/** So many turns of the hung shadow's loop take hours; the probe's numbers, below 1, take none, so it is admitted. */
const turns = 1e9;

interface Case {
  readonly shadows: string;
  /** Of the p99 without. */
  readonly p99Max: number;
  /** What the counts of outcomes must show for the case to have been what it says. */
  readonly isReal: (outcomes: ReadonlyMap<string, number>) => boolean;
}

const count = (outcomes: ReadonlyMap<string, number>, outcome: string) => outcomes.get(outcome) ?? 0;

export const shadowHung = scenarioOf('shadow-hung', 'a hung shadow at 100 %', {
  shadows: '[{ name: hung, model: hung, timeout: 1s, max_loop_lag: 10s }]',
  p99Max: 1.02,
  isReal: (outcomes) => count(outcomes, 'timeout') > 0 && count(outcomes, 'ok') === 0,
});

export const shadowTwo = scenarioOf('shadow-two', 'two shadows at 100 %', {
  shadows: '[{ name: first, model: next, max_loop_lag: 10s }, { name: second, model: next, max_loop_lag: 10s }]',
  p99Max: 1.05,
  isReal: (outcomes) => count(outcomes, 'ok') > 0 && count(outcomes, 'error') === 0,
});

interface Phase {
  readonly p99Ms: number;
  readonly failed: number;
  readonly bytes: number;
  /** Requests by what the shadows made of them. */
  readonly outcomes: ReadonlyMap<string, number>;
}

function scenarioOf(name: string, what: string, { shadows, p99Max, isReal }: Case): Scenario {
  const config = `
routes:
  small: { shadows: ${shadows} }
engine: { hard_run_timeout_ms: 86400000 }
`;
  return {
    name,
    promise: `${what}: no request fails, p99 ≤ ${p99Max} of that without or within the noise, memory grows by no more than ${growthBytesMax / 2 ** 20} MiB`,
    async run(stage) {
      const rounds = stage.isQuick ? 2 : 10;
      const found = await undisturbed({ rounds, onProgress: (text) => stage.onProgress(text) }, async () => ({
        before: await phase(stage, ''),
        during: await phase(stage, config),
        after: await phase(stage, ''),
      }));
      const { kept } = found;
      if (kept.length === 0) return { isMet: false, found: leftText(found) };
      const ratio = spreadOf(
        kept.map(({ before, during, after }) => (2 * during.p99Ms) / (before.p99Ms + after.p99Ms)),
      );
      const noises = kept.map(({ before, after }) => [before.p99Ms, after.p99Ms].sort((a, b) => a - b));
      const noise = spreadOf(noises.map(([least, most]) => most! / least!)).median;
      const watched = kept.map(({ during }) => during);
      const free = kept.flatMap(({ before, after }) => [before, after]);
      const failed = found.all
        .flatMap(({ before, during, after }) => [before, during, after])
        .reduce((sum, phase) => sum + phase.failed, 0);
      const growth = medianBytes(watched) - medianBytes(free);
      const wasReal = watched.every(({ outcomes }) => isReal(outcomes));
      return {
        isMet:
          failed === 0 &&
          kept.length === rounds &&
          ratio.median <= Math.max(p99Max, noise) &&
          growth <= growthBytesMax &&
          wasReal,
        found: `p99 × ${ratio.median.toFixed(3)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}, ${leftText(found)}), noise × ${noise.toFixed(3)}; ${failed} failed; memory +${Math.round(growth / 2 ** 20)} MiB; copies: ${copiesText(watched)}${wasReal ? '' : '; the case did NOT happen'}`,
      };
    },
  };
}

function copiesText(phases: readonly Phase[]): string {
  const sums = new Map<string, number>();
  for (const { outcomes } of phases)
    for (const [outcome, value] of outcomes) sums.set(outcome, (sums.get(outcome) ?? 0) + value);
  return [...sums].map(([outcome, value]) => `${outcome} ${value}`).join(', ');
}

function medianBytes(phases: readonly Phase[]): number {
  return spreadOf(phases.map(({ bytes }) => bytes)).median;
}

async function phase(stage: Stage, text: string): Promise<Phase> {
  const file = join(stage.directory(), 'sluice.yaml');
  writeFileSync(file, text);
  const models = stage.repository({ small: dense(), next: dense([30, 64, 32, 2], 7), hung: slow(['batch', width]) });
  const flags = ['--config', file, '--drain-timeout-ms', '500'];
  const gateway = await stage.gateway({ models, processes: 1, flags });
  const load = (seconds: number) =>
    openLoop({ origin: gateway.http, body: rowBody('small', width, turns), rate, seconds, inFlightMax: 256 });
  await load(2);
  const answers = await load(stage.isQuick ? 5 : 6);
  const bytes = usageOf(gateway.pid).rssBytes;
  const outcomes = new Map<string, number>();
  for (const { name, labels, value } of await readMetrics(gateway.admin)) {
    if (name !== 'sluice_shadow_requests_total' || labels.result === undefined || value === 0) continue;
    outcomes.set(labels.result, (outcomes.get(labels.result) ?? 0) + value);
  }
  await gateway.stop();
  const times = Float64Array.from(answers, ({ ms }) => ms).sort();
  return {
    p99Ms: quantile(times, 0.99),
    failed: answers.filter(({ status }) => status !== 200).length,
    bytes,
    outcomes,
  };
}
