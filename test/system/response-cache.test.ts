/** Answers from memory on a real process: JSON and binary share them, a new version does not, and they are counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeRepository } from '../fixtures.js';
import { freshDirectory, startServer } from './server.js';
import { metric, modelOf, stateFor } from './versions-fixture.js';

test('equal requests are answered from memory whatever their form, and only for models that want it', async (context) => {
  const state = stateFor(context);
  const models = writeRepository(freshDirectory(context), { kept: modelOf(1), other: modelOf(2) });
  const config = state.config(`
cache: { enabled: true }
model_overrides: { kept: { response_cache: true } }
`);
  const server = await startServer({ models, flags: config, env: state.env, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const values = [1, 2, 3, 4];
  const json = async (model: string) => {
    const body = JSON.stringify({ inputs: [{ name: 'INPUT0', shape: [1, 4], datatype: 'FP32', data: values }] });
    const answer = await fetch(`${server.http}/v2/models/${model}/infer`, { method: 'POST', body });
    assert.equal(answer.status, 200);
    const { outputs } = (await answer.json()) as { outputs: { data: number[] }[] };
    return outputs[0]!.data;
  };
  const binary = async (model: string) => {
    const head = JSON.stringify({
      inputs: [{ name: 'INPUT0', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: 16 } }],
    });
    const answer = await fetch(`${server.http}/v2/models/${model}/infer`, {
      method: 'POST',
      headers: { 'inference-header-content-length': String(head.length) },
      body: Buffer.concat([Buffer.from(head), Buffer.from(Float32Array.from(values).buffer)]),
    });
    assert.equal(answer.status, 200);
    return ((await answer.json()) as { outputs: { data: number[] }[] }).outputs[0]!.data;
  };
  const first = await json('kept');
  assert.deepEqual([await json('kept'), await binary('kept')], [first, first]);
  await json('other');
  await json('other');
  assert.equal(await metric(server, 'sluice_cache_requests_total{model="kept",result="hit"}'), 2);
  assert.equal(await metric(server, 'sluice_cache_requests_total{model="kept",result="miss"}'), 1);
  const stats = (await (await fetch(`${server.http}/v2/models/kept/stats`)).json()) as {
    model_stats: {
      inference_count: number;
      execution_count: number;
      inference_stats: { cache_hit: { count: number }; cache_miss: { count: number } };
    }[];
  };
  const [one] = stats.model_stats;
  assert.deepEqual(
    [
      one!.inference_count,
      one!.execution_count,
      one!.inference_stats.cache_hit.count,
      one!.inference_stats.cache_miss.count,
    ],
    [3, 1, 2, 1],
  );
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
