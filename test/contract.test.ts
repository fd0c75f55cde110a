/** What a next version may change and what its callers would notice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TensorSpec } from '../src/core/tensor.js';
import { type Contract, contractBreaches, contractChanges } from '../src/registry/contract.js';

const fp32 = (name: string, ...shape: number[]): TensorSpec => ({ name, datatype: 'FP32', shape });

const old: Contract = {
  signature: { inputs: [fp32('x', -1, 30)], outputs: [fp32('probabilities', -1, 2)] },
  labels: { probabilities: ['legit', 'fraud'] },
  features: [
    { name: 'amount', input: 'x', column: 0, kind: 'numeric' },
    { name: 'country', input: 'x', column: 1, kind: 'categorical' },
  ],
};

function withInputs(...inputs: TensorSpec[]): Contract {
  return { ...old, signature: { ...old.signature, inputs } };
}

function withOutputs(...outputs: TensorSpec[]): Contract {
  return { ...old, signature: { ...old.signature, outputs } };
}

describe('a next version keeps the contract', () => {
  const kept: readonly (readonly [string, Contract])[] = [
    ['when nothing changes', old],
    ['when an input takes any size', withInputs(fp32('x', -1, -1))],
    ['when an output is fixed', withOutputs(fp32('probabilities', 1, 2))],
    ['when an output is added', withOutputs(fp32('extra', -1), fp32('probabilities', -1, 2))],
    ['when it says nothing about labels and features', { ...old, labels: {}, features: undefined }],
    ['when labels come for an output that had none', { ...old, labels: { ...old.labels, extra: ['a'] } }],
  ];
  for (const [name, next] of kept) it(name, () => assert.deepEqual(contractBreaches(old, next), []));

  it('when its inputs come in another order', () => {
    const [a, b] = [fp32('a', -1), fp32('b', -1)];
    assert.deepEqual(contractBreaches(withInputs(a, b), withInputs(b, a)), []);
  });
});

describe('a next version breaks the contract', () => {
  const broken: readonly (readonly [string, Contract, string])[] = [
    ['without an input', withInputs(), "input 'x': was FP32 [-1,30], is gone; callers send it"],
    [
      'with another input',
      withInputs(fp32('x', -1, 30), fp32('y', -1)),
      "input 'y': was not there, is FP32 [-1]; callers do not send it",
    ],
    [
      'when an input is of another datatype',
      withInputs({ ...fp32('x', -1, 30), datatype: 'FP64' }),
      "input 'x': was FP32 [-1,30], is FP64 [-1,30]; the datatype must stay",
    ],
    [
      'when an input has another rank',
      withInputs(fp32('x', -1, 30, 1)),
      "input 'x': was FP32 [-1,30], is FP32 [-1,30,1]; the number of dimensions must stay",
    ],
    [
      'when an input narrows',
      withInputs(fp32('x', 1, 30)),
      "input 'x': was FP32 [-1,30], is FP32 [1,30]; dimension 0 may become -1 and nothing else",
    ],
    [
      'when an input has another size',
      withInputs(fp32('x', -1, 31)),
      "input 'x': was FP32 [-1,30], is FP32 [-1,31]; dimension 1 may become -1 and nothing else",
    ],
    [
      'without an output',
      withOutputs(fp32('extra', -1)),
      "output 'probabilities': was FP32 [-1,2], is gone; callers read it",
    ],
    [
      'when an output widens',
      withOutputs(fp32('probabilities', -1, -1)),
      "output 'probabilities': was FP32 [-1,2], is FP32 [-1,-1]; dimension 1 may become fixed and nothing else",
    ],
    [
      'when labels change places',
      { ...old, labels: { probabilities: ['fraud', 'legit'] } },
      "labels of output 'probabilities': entry 0: was 'legit', is 'fraud'; they must stay, in their order",
    ],
    [
      'when there are more labels',
      { ...old, labels: { probabilities: ['legit', 'fraud', 'unsure'] } },
      "number of labels of output 'probabilities': was 2, is 3; they must stay, in their order",
    ],
    [
      'when features change places',
      { ...old, features: [...old.features!].reverse() },
      "features: entry 0: was 'amount' (numeric, x[0]), is 'country' (categorical, x[1]); they must stay, in their order",
    ],
    [
      'when a feature goes',
      { ...old, features: old.features!.slice(0, 1) },
      'number of features: was 2, is 1; they must stay, in their order',
    ],
  ];
  for (const [name, next, text] of broken) it(name, () => assert.deepEqual(contractBreaches(old, next), [text]));

  it('in several places, each told', () => {
    const next = { ...withInputs(fp32('y', -1)), labels: { probabilities: ['a', 'b'] } };
    assert.equal(contractBreaches(old, next).length, 3);
  });
});

it('what callers will not notice is a change all the same', () => {
  const next = { ...withInputs(fp32('x', -1, -1)), labels: {} };
  const more = { ...next.signature, outputs: [...old.signature.outputs, fp32('extra', -1)] };
  assert.deepEqual(contractChanges(old, { ...next, signature: more }), [
    { what: "input 'x'", from: 'FP32 [-1,30]', to: 'FP32 [-1,-1]', rule: undefined },
    { what: "output 'extra'", from: undefined, to: 'FP32 [-1]', rule: undefined },
  ]);
  assert.deepEqual(contractChanges(old, old), []);
});
