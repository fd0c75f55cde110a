/** A scrape of a gateway that serves many models, each of which has been asked: it should be over before anybody notices. */
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { dense } from '../../test/fixtures.js';
import { spreadOf } from '../suite/statistics.js';
import { post } from './clients.js';
import { rowBody, type Scenario } from './frame.js';

const models = 200;
const medianMsMax = 50;
const betweenMs = 250;
/** As Prometheus asks. */
const accept = 'application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';

export const scrape: Scenario = {
  name: 'scrape',
  promise: `${models} models, each asked: a scrape takes < ${medianMsMax} ms (median)`,
  async run(stage) {
    const names = Array.from({ length: models }, (_, number) => `model-${number}`);
    stage.onProgress(`${models} models are opened`);
    const gateway = await stage.gateway({
      models: stage.repository(Object.fromEntries(names.map((name, number) => [name, dense([30, 8, 2], number)]))),
      env: { SLUICE_ENGINE_INSTANCES: '1' },
    });
    const agents = Array.from({ length: 8 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    let failed = 0;
    for (const name of names) {
      const answers = await Promise.all(agents.map((agent) => post(gateway.http, rowBody(name, 30), agent)));
      failed += answers.filter(({ status }) => status !== 200).length;
    }
    for (const agent of agents) agent.destroy();
    const times: number[] = [];
    let bytes = 0;
    let series = 0;
    const scrapes = stage.isQuick ? 20 : 60;
    for (let turn = 0; turn < scrapes; turn++) {
      stage.onProgress(`scrape ${turn + 1}/${scrapes}`);
      await sleep(betweenMs);
      const startedAt = performance.now();
      const text = await (await fetch(`${gateway.admin}/metrics`, { headers: { accept } })).text();
      times.push(performance.now() - startedAt);
      bytes = text.length;
      series = (text.match(/^[a-z]/gm) ?? []).length;
      if (new Set(text.match(/model="model-\d+"/g)).size < models) throw new Error('a model is missing in the text');
    }
    const { median, min, max } = spreadOf(times);
    return {
      isMet: median < medianMsMax && failed === 0,
      found: `${median.toFixed(1)} ms (${min.toFixed(1)}–${max.toFixed(1)}, ${scrapes} scrapes), ${series} lines, ${(bytes / 1e6).toFixed(1)} MB; ${failed} requests failed`,
    };
  },
};
