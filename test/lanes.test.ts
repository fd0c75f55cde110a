/** Which lanes a version gets: threads are started for what may not hold up the thread that serves, and not before. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sessionPolicy } from '../bench/suite/session-policy.js';
import type { Tensor } from '../src/core/tensor.js';
import { type Lanes, type LanesOptions, openLanes } from '../src/engine/lanes.js';
import { Marks } from '../src/engine/marks.js';
import { identity } from './fixtures.js';
import { freshDirectory } from './system/server.js';

function open(context: TestContext, change: Partial<LanesOptions>): Promise<Lanes> {
  const file = join(freshDirectory(context), 'model.onnx');
  writeFileSync(file, identity('FP32', ['batch', 3]));
  return openLanes({
    name: 'm@1',
    file,
    session: sessionPolicy,
    threads: 1,
    warmRows: [1, 2, 4],
    runTimes: [
      { rows: 1, runUs: 5 },
      { rows: 4, runUs: 8 },
    ],
    // Measured again where nobody measured before; a busy machine must not decide.
    inlineRunUsMax: 1e6,
    mayRunInline: true,
    hardRunTimeoutMs: 60_000,
    marks: new Marks(undefined),
    onOverdue: () => assert.fail('a run was overdue'),
    onStarting: () => {},
    isBackground: false,
    ...change,
  });
}

function ones(rows: number): Tensor {
  return { name: 'INPUT0', datatype: 'FP32', shape: [rows, 3], data: new Float32Array(3 * rows).fill(1) };
}

test('a version whose full batch is short runs inline, and starts a thread for what is larger than a batch', async (context) => {
  const lanes = await open(context, { onStarting: () => assert.fail('threads were started') });
  assert.deepEqual([lanes.inlineRowsMax, lanes.threads, lanes.inputs[0]!.name], [4, 0, 'INPUT0']);
  assert.deepEqual((await lanes.runInline([ones(4)]))[0]!.shape, [4, 3]);
  assert.equal(lanes.threads, 0);
  const { outputs } = await lanes.runOnThread([ones(9)]);
  assert.deepEqual([outputs[0]!.shape, lanes.threads], [[9, 3], 1]);
  await lanes.close();
});

test('a full batch that is too long has its threads from the start, and small ones still run inline', async (context) => {
  const runTimes = [
    { rows: 1, runUs: 5 },
    { rows: 4, runUs: 2e6 },
  ];
  let starts = 0;
  const lanes = await open(context, { runTimes, onStarting: () => starts++ });
  assert.deepEqual([lanes.threads, lanes.inlineRowsMax, starts], [1, 4, 1]);
  await lanes.close();
});

test('what nobody measured, and what may not run inline, has its threads from the start', async (context) => {
  for (const [change, inlineRowsMax] of [
    [{ runTimes: [] }, 4],
    [{ mayRunInline: false }, 0],
    [{ inlineRunUsMax: 0 }, 0],
  ] as const) {
    const lanes = await open(context, change);
    assert.deepEqual([lanes.threads, lanes.inlineRowsMax], [1, inlineRowsMax]);
    await lanes.close();
  }
});
