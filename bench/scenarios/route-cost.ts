/**
 * What a route takes of the processor for each request: a split of two variants by a key in a header.
 *
 *   without · with · with · without · …      one gateway of one process, full load, its route set and taken back between turns
 *
 * The same process and the same bytes, header included, for two processes of one program differ by some microseconds in how
 * their code and memory came to lie.
 */
import { httpLoad } from '../suite/http-load.js';
import { readMetrics, sumOf } from '../suite/metrics-text.js';
import { usageOf } from '../suite/process-stat.js';
import type { Gateway } from '../suite/servers.js';
import { spreadOf } from '../suite/statistics.js';
import { leftText, undisturbed } from '../suite/theft.js';
import { rowBody, type Scenario } from './frame.js';

const costUsMax = 2;
const connections = 64;
const width = 30;

/** Both variants are the version that answers without a route, too. */
const route = {
  key: ['header:x-user-id'],
  default: 'a',
  variants: { a: { version: '1', weight: 50 }, b: { version: '1', weight: 50 } },
};

export const routeCost: Scenario = {
  name: 'route-cost',
  promise: `a route of two variants costs at most ${costUsMax} µs of CPU a request at ${connections} connections (median of the rounds)`,
  async run(stage) {
    const gateway = await stage.gateway({ processes: 1 });
    const body = rowBody('small', width);
    const keyed = { ...body, headers: { ...body.headers, 'x-user-id': 'user-00004711' } };
    const load = httpLoad({ url: gateway.http, body: keyed, connections, directory: stage.directory() });
    const seconds = stage.isQuick ? 1 : 2;
    const costs = {
      with: async () => {
        await change(gateway, '', { route });
        return costOf(gateway, () => load(seconds));
      },
      without: async () => {
        await change(gateway, '/revert', { to: 0 });
        return costOf(gateway, () => load(seconds));
      },
    };
    for (const kind of ['with', 'without', 'with'] as const) await costs[kind]();
    const rounds = stage.isQuick ? 6 : 20;
    const found = await undisturbed({ rounds, onProgress: (text) => stage.onProgress(text) }, async (number) => {
      const first = number % 2 === 0 ? await costs.with() : undefined;
      const without = await costs.without();
      return { with: first ?? (await costs.with()), without };
    });
    const { kept } = found;
    if (kept.length === 0) return { isMet: false, found: leftText(found) };
    const decided = sumOf(await readMetrics(gateway.admin), 'sluice_route_decisions_total');
    const cost = spreadOf(kept.map((one) => one.with - one.without));
    const without = spreadOf(kept.map((one) => one.without)).median;
    return {
      isMet: cost.median <= costUsMax && decided > 0 && kept.length === rounds,
      found: `${cost.median.toFixed(1)} µs (${cost.min.toFixed(1)} to ${cost.max.toFixed(1)}, ${leftText(found)}) beside ${without.toFixed(1)} µs without; ${decided} decisions`,
    };
  },
};

/** @throws when the gateway refuses it */
async function change({ admin }: Gateway, path: string, body: object): Promise<void> {
  const response = await fetch(`${admin}/admin/routes/small${path}`, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`the route could not be changed: ${response.status} ${await response.text()}`);
}

/** µs of CPU a request, control included. */
async function costOf({ pid }: Gateway, load: () => Promise<{ readonly requests: number }>): Promise<number> {
  const before = usageOf(pid).cpuUs;
  const { requests } = await load();
  return (usageOf(pid).cpuUs - before) / requests;
}
