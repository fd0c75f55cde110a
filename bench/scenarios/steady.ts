/** The ordinary day: constant load, where nothing should change. */

import { httpLoad } from '../suite/http-load.js';
import { meanBetween, quantileBetween, readMetrics } from '../suite/metrics-text.js';
import { usageOf } from '../suite/process-stat.js';
import { spreadOf } from '../suite/statistics.js';
import { rowBody, type Scenario } from './frame.js';

const slices = 8;
const growthMax = 1.1;
const slowingMin = 0.8;

export const steady: Scenario = {
  name: 'steady',
  promise: `full load: no request fails, the last quarter is no slower than ${slowingMin} of the first, memory grows by no more than ${growthMax} after the first quarter`,
  async run(stage) {
    const gateway = await stage.gateway();
    const load = httpLoad({
      url: gateway.http,
      body: rowBody('small', 30),
      connections: 64,
      directory: stage.directory(),
    });
    await load(2);
    const before = await readMetrics(gateway.admin);
    const rates: number[] = [];
    const memory: number[] = [];
    let errors = 0;
    for (let slice = 0; slice < slices; slice++) {
      stage.onProgress(`slice ${slice + 1}/${slices}`);
      const result = await load(stage.isQuick ? 2 : 15);
      rates.push(result.requests / result.seconds);
      memory.push(usageOf(gateway.pid).rssBytes);
      errors += result.errors;
    }
    const after = await readMetrics(gateway.admin);
    const quarter = slices / 4;
    const slowing = spreadOf(rates.slice(-quarter)).median / spreadOf(rates.slice(0, quarter)).median;
    const growth = memory.at(-1)! / memory[quarter - 1]!;
    const lagMs = quantileBetween(before, after, 'sluice_event_loop_lag_seconds', 0.99) * 1000;
    const batch = meanBetween(before, after, 'sluice_batch_size');
    return {
      isMet: errors === 0 && slowing >= slowingMin && growth <= growthMax,
      found: `${Math.round(spreadOf(rates).median)} req/s, ${errors} failed; last ÷ first quarter ${slowing.toFixed(2)}; memory × ${growth.toFixed(2)}; event loop lag p99 ≤ ${lagMs.toFixed(1)} ms; mean batch ${batch.toFixed(1)}`,
    };
  },
};
