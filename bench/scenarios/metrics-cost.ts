/**
 * What being watched costs: counting, on the path of every request; and being asked, by a scraper and by consoles.
 *
 *   metrics-cost    with · without · without · with · …      two gateways that differ in their metrics alone, full load
 *   watched         alone · watched · watched · alone · …    one gateway, constant load
 *
 * Rounds take turns in who is first, and a ratio is of neighbours, so that what slows the machine slows both sides.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { httpLoad } from '../suite/http-load.js';
import { readMetrics, sumOf } from '../suite/metrics-text.js';
import { quantile, ratiosOf, spreadOf } from '../suite/statistics.js';
import { leftText, undisturbed } from '../suite/theft.js';
import { rowBody, type Scenario } from './frame.js';
import { openLoop } from './open-loop.js';

const costMax = 0.03;
const p99Max = 1.02;
const connections = 64;
const rate = 500;
const width = 30;
const scrapeMs = 1000;
const activityMs = 2000;
const sectionsMs = 5000;

/** What an open console asks for, as often as it does. */
const sections = ['models', 'routes', 'shadows', 'models/small/drift', 'experiments', 'audit?last=25'];

export const metricsCost: Scenario = {
  name: 'metrics-cost',
  promise: `metrics, with tracing and access log off, cost at most ${costMax * 100} % of throughput at ${connections} connections (median)`,
  async run(stage) {
    const replace = fileURLToPath(new URL('./replace-metrics.js', import.meta.url));
    const env = { NODE_OPTIONS: `--import=${replace}` };
    const start = async (more: Readonly<Record<string, string>>) => {
      const gateway = await stage.gateway({ env: { ...env, ...more } });
      const load = httpLoad({
        url: gateway.http,
        body: rowBody('small', width),
        connections,
        directory: stage.directory(),
      });
      return { gateway, load };
    };
    const [counting, silent] = [await start({}), await start({ BENCH_NO_METRICS: '1' })];
    for (const { load } of [counting, silent]) await load(3);
    const rateOf = async ({ load }: typeof counting) => {
      const { requests, seconds } = await load(stage.isQuick ? 2 : 3);
      return requests / seconds;
    };
    const rounds = stage.isQuick ? 6 : 20;
    const found = await undisturbed({ rounds, onProgress: (text) => stage.onProgress(text) }, async (number) => {
      const first = number % 2 === 0 ? await rateOf(counting) : undefined;
      const without = await rateOf(silent);
      return { counting: first ?? (await rateOf(counting)), silent: without };
    });
    const { kept } = found;
    if (kept.length === 0) return { isMet: false, found: leftText(found) };
    const rates = { counting: kept.map((round) => round.counting), silent: kept.map((round) => round.silent) };
    const requestsOf = async ({ gateway }: typeof counting) =>
      sumOf(await readMetrics(gateway.admin), 'sluice_requests_total');
    const isReal = (await requestsOf(counting)) > 0 && (await requestsOf(silent)) === 0;
    const ratio = ratiosOf(rates.counting, rates.silent);
    return {
      isMet: ratio.median >= 1 - costMax && isReal && kept.length === rounds,
      found: `${Math.round(spreadOf(rates.counting).median)} req/s with, ${Math.round(spreadOf(rates.silent).median)} without: × ${ratio.median.toFixed(3)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}, ${leftText(found)})${isReal ? '' : '; the case did NOT happen'}`,
    };
  },
};

export const watched: Scenario = {
  name: 'watched',
  promise: `a scrape a second and an open console: p99 ≤ ${p99Max} of that without, or within the noise, and no request fails`,
  async run(stage) {
    const gateway = await stage.gateway();
    const phase = async () => {
      const seconds = stage.isQuick ? 5 : 8;
      const body = rowBody('small', width);
      const answers = await openLoop({ origin: gateway.http, body, rate, seconds, inFlightMax: 256 });
      const times = Float64Array.from(answers, ({ ms }) => ms).sort();
      return { p99: quantile(times, 0.99), failed: answers.filter(({ status }) => status !== 200).length };
    };
    await phase();
    let failed = 0;
    let looks = 0;
    const rounds = stage.isQuick ? 2 : 10;
    const found = await undisturbed({ rounds, onProgress: (text) => stage.onProgress(text) }, async () => {
      const before = await phase();
      const watch = startWatching(gateway.admin);
      const during = await phase();
      looks += await watch.stop();
      const after = await phase();
      failed += before.failed + during.failed + after.failed;
      const noise = Math.max(before.p99, after.p99) / Math.min(before.p99, after.p99);
      return { ratio: (2 * during.p99) / (before.p99 + after.p99), noise };
    });
    const { kept } = found;
    if (kept.length === 0) return { isMet: false, found: leftText(found) };
    const ratio = spreadOf(kept.map((round) => round.ratio));
    const noise = spreadOf(kept.map((round) => round.noise)).median;
    return {
      isMet: failed === 0 && looks > 0 && kept.length === rounds && ratio.median <= Math.max(p99Max, noise),
      found: `p99 × ${ratio.median.toFixed(3)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}, ${leftText(found)}), noise × ${noise.toFixed(3)}; ${failed} failed; ${looks} looks`,
    };
  },
};

/** A scraper and a console. @returns what ends them, with how often they asked */
function startWatching(admin: string): { stop(): Promise<number> } {
  let isStopped = false;
  let looks = 0;
  const ask = async (path: string) => {
    const answer = await fetch(`${admin}${path}`);
    await answer.arrayBuffer();
    // 501: what is not switched on, which a page shows as such.
    if (answer.status >= 500 && answer.status !== 501) throw new Error(`${path} answered ${answer.status}`);
    looks++;
  };
  const every = async (ms: number, paths: readonly string[]) => {
    while (!isStopped) {
      for (const path of paths) await ask(path);
      await sleep(ms);
    }
  };
  const loops = [
    every(scrapeMs, ['/metrics']),
    every(activityMs, ['/admin/activity', '/readyz']),
    every(
      sectionsMs,
      sections.map((path) => `/admin/${path}`),
    ),
  ];
  return {
    stop: async () => {
      isStopped = true;
      await Promise.all(loops);
      return looks;
    },
  };
}
