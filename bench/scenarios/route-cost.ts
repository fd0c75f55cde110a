/**
 * What a route takes of the processor for each request: a split of two variants by a key in a header.
 *
 *   without · with · with · without · …      two fresh gateways a round, of one process each, full load
 *
 * Both get the same bytes, header included. Two processes of the same program differ by some microseconds in how their code
 * and memory came to lie, so each round has new ones, and what counts is the median of the rounds.
 */

import { httpLoad } from '../suite/http-load.js';
import { readMetrics, sumOf } from '../suite/metrics-text.js';
import { usageOf } from '../suite/process-stat.js';
import { spreadOf } from '../suite/statistics.js';
import { leftText, undisturbed } from '../suite/theft.js';
import { rowBody, type Scenario, type Stage } from './frame.js';

const costUsMax = 2;
const connections = 64;
const width = 30;

/** Both variants are the version that answers without a route, too. */
const route = `
routes:
  small: { key: ["header:x-user-id"], default: a, variants: { a: { version: "1", weight: 50 }, b: { version: "1", weight: 50 } } }
`;

export const routeCost: Scenario = {
  name: 'route-cost',
  promise: `a route of two variants costs at most ${costUsMax} µs of CPU a request at ${connections} connections (median of the rounds)`,
  async run(stage) {
    const rounds = stage.isQuick ? 2 : 8;
    const found = await undisturbed({ rounds, onProgress: (text) => stage.onProgress(text) }, () => round(stage));
    const { kept } = found;
    if (kept.length === 0) return { isMet: false, found: leftText(found) };
    const cost = spreadOf(kept.map(({ with: routed, without }) => routed - without));
    const without = spreadOf(kept.map((one) => one.without)).median;
    const isReal = kept.every(({ decided }) => decided > 0);
    return {
      isMet: cost.median <= costUsMax && isReal && kept.length === rounds,
      found: `${cost.median.toFixed(1)} µs (${cost.min.toFixed(1)} to ${cost.max.toFixed(1)}, ${leftText(found)}) beside ${without.toFixed(1)} µs without${isReal ? '' : '; the case did NOT happen'}`,
    };
  },
};

/** µs of CPU a request, control included. */
async function round(stage: Stage): Promise<{ without: number; with: number; decided: number }> {
  const sides = [await start(stage, ''), await start(stage, route)] as const;
  const costs: [number[], number[]] = [[], []];
  for (const { load } of sides) await load(2);
  for (let turn = 0; turn < 4; turn++)
    for (const side of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const))
      costs[side].push(await costOf(sides[side]));
  const decided = sumOf(await readMetrics(sides[1].gateway.admin), 'sluice_route_decisions_total');
  for (const { gateway } of sides) await gateway.stop();
  const [without, routed] = costs.map((some) => spreadOf(some).median) as [number, number];
  return { without, with: routed, decided };
}

async function start(stage: Stage, config: string) {
  const gateway = await stage.gateway({ processes: 1, config });
  const body = rowBody('small', width);
  const keyed = { ...body, headers: { ...body.headers, 'x-user-id': 'user-00004711' } };
  return { gateway, load: httpLoad({ url: gateway.http, body: keyed, connections, directory: stage.directory() }) };
}

async function costOf({ gateway, load }: Awaited<ReturnType<typeof start>>): Promise<number> {
  const before = usageOf(gateway.pid).cpuUs;
  const { requests } = await load(1);
  return (usageOf(gateway.pid).cpuUs - before) / requests;
}
