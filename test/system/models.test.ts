/** The shipped models: they give what their golden samples say, and training again gives the same quality. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Answer, post } from './load.js';
import { startServer } from './server.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const models = join(root, 'models');
/** Debian's, which has its packages; another one on the path would not. */
const python = '/usr/bin/python3';

interface Tensor {
  readonly name: string;
  readonly data: readonly number[];
}

function jsonOf<Value>(...path: string[]): Value {
  return JSON.parse(readFileSync(join(models, ...path), 'utf8'));
}

test('every golden sample of every version gives its expected outputs', async (context) => {
  const server = await startServer({ models, flags: ['--models-version-policy', 'all'], processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  let samples = 0;
  for (const model of ['digits', 'cancer']) {
    for (const version of readdirSync(join(models, model))) {
      const { golden } = jsonOf<{ golden: { request: string; response: string; atol: number; rtol: number }[] }>(
        model,
        version,
        'manifest.json',
      );
      for (const { request, response, atol, rtol } of golden) {
        const body = readFileSync(join(models, model, version, request), 'utf8');
        const answer = (await post(`${server.http}/v2/models/${model}/versions/${version}/infer`, body)) as Answer;
        assert.equal(answer.status, 200, answer.text);
        const got: Tensor[] = JSON.parse(answer.text).outputs;
        for (const { name, data } of jsonOf<{ outputs: Tensor[] }>(model, version, response).outputs) {
          const found = got.find((tensor) => tensor.name === name)!.data;
          assert.equal(found.length, data.length);
          data.forEach((expected, i) => {
            assert.ok(
              Math.abs(found[i]! - expected) <= atol + rtol * Math.abs(expected),
              `${model}@${version} ${name}[${i}]: ${found[i]}, expected ${expected}`,
            );
          });
        }
        samples++;
      }
    }
  }
  assert.ok(samples >= 8, `${samples} samples`);
  assert.equal((await server.stop()).code, 0);
});

test('the second version of digits is better than the first', () => {
  const accuracy = (version: string) =>
    jsonOf<{ metrics: { name: string; value: number }[] }>('digits', version, 'manifest.json').metrics.find(
      ({ name }) => name === 'accuracy',
    )!.value;
  assert.ok(accuracy('2') > accuracy('1'));
});

test('training again gives the same quality', (context) => {
  const has = spawnSync(python, ['-c', 'import sklearn, onnx, numpy']);
  if (has.status !== 0) {
    assert.ok(!process.env.CI, 'CI must have python3-sklearn, python3-onnx and python3-numpy');
    context.skip('needs python3-sklearn, python3-onnx and python3-numpy');
    return;
  }
  const { status, stdout, stderr } = spawnSync(python, ['models/train/check.py'], { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
});
