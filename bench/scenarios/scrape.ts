/** A scrape of a gateway that serves many models, each of which has been asked: it should be over before anybody notices. */
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { dense } from '../../test/fixtures.js';
import { quantile, spreadOf } from '../suite/statistics.js';
import { post } from './clients.js';
import { rowBody, type Scenario } from './frame.js';

const models = 200;
const medianMsMax = 50;
const betweenMs = 250;
const answerMsMax = 10_000;
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
    const scrapes = stage.isQuick ? 20 : 100;
    for (let turn = 0; turn < scrapes; turn++) {
      stage.onProgress(`scrape ${turn + 1}/${scrapes}`);
      await sleep(betweenMs);
      const scraped = await getWhole(`${gateway.admin}/metrics`);
      times.push(scraped.ms);
      bytes = scraped.body.length;
      const text = scraped.body.toString();
      series = (text.match(/^[a-z]/gm) ?? []).length;
      if (new Set(text.match(/model="model-\d+"/g)).size < models) throw new Error('a model is missing in the text');
    }
    const { median, min, max } = spreadOf(times);
    const p99 = quantile(Float64Array.from(times).sort(), 0.99);
    return {
      isMet: median < medianMsMax && failed === 0,
      found: `${median.toFixed(1)} ms (${min.toFixed(1)}–${max.toFixed(1)}, p99 ${p99.toFixed(1)}, ${scrapes} scrapes), ${series} lines, ${(bytes / 1e6).toFixed(1)} MB; ${failed} requests failed`,
    };
  },
};

/** From the request to the last byte of the answer; reading it is the caller's own time. */
function getWhole(url: string): Promise<{ readonly ms: number; readonly body: Buffer }> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { accept }, timeout: answerMsMax }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => {
        const ms = performance.now() - startedAt;
        if (answer.statusCode === 200) resolve({ ms, body: Buffer.concat(pieces) });
        else reject(new Error(`a scrape answered ${answer.statusCode}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error('a scrape had no answer')));
    request.on('error', reject);
  });
}
