/** Golden samples through the real probe child: alone, in company, and again under the same record. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GoldenSample } from '../src/core/admission.js';
import { defaultTolerance } from '../src/core/agreement.js';
import type { Candidate } from '../src/engine/probe.js';
import { requestOf, responseOf } from '../src/registry/golden.js';
import { startAdmission, type Tried } from './admission-child.js';
import * as fixtures from './fixtures.js';
import { graph, model, node, tensor, value } from './onnx-writer.js';

const float = (name: string, ...rows: number[][]) => ({
  name,
  datatype: 'FP32' as const,
  shape: [rows.length, rows[0]!.length],
  data: Float32Array.from(rows.flat()),
});

/** INPUT0 and what OUTPUT0 should be. */
function sampleOf(input: number[], output: number[], name = 'golden/0.json'): GoldenSample {
  return {
    name,
    inputs: [float('INPUT0', input)],
    requested: undefined,
    outputs: [float('OUTPUT0', output)],
    tolerance: defaultTolerance,
  };
}

async function refusedWith(admit: Tried['admit'], model: Buffer, terms: Partial<Candidate>): Promise<string> {
  const verdict = await admit(model, terms);
  assert.ok(!verdict.ok, 'it was admitted');
  assert.equal(verdict.code, 'golden');
  return verdict.reason;
}

const elements: Readonly<Record<string, string>> = {
  BOOL: '[true,false]',
  INT64: '[-9223372036854775808,9007199254740993]',
  UINT64: '[0,18446744073709551615]',
  FP16: '[0.5,65504]',
  FP32: '[0.1,NaN]',
  FP64: '[0.1,-Infinity]',
  BYTES: '["a","ä"]',
};

test('a model answers its golden samples in all thirteen datatypes', async (context) => {
  const { admit } = startAdmission(context);
  for (const datatype of fixtures.carriedTypes) {
    const tensor = (name: string) =>
      `[{"name":"${name}","datatype":"${datatype}","shape":[1,2],"data":${elements[datatype] ?? '[0,101]'}}]`;
    const sample: GoldenSample = {
      name: 'golden/0.json',
      ...requestOf('golden/0.json', `{"inputs":${tensor('INPUT0')}}`),
      outputs: responseOf('golden/0.out.json', `{"outputs":${tensor('OUTPUT0')}}`),
      tolerance: { atol: 0, rtol: 0 },
    };
    const verdict = await admit(fixtures.identity(datatype), { isBatched: true, rowsMax: 4, golden: [sample] });
    assert.ok(verdict.ok, `${datatype}: ${JSON.stringify(verdict)}`);
    assert.equal(verdict.record.outputsSha256.length, 1);
  }
});

test('an answer other than promised is refused with sample, output, element, expected and got', async (context) => {
  const { admit } = startAdmission(context);
  const golden = [sampleOf([1, 2], [1, 2]), sampleOf([3, 4], [3, 4.5], 'golden/1.json')];
  assert.match(
    await refusedWith(admit, fixtures.identity(), { golden }),
    /^golden\/1\.json: output 'OUTPUT0', element 1: expected 4\.5, got 4, allowed ±0\.00045/,
  );
});

test('a sample that does not fit the model is refused by name', async (context) => {
  const { admit } = startAdmission(context);
  const good = sampleOf([1, 2], [1, 2]);
  const cases: readonly (readonly [Partial<GoldenSample>, RegExp])[] = [
    [{ inputs: [float('x', [1, 2])] }, /^golden\/0\.json: input 'x' is not in the model/],
    [{ inputs: [] }, /^golden\/0\.json: input 'INPUT0' of the model is missing/],
    [
      { inputs: [{ ...float('INPUT0', [1, 2]), datatype: 'INT32', data: Int32Array.of(1, 2) }] },
      /^golden\/0\.json: input 'INPUT0' is INT32, but the model expects FP32/,
    ],
    [{ inputs: [{ ...float('INPUT0', [1, 2]), shape: [2] }] }, /^golden\/0\.json: onnx runtime error: .*rank/i],
    [{ outputs: [] }, /^golden\/0\.json: output 'OUTPUT0' is not in the expected response/],
    [{ outputs: [float('OUTPUT0', [1], [2])] }, /expected shape \[2,1\], got \[1,2\]/],
    [{ requested: ['y'] }, /^golden\/0\.json: output 'y' is not in the model/],
    [
      { outputs: [float('OUTPUT0', [1, 2]), float('y', [1])] },
      /^golden\/0\.json: output 'y' is expected but was not asked for/,
    ],
  ];
  for (const [part, reason] of cases) {
    assert.match(await refusedWith(admit, fixtures.identity(), { golden: [{ ...good, ...part }] }), reason);
  }
});

test('outputs that were not asked for need not be promised', async (context) => {
  const { admit } = startAdmission(context);
  const sample = {
    ...sampleOf([1, 2], [4, 6]),
    inputs: [float('INPUT0', [1, 2]), float('INPUT1', [3, 4])],
    requested: ['OUTPUT0'],
  };
  const verdict = await admit(fixtures.addSub('FP32', ['batch', 2]), { golden: [sample] });
  assert.equal(verdict.ok, true, JSON.stringify(verdict));
});

/** Alone a row is its own mean. */
const mixed = [sampleOf([1, 2], [2, 4]), sampleOf([5, 6], [10, 12], 'golden/1.json')];
const alone = mixed.slice(0, 1);

test('a configured batch whose rows depend on each other is refused, for one sample and for several', async (context) => {
  const { admit } = startAdmission(context);
  const terms = { isBatched: true, rowsMax: 8 };
  for (const golden of [mixed, alone]) {
    assert.match(
      await refusedWith(admit, fixtures.mixesRows(), { ...terms, golden }),
      /^golden\/0\.json in a batch of 8 rows: output 'OUTPUT0', element 0: expected 2, got /,
    );
  }
  assert.equal(
    (await admit(fixtures.mixesRows(), { golden: mixed })).ok,
    true,
    'one request at a time it may be served',
  );
});

/** OUTPUT0 = INPUT0 + what the highest of all rows has above 10: made-up values stay below. */
function mixesLargeRows(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', ['batch', 2])],
      outputs: [value('OUTPUT0', 'FP32', ['batch', 2])],
      nodes: [
        node('ReduceMax', ['INPUT0'], ['highest'], { axes: { ints: [0] }, keepdims: { int: 1 } }),
        node('Sub', ['highest', 'ten'], ['above']),
        node('Relu', ['above'], ['added']),
        node('Add', ['INPUT0', 'added'], ['OUTPUT0']),
      ],
      initializers: [tensor('ten', 'FP32', [1], new Uint8Array(Float32Array.of(10).buffer))],
    }),
  );
}

test('batches that only the shapes suggest are given up instead', async (context) => {
  const { admit } = startAdmission(context);
  const golden = [sampleOf([5, 6], [5, 6]), sampleOf([50, 60], [90, 110], 'golden/1.json')];
  const terms = { isBatched: true, rowsMax: 8, golden };
  const reason = /^golden\/0\.json in a batch of 8 rows: output 'OUTPUT0', element 0: expected 5, got 45/;
  assert.match(await refusedWith(admit, mixesLargeRows(), terms), reason);
  const verdict = await admit(mixesLargeRows(), { ...terms, needsBatchTrial: true });
  assert.ok(verdict.ok);
  assert.match(verdict.notBatched!, reason);
  assert.deepEqual(
    verdict.runTimes.map(({ rows }) => rows),
    [0],
  );
});

test('a batch of rows that do not know each other is the same as each alone', async (context) => {
  const { admit } = startAdmission(context);
  const golden = [sampleOf([1, 2], [1, 2]), sampleOf([5, 6], [5, 6], 'golden/1.json')];
  for (const rowsMax of [1, 2, 7]) {
    const verdict = await admit(fixtures.identity(), { isBatched: true, rowsMax, golden });
    assert.equal(verdict.ok, true, JSON.stringify(verdict));
  }
});

test('under the same fingerprint the answers must be those on record, bit for bit', async (context) => {
  const { admit } = startAdmission(context);
  const golden = [sampleOf([1, 2], [1, 2]), sampleOf([5, 6], [5, 6], 'golden/1.json')];
  const first = await admit(fixtures.identity(), { golden });
  assert.ok(first.ok);
  const { record } = first;
  assert.match(
    record.fingerprint,
    /^onnxruntime \d+\.\d+\.\d+, cpu, \w+ [0-9a-f]{16}, intra-op 1, optimization all, seq/,
  );
  assert.deepEqual(
    await admit(fixtures.identity(), { golden, record }).then((again) => again.ok && again.record),
    record,
  );

  const other = { ...record, outputsSha256: [record.outputsSha256[0]!, 'f'.repeat(64)] };
  assert.match(
    await refusedWith(admit, fixtures.identity(), { golden, record: other }),
    /^golden\/1\.json: the outputs have sha256 [0-9a-f]{64}, but f{64} on record from the same runtime/,
  );
  assert.equal((await admit(fixtures.identity(), { golden, record: { ...other, fingerprint: 'another' } })).ok, true);
  assert.match(
    await refusedWith(admit, fixtures.identity(), { golden, record: { ...record, outputsSha256: [] } }),
    /there are 2 golden samples, but 0 on record/,
  );
});

test('a bit within the tolerance is still not the bit on record', async (context) => {
  const { admit } = startAdmission(context);
  const close = [sampleOf([1, 2.0001], [1, 2])];
  const verdict = await admit(fixtures.identity(), { golden: [sampleOf([1, 2], [1, 2])] });
  assert.ok(verdict.ok);
  assert.equal((await admit(fixtures.identity(), { golden: close })).ok, true);
  assert.match(await refusedWith(admit, fixtures.identity(), { golden: close, record: verdict.record }), /on record/);
});
