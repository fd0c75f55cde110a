/**
 * Every fixture does what its name says, in the runtime itself.
 *
 * Must not know our own engine: a fault there must not look like a fault here.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { DataType, TypedArray } from '../src/core/tensor.js';
import * as fixtures from './fixtures.js';

process.env.ORT_DISABLE_TELEMETRY = '1';
const ort = await import('onnxruntime-node');

const directory = mkdtempSync(join(tmpdir(), 'sluice-fixtures-'));
after(() => rmSync(directory, { recursive: true }));

let files = 0;
type Feed = readonly [type: string, data: TypedArray | readonly string[], dims: readonly number[]];

async function open(bytes: Buffer) {
  const file = join(directory, `${files++}.onnx`);
  writeFileSync(file, bytes);
  return ort.InferenceSession.create(file, { intraOpNumThreads: 1, logSeverityLevel: 4 });
}

async function run(bytes: Buffer, ...inputs: readonly Feed[]) {
  const session = await open(bytes);
  try {
    const tensors = inputs.map(([type, data, dims]) => new ort.Tensor(type as 'float32', data as Float32Array, dims));
    return await session.run(Object.fromEntries(tensors.map((tensor, index) => [`INPUT${index}`, tensor])));
  } finally {
    await session.release();
  }
}

const float = (values: readonly number[], dims: readonly number[]): Feed => [
  'float32',
  Float32Array.from(values),
  dims,
];
const int32 = (values: readonly number[], dims: readonly number[]): Feed => ['int32', Int32Array.from(values), dims];

const samples: Readonly<Record<Exclude<DataType, 'BF16'>, readonly [string, TypedArray | readonly string[]]>> = {
  BOOL: ['bool', Uint8Array.of(0, 1)],
  UINT8: ['uint8', Uint8Array.of(0, 255)],
  UINT16: ['uint16', Uint16Array.of(0, 65535)],
  UINT32: ['uint32', Uint32Array.of(0, 2 ** 32 - 1)],
  UINT64: ['uint64', BigUint64Array.of(0n, 2n ** 64n - 1n)],
  INT8: ['int8', Int8Array.of(-128, 127)],
  INT16: ['int16', Int16Array.of(-32768, 32767)],
  INT32: ['int32', Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
  INT64: ['int64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
  FP16: ['float16', Uint16Array.of(0x3c00, 0x7c00)],
  FP32: ['float32', Float32Array.of(-0, 1.5)],
  FP64: ['float64', Float64Array.of(Math.PI, Number.MAX_VALUE)],
  BYTES: ['string', ['', 'naïve ☃']],
};

describe('fixtures', () => {
  for (const datatype of fixtures.carriedTypes) {
    it(`identity of ${datatype} gives back what it got, of symbolic and of fixed shape`, async () => {
      const [type, data] = samples[datatype];
      for (const bytes of [fixtures.identity(datatype), fixtures.identity(datatype, [1, 2])]) {
        const { OUTPUT0 } = await run(bytes, [type, data, [1, 2]]);
        assert.equal(OUTPUT0!.type, type);
        assert.deepEqual(OUTPUT0!.dims, [1, 2]);
        assert.deepEqual(OUTPUT0!.data, data);
      }
    });
  }

  it('addSub adds and subtracts', async () => {
    const { OUTPUT0, OUTPUT1 } = await run(
      fixtures.addSub(),
      int32(Array(16).fill(3), [1, 16]),
      int32(Array(16).fill(5), [1, 16]),
    );
    assert.deepEqual([...(OUTPUT0!.data as Int32Array)], Array(16).fill(8));
    assert.deepEqual([...(OUTPUT1!.data as Int32Array)], Array(16).fill(-2));
  });

  it('scalar has shape [] on both sides', async () => {
    const { OUTPUT0 } = await run(fixtures.scalar(), float([2], []));
    assert.deepEqual(OUTPUT0!.dims, []);
    assert.deepEqual([...(OUTPUT0!.data as Float32Array)], [3]);
  });

  it('constantOnly runs without inputs', async () => {
    const { OUTPUT0 } = await run(fixtures.constantOnly());
    assert.deepEqual([...(OUTPUT0!.data as Float32Array)], [1, 2, 3]);
  });

  for (const sizes of [
    [30, 64, 32, 2],
    [784, 512, 512, 10],
  ]) {
    it(`dense ${sizes.join('-')} gives probabilities that differ by row, the same each time`, async () => {
      const random = fixtures.pseudoRandom(1);
      const input = float(Array.from({ length: 2 * sizes[0]! }, random), [2, sizes[0]!]);
      const first = (await run(fixtures.dense(sizes), input)).OUTPUT0!;
      const again = (await run(fixtures.dense(sizes), input)).OUTPUT0!;
      assert.deepEqual(first.dims, [2, sizes.at(-1)]);
      assert.deepEqual(first.data, again.data);
      const values = [...(first.data as Float32Array)];
      const [one, two] = [values.slice(0, sizes.at(-1)), values.slice(sizes.at(-1))];
      for (const row of [one, two]) assert.ok(Math.abs(row.reduce((sum, value) => sum + value, 0) - 1) < 1e-5);
      assert.notDeepEqual(one, two);
    });
  }

  it('divInt divides, and refuses a zero cleanly', async () => {
    const { OUTPUT0 } = await run(fixtures.divInt(), int32([7, -7], [1, 2]), int32([2, 2], [1, 2]));
    assert.deepEqual([...(OUTPUT0!.data as Int32Array)], [3, -3]);
    await assert.rejects(run(fixtures.divInt(), int32([1], [1, 1]), int32([0], [1, 1])), /zero/i);
  });

  it('divInt of INT_MIN by −1 ends its process by a signal', async () => {
    const file = join(directory, 'div.onnx');
    writeFileSync(file, fixtures.divInt());
    const { signal } = await inChild(`
      const session = await ort.InferenceSession.create(${JSON.stringify(file)});
      const feed = (value) => new ort.Tensor('int32', Int32Array.of(value), [1, 1]);
      await session.run({ INPUT0: feed(-(2 ** 31)), INPUT1: feed(-1) });`);
    assert.equal(signal, 'SIGFPE');
  });

  it('nanOut gives NaN and infinity for 0', async () => {
    const { OUTPUT0, OUTPUT1 } = await run(fixtures.nanOut(), float([0, 2], [1, 2]));
    assert.deepEqual([...(OUTPUT0!.data as Float32Array)], [Number.NaN, 1]);
    assert.deepEqual([...(OUTPUT1!.data as Float32Array)], [Number.POSITIVE_INFINITY, 0.5]);
  });

  it('loopForever ends at once when nothing is above 0', async () => {
    const { OUTPUT0 } = await run(fixtures.loopForever(), float([-1, 0], [2, 1]));
    assert.deepEqual([...(OUTPUT0!.data as Float32Array)], [-1, 0]);
  });

  it('loopForever does not end by itself otherwise', async () => {
    const file = join(directory, 'loop.onnx');
    writeFileSync(file, fixtures.loopForever());
    const { signal, stdout } = await inChild(
      `const session = await ort.InferenceSession.create(${JSON.stringify(file)});
       process.stdout.write('runs');
       await session.run({ INPUT0: new ort.Tensor('float32', Float32Array.of(1), [1, 1]) });
       process.stdout.write(' and ended');`,
      'runs',
    );
    assert.equal(signal, 'SIGKILL');
    assert.equal(stdout, 'runs');
  });

  it('slow takes longer for more trips and gives back its input', async () => {
    const session = await open(fixtures.slow());
    const timed = async (trips: number) => {
      const startedAt = performance.now();
      const { OUTPUT0 } = await session.run({ INPUT0: new ort.Tensor('float32', Float32Array.of(trips), [1, 1]) });
      assert.deepEqual([...(OUTPUT0!.data as Float32Array)], [trips]);
      return performance.now() - startedAt;
    };
    const few = Math.min(await timed(1), await timed(1), await timed(1), await timed(1));
    assert.ok((await timed(3000)) > few);
    await session.release();
  });

  it('failsBeyondZero answers 7 for zeros and refuses everything else', async () => {
    const { OUTPUT0 } = await run(fixtures.failsBeyondZero(), float([0, 0], [1, 2]));
    assert.deepEqual([...(OUTPUT0!.data as Float32Array)], [7, 7]);
    await assert.rejects(run(fixtures.failsBeyondZero(), float([0, 3], [1, 2])), /idx=3|out of bounds|must be within/);
  });

  it('rangeByInput answers as many elements as it is told', async () => {
    const { OUTPUT0 } = await run(fixtures.rangeByInput(), ['int64', BigInt64Array.of(4n), [1]]);
    assert.deepEqual([...(OUTPUT0!.data as BigInt64Array)], [0n, 1n, 2n, 3n]);
  });

  it('mixesRows gives a row another answer in company', async () => {
    const alone = await run(fixtures.mixesRows(), float([1, 2], [1, 2]));
    const together = await run(fixtures.mixesRows(), float([1, 2, 30, 40], [2, 2]));
    assert.deepEqual([...(alone.OUTPUT0!.data as Float32Array)], [2, 4]);
    assert.deepEqual([...(together.OUTPUT0!.data as Float32Array)], [16.5, 23, 45.5, 61]);
  });

  it('refusesShape takes rows of 4 and fails in the run for others', async () => {
    const { OUTPUT0 } = await run(fixtures.refusesShape(), float([1, 2, 3, 4], [1, 4]));
    assert.deepEqual(OUTPUT0!.dims, [1, 2, 2]);
    await assert.rejects(run(fixtures.refusesShape(), float([1, 2, 3], [1, 3])), /reshape/i);
  });

  it('noBatch and twoDynamicDims give back what they got', async () => {
    const fixed = await run(fixtures.noBatch(), float(Array(12).fill(1), [4, 3]));
    assert.deepEqual(fixed.OUTPUT0!.dims, [4, 3]);
    const open = await run(fixtures.twoDynamicDims(), float(Array(12).fill(1), [2, 3, 2]));
    assert.deepEqual(open.OUTPUT0!.dims, [2, 3, 2]);
    await assert.rejects(run(fixtures.noBatch(), float([1, 1, 1], [1, 3])), /dimension/i);
  });

  it('sequenceOut and zipMapOut load, although their outputs cannot be carried; bf16 does not', async () => {
    for (const bytes of [fixtures.sequenceOut(), fixtures.zipMapOut()]) await (await open(bytes)).release();
    await assert.rejects(open(fixtures.bf16()), /Unsupported data type: 16/);
  });

  it('externalWeight reads the file beside it', async () => {
    writeFileSync(join(directory, 'weights.bin'), new Uint8Array(Float32Array.of(10).buffer));
    const { OUTPUT0 } = await run(fixtures.externalWeight(), float([1], [1, 1]));
    assert.deepEqual([...(OUTPUT0!.data as Float32Array)], [11]);
    await assert.rejects(open(fixtures.externalWeight('elsewhere.bin')));
  });

  it('truncated, garbage and empty files are refused', async () => {
    for (const bytes of [fixtures.truncated(), fixtures.garbage(), Buffer.alloc(0)]) await assert.rejects(open(bytes));
  });
});

/** Runs a script that has `ort` in a child process; half a second after it has written `last`, it is killed. */
function inChild(script: string, last?: string): Promise<{ signal: string | null; stdout: string }> {
  const source = `const ort = await import(${JSON.stringify(import.meta.resolve('onnxruntime-node'))}); ${script}`;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let stdout = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (stdout === last) setTimeout(() => child.kill('SIGKILL'), 500);
    });
    child.on('close', (_code, signal) => resolve({ signal, stdout }));
  });
}
