/** Whether requests may share a run, tried out on sessions that compute in JavaScript. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor } from '../src/core/tensor.js';
import type { Session } from '../src/engine/session.js';
import { whyNotBatched } from '../src/engine/trial.js';

const tensor = { name: 'X', datatype: 'FP32', shape: [-1, 4], symbols: ['batch', ''] } as const;

function sessionOf(run: (input: Tensor) => Tensor): Session {
  return { inputs: [tensor], outputs: [tensor], run: ([input]) => [run(input!)], release: () => {} };
}

test('rows that do not know each other may share a run', async () => {
  assert.equal(await whyNotBatched(sessionOf((input) => input)), undefined);
});

test('rows that depend on the others run alone', async () => {
  const mixed = sessionOf((input) => {
    const values = input.data as Float32Array;
    const sum = values.reduce((total, value) => total + value, 0);
    return { ...input, data: values.map(() => sum) };
  });
  assert.match((await whyNotBatched(mixed))!, /output 'X' of a row depends on the other rows of its batch/);
});

test('a model that runs with one row only is not batched, and not refused either', async () => {
  const single = sessionOf((input) => {
    if (input.shape[0] !== 1) throw new Error('the input tensor cannot be reshaped');
    return input;
  });
  assert.equal(await whyNotBatched(single), 'the model runs with one row and not with two');
});

test('a model that takes none of the made-up inputs is not batched', async () => {
  const picky = sessionOf(() => {
    throw new Error('no');
  });
  assert.equal(await whyNotBatched(picky), 'the model runs with none of the made-up inputs');
});
