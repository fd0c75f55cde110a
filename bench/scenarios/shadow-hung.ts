/**
 * A shadow that never answers sees every request: callers should not notice.
 *
 *   without · with · without   a round, each a gateway of its own, since a run that never ends ends with its process only
 *
 * The two phases without give the noise of the machine: a difference smaller than theirs cannot be told.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dense, slow } from '../../test/fixtures.js';
import { readMetrics } from '../suite/metrics-text.js';
import { usageOf } from '../suite/process-stat.js';
import { quantile, spreadOf } from '../suite/statistics.js';
import { rowBody, type Scenario, type Stage } from './frame.js';
import { openLoop } from './open-loop.js';

const p99Max = 1.02;
const growthBytesMax = 64 * 1024 * 1024;
const rate = 500;
const width = 30;

/** So many turns of the shadow's loop take hours; the probe's numbers, below 1, take none, so it is admitted. */
const turns = 1e9;

const config = `
routes:
  small:
    shadows:
      - { name: hung, model: hung, percent: 100, timeout: 1s }
engine:
  hard_run_timeout_ms: 86400000
`;

interface Phase {
  readonly p99Ms: number;
  readonly failed: number;
  readonly bytes: number;
  /** Requests by what the shadow made of them. */
  readonly outcomes: ReadonlyMap<string, number>;
}

export const shadowHung: Scenario = {
  name: 'shadow-hung',
  promise: `a hung shadow at 100 %: no request fails, p99 ≤ ${p99Max} of that without or within the noise, memory grows by no more than ${growthBytesMax / 2 ** 20} MiB`,
  async run(stage) {
    const rounds = stage.isQuick ? 2 : 5;
    const ratios: number[] = [];
    const noises: number[] = [];
    const hung: Phase[] = [];
    const free: Phase[] = [];
    for (let round = 0; round < rounds; round++) {
      stage.onProgress(`round ${round + 1}/${rounds}`);
      const before = await phase(stage, '');
      const during = await phase(stage, config);
      const after = await phase(stage, '');
      ratios.push((2 * during.p99Ms) / (before.p99Ms + after.p99Ms));
      noises.push(Math.max(before.p99Ms, after.p99Ms) / Math.min(before.p99Ms, after.p99Ms));
      hung.push(during);
      free.push(before, after);
    }
    const ratio = spreadOf(ratios);
    const noise = spreadOf(noises).median;
    const failed = [...hung, ...free].reduce((sum, phase) => sum + phase.failed, 0);
    const growth = medianBytes(hung) - medianBytes(free);
    const [timeouts, refusals] = ['timeout', 'queue_full'].map((outcome) =>
      hung.reduce((sum, { outcomes }) => sum + (outcomes.get(outcome) ?? 0), 0),
    );
    const wasAsked = timeouts! > 0 && hung.every(({ outcomes }) => !outcomes.has('ok') || outcomes.get('ok') === 0);
    return {
      isMet: failed === 0 && ratio.median <= Math.max(p99Max, noise) && growth <= growthBytesMax && wasAsked,
      found: `p99 × ${ratio.median.toFixed(3)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}), noise × ${noise.toFixed(3)}; ${failed} failed; memory +${Math.round(growth / 2 ** 20)} MiB; ${timeouts} copies timed out, ${refusals} found the queue full${wasAsked ? '' : '; the shadow did NOT hang'}`,
    };
  },
};

function medianBytes(phases: readonly Phase[]): number {
  return spreadOf(phases.map(({ bytes }) => bytes)).median;
}

async function phase(stage: Stage, text: string): Promise<Phase> {
  const file = join(stage.directory(), 'sluice.yaml');
  writeFileSync(file, text);
  const models = stage.repository({ small: dense(), hung: slow(['batch', width]) });
  const flags = ['--config', file, '--drain-timeout-ms', '500'];
  const gateway = await stage.gateway({ models, flags });
  const load = (seconds: number) =>
    openLoop({ origin: gateway.http, body: rowBody('small', width, turns), rate, seconds, inFlightMax: 256 });
  await load(2);
  const answers = await load(stage.isQuick ? 5 : 20);
  const bytes = usageOf(gateway.pid).rssBytes;
  const outcomes = new Map<string, number>();
  for (const { name, labels, value } of await readMetrics(gateway.admin)) {
    if (name !== 'sluice_shadow_requests_total' || labels.outcome === undefined) continue;
    outcomes.set(labels.outcome, (outcomes.get(labels.outcome) ?? 0) + value);
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
