/**
 * What the prediction log costs, with every input and output kept and every feature in a sketch.
 *
 *   with · without · without · with · …      two gateways that differ in their log alone, full load
 *
 * Rounds take turns in who is first, and a ratio is of neighbours, so that what slows the machine slows both sides. The model
 * is one of the repository's own, with 30 features and a profile: more than the 23 that are promised.
 */
import { fileURLToPath } from 'node:url';
import { jsonBody } from '../suite/bodies.js';
import { httpLoad } from '../suite/http-load.js';
import { readMetrics, sumOf } from '../suite/metrics-text.js';
import { ratiosOf, spreadOf } from '../suite/statistics.js';
import type { Scenario, Stage } from './frame.js';

const costMax = 0.05;
const connections = 64;
const width = 30;
const models = fileURLToPath(new URL('../../../models', import.meta.url));

async function start(stage: Stage, env: Readonly<Record<string, string>>) {
  const gateway = await stage.gateway({ models, env });
  const row = new Float32Array(width).fill(0.5);
  const shaped = {
    name: 'small',
    input: 'features',
    shape: [1, width],
    row,
    what: '',
    repository: '',
    file: '',
  } as const;
  const body = { ...jsonBody(shaped), path: '/v2/models/cancer/infer' };
  const load = httpLoad({ url: gateway.http, body, connections, directory: stage.directory() });
  return { gateway, load };
}

export const logCost: Scenario = {
  name: 'log-cost',
  promise: `log and sketches at 100 %, ${width} features, cost at most ${costMax * 100} % of throughput at ${connections} connections (median)`,
  async run(stage) {
    const logged = { SLUICE_PREDICTION_LOG_ENABLED: 'true', SLUICE_PREDICTION_LOG_SAMPLE: '1' };
    const writing = await start(stage, logged);
    const plain = await start(stage, {});
    for (const { load } of [writing, plain]) await load(3);
    const rates = { writing: [] as number[], plain: [] as number[] };
    const measured = async (name: 'writing' | 'plain', { load }: typeof writing) => {
      const { requests, seconds } = await load(stage.isQuick ? 2 : 5);
      rates[name].push(requests / seconds);
    };
    const rounds = stage.isQuick ? 6 : 20;
    for (let round = 0; round < rounds; round++) {
      stage.onProgress(`round ${round + 1}/${rounds}`);
      if (round % 2 === 0) await measured('writing', writing);
      await measured('plain', plain);
      if (round % 2 === 1) await measured('writing', writing);
    }
    const metrics = await readMetrics(writing.gateway.admin);
    const rows = sumOf(metrics, 'sluice_prediction_log_events_total');
    const dropped = sumOf(metrics, 'sluice_prediction_log_dropped_total');
    const ratio = ratiosOf(rates.writing, rates.plain);
    return {
      isMet: ratio.median >= 1 - costMax && rows > 0,
      found: `${Math.round(spreadOf(rates.writing).median)} req/s with, ${Math.round(spreadOf(rates.plain).median)} without: × ${ratio.median.toFixed(3)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}, ${rounds} rounds); ${rows} rows, ${dropped} dropped`,
    };
  },
};
