/** Models that crash, hang, eat memory or cannot be carried, through the real probe child: each a refusal with its code. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { GoldenSample } from '../src/core/admission.js';
import { Admission, trialBytesMax } from '../src/registry/admission.js';
import { probeEntry, startAdmission, unlessThere } from './admission-child.js';
import * as fixtures from './fixtures.js';
import { graph, model, node, tensor, value } from './onnx-writer.js';
import { freshDirectory } from './system/server.js';

const mebibyte = 2 ** 20;

/** OUTPUT0 = INPUT0 + the sum of 4 GB of ones that it makes in every run. */
function memoryHog(): Buffer {
  const count = new Uint8Array(BigInt64Array.of(1_000_000_000n).buffer);
  const one = new Uint8Array(Float32Array.of(1).buffer);
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', ['batch', 1])],
      outputs: [value('OUTPUT0', 'FP32', ['batch', 1])],
      nodes: [
        node('ConstantOfShape', ['count'], ['ones'], { value: { tensor: tensor('', 'FP32', [1], one) } }),
        node('ReduceSum', ['ones'], ['sum'], { keepdims: { int: 0 } }),
        node('Add', ['INPUT0', 'sum'], ['OUTPUT0']),
      ],
      initializers: [tensor('count', 'INT64', [1], count)],
    }),
  );
}

function int32(name: string, element: number) {
  return { name, datatype: 'INT32', shape: [1, 1], data: Int32Array.of(element) } as const;
}

const deadly: GoldenSample = {
  name: 'golden/0.json',
  inputs: [int32('INPUT0', -(2 ** 31)), int32('INPUT1', -1)],
  requested: undefined,
  outputs: [int32('OUTPUT0', 0)],
  tolerance: { atol: 0, rtol: 0 },
};

test('a model that kills its process is refused as crashed, with the signal, and the next one is admitted', async (context) => {
  const { admit } = startAdmission(context);
  await assert.rejects(admit(fixtures.divInt(), { golden: [deadly] }), {
    kind: 'crashed',
    code: 'FAILED_PRECONDITION',
    message: 'crashed while it was tried out (SIGFPE)',
  });
  assert.equal((await admit(fixtures.identity())).ok, true);
});

test('a model that never returns is refused at the limit, and the next one is admitted', async (context) => {
  const { admit } = startAdmission(context, { timeoutMs: 3000 });
  await assert.rejects(admit(fixtures.loopForever()), {
    kind: 'timeout',
    message: 'did not finish its trial within 3000 ms',
  });
  assert.equal((await admit(fixtures.identity())).ok, true);
});

test('under prlimit an allocation beyond the limit fails inside, and both numbers are told', {
  skip: unlessThere('/usr/bin/prlimit'),
}, async (context) => {
  const { admit } = startAdmission(context);
  const verdict = await admit(memoryHog(), {}, 512 * mebibyte);
  assert.ok(!verdict.ok);
  assert.equal(verdict.code, 'memory');
  assert.match(
    verdict.reason,
    /^ran out of memory while it was tried out, with \d+ MiB of 512 MiB allowed: .*4000000000/s,
  );
});

test('a child that ends because it gets no more memory is a matter of memory, not a crash', {
  skip: unlessThere('/usr/bin/prlimit'),
}, async (context) => {
  const entry = growing(freshDirectory(context));
  const admission = new Admission<object, number>({ entry, timeoutMs: 60_000, idleMs: 60_000 });
  context.after(() => admission.close());
  // Objects of JavaScript, for which V8 ends the process when it gets no memory.
  await assert.rejects(admission.admit({ mebibytes: 0, hasObjects: true }, 300 * mebibyte), {
    kind: 'memory',
    message: /^ran out of memory while it was tried out \(\w+\), last seen with \d+ of 300 MiB allowed$/,
  });
});

test('without prlimit the memory of the child is watched, and both numbers are told', {
  skip: unlessThere('/proc/self/status'),
}, async (context) => {
  const { admit } = startAdmission(context, { usesPrlimit: false });
  await assert.rejects(admit(memoryHog(), {}, 512 * mebibyte), {
    kind: 'memory',
    message: /^took \d{3,4} MiB of memory while it was tried out, 512 MiB are allowed$/,
  });
  assert.equal((await admit(fixtures.identity())).ok, true);
});

test('a model may take 4 GiB, or four times its own bytes and half a GiB', () => {
  assert.equal(trialBytesMax(0), 4096 * mebibyte);
  assert.equal(trialBytesMax(896 * mebibyte), 4096 * mebibyte);
  assert.equal(trialBytesMax(897 * mebibyte), 4100 * mebibyte);
});

const refusals = [
  ['bytes that are no model', fixtures.garbage(), 'parse', /Protobuf parsing failed/],
  ['a model cut off in the middle', fixtures.truncated(), 'parse', /Protobuf parsing failed/],
  ['an empty file', Buffer.alloc(0), 'parse', /does not have a graph/],
  ['an operator that does not exist', nonsense(), 'unsupported', /No Op registered for Nonsense/],
  ['a sequence of maps', fixtures.zipMapOut(), 'unsupported', /output 'OUTPUT0' .*zipmap=False/],
  ['a datatype that cannot be carried', fixtures.bf16(), 'unsupported', /'INPUT0' has ONNX element type 16/],
  ['external data that is not there', fixtures.externalWeight(), 'external_data', /does not exist/],
] as const;

function nonsense(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', [1])],
      outputs: [value('OUTPUT0', 'FP32', [1])],
      nodes: [node('Nonsense', ['INPUT0'], ['OUTPUT0'])],
    }),
  );
}

test('what the runtime cannot open is refused with a code and its words', async (context) => {
  const { admit } = startAdmission(context);
  for (const [what, bytes, code, reason] of refusals) {
    const verdict = await admit(bytes);
    assert.ok(!verdict.ok, what);
    assert.equal(verdict.code, code, `${what}: ${verdict.reason}`);
    assert.match(verdict.reason, reason, what);
  }
});

test('a signature other than the runtime sees is refused with the tensor, and a narrower one is not', async (context) => {
  const { admit } = startAdmission(context);
  const named = (name: string, shape: number[]) => [{ name, datatype: 'FP32', shape }] as const;
  const tried = (shape: number[], output = 'OUTPUT0') =>
    admit(fixtures.identity('FP32', ['batch', 4]), {
      signature: { inputs: named('INPUT0', shape), outputs: named(output, shape) },
    });
  assert.equal((await tried([-1, 4])).ok, true);
  assert.equal((await tried([2, 4])).ok, true);
  const wrong = await tried([-1, 5]);
  assert.ok(!wrong.ok);
  assert.equal(wrong.code, 'signature_mismatch');
  assert.match(wrong.reason, /input 'INPUT0' is FP32 \[-1,4\], expected FP32 \[-1,5\]/);
  const other = await tried([-1, 4], 'OUTPUT1');
  assert.ok(!other.ok);
  assert.match(other.reason, /output 'OUTPUT1' is nothing, expected FP32 \[-1,4\]/);
});

test('every batch size is run once, the preferred ones and the largest too', async (context) => {
  const { admit } = startAdmission(context);
  const rowsOf = async (isBatched: boolean) => {
    const verdict = await admit(fixtures.dense(), { isBatched, rowsMax: 64, preferredRows: [32, 8, 128] });
    assert.ok(verdict.ok);
    assert.ok(verdict.openMs > 0 && verdict.peakRssBytes > 20 * mebibyte);
    assert.ok(verdict.runTimes.every(({ runUs }) => runUs > 0));
    return verdict.runTimes.map(({ rows }) => rows);
  };
  assert.deepEqual(await rowsOf(true), [1, 8, 32, 64]);
  assert.deepEqual(await rowsOf(false), [0]);
});

test('the memory that a trial took is its own: not that of another one before it, nor of this process', {
  skip: unlessThere('/proc/self/clear_refs'),
}, async (context) => {
  const { admit } = startAdmission(context);
  const peakOf = async (bytes: Buffer) => {
    const verdict = await admit(bytes);
    assert.ok(verdict.ok);
    return verdict.peakRssBytes / mebibyte;
  };
  const held = Buffer.alloc(process.memoryUsage.rss() > 160 * mebibyte ? 0 : 160 * mebibyte, 1);
  const before = await peakOf(fixtures.identity());
  const large = await peakOf(fixtures.dense([30, 2000, 2000, 2]));
  const after = await peakOf(fixtures.identity());
  assert.ok(before < 120, `${before} MiB, while this process holds ${held.length} bytes more`);
  assert.ok(large > before + 15, `${large} MiB with 16 MB of weights, ${before} without`);
  assert.ok(after < large - 10, `${after} MiB after it, ${large} with it`);
  context.diagnostic(`${[before, large, after].map(Math.round)} MiB`);
});

/** An entry of our own in the place of the probe: what does a child see of its world? */
function entryOf(directory: string, code: string): URL {
  const file = join(directory, 'entry.mjs');
  writeFileSync(file, code);
  return pathToFileURL(file);
}

test('the child has nothing of our environment, an empty home and a low standing', async (context) => {
  const entry = entryOf(
    freshDirectory(context),
    `import { readdirSync } from 'node:fs';
     import { getPriority } from 'node:os';
     process.on('message', () => {
       const { HOME, PATH, ...rest } = process.env;
       process.send({ HOME, rest, home: readdirSync(HOME), nice: getPriority() });
     });`,
  );
  process.env.SLUICE_TEST_SECRET = 'secret';
  context.after(() => {
    delete process.env.SLUICE_TEST_SECRET;
  });
  const admission = new Admission<object, Record<string, unknown>>({ entry, timeoutMs: 60_000, idleMs: 5000 });
  context.after(() => admission.close());
  const { HOME, ...seen } = await admission.admit({});
  assert.notEqual(HOME, process.env.HOME);
  assert.deepEqual(seen, { rest: { ORT_DISABLE_TELEMETRY: '1' }, home: [], nice: 10 });
});

/** Answers with its pid, unless it is to be silent, after it has held so many MiB for a moment. */
function growing(directory: string): URL {
  return entryOf(
    directory,
    `process.on('message', ({ mebibytes, isSilent, hasObjects }) => {
       for (let all = []; hasObjects; ) all.push(new Array(1000).fill(0.5));
       Buffer.alloc(mebibytes * 2 ** 20, 1);
       if (!isSilent) process.send(process.pid);
     });`,
  );
}

test('a child is kept for the next candidate unless it has grown or the limit is another', async (context) => {
  const entry = growing(freshDirectory(context));
  const admission = new Admission<object, number>({ entry, timeoutMs: 60_000, idleMs: 60_000 });
  context.after(() => admission.close());
  const tried = (mebibytes: number, bytesMax: number) => admission.admit({ mebibytes }, bytesMax);
  const first = await tried(1, 1024 * mebibyte);
  assert.equal(await tried(256, 1024 * mebibyte), first);
  const second = await tried(1, 1024 * mebibyte);
  assert.notEqual(second, first);
  assert.notEqual(await tried(1, 2048 * mebibyte), second);
});

test('memory is looked at while a trial lasts, and once more when it has ended', {
  skip: unlessThere('/proc/self/status'),
}, async (context) => {
  const entry = growing(freshDirectory(context));
  const admission = new Admission<object, number>({ entry, timeoutMs: 20_000, idleMs: 60_000, usesPrlimit: false });
  context.after(() => admission.close());
  const tried = (isSilent: boolean) => admission.admit({ mebibytes: 256, isSilent }, 200 * mebibyte);
  await assert.rejects(tried(true), { kind: 'memory' });
  // Now nobody looks meanwhile.
  context.mock.timers.enable({ apis: ['setInterval'] });
  await assert.rejects(tried(false), { kind: 'memory' });
});

test('an empty home stays empty while a model is tried', async (context) => {
  const entry = entryOf(
    freshDirectory(context),
    `import { readdirSync } from 'node:fs';
     const send = process.send.bind(process);
     process.send = (verdict) => send({ ...verdict, home: readdirSync(process.env.HOME) });
     await import(${JSON.stringify(probeEntry.href)});`,
  );
  const { admit } = startAdmission(context, { entry });
  const verdict = await admit(fixtures.dense());
  assert.equal(verdict.ok, true, JSON.stringify(verdict));
  assert.deepEqual((verdict as unknown as { home: string[] }).home, []);
});

test('a trial that is broken off is not a refusal of the version', async (context) => {
  const { admit, admission } = startAdmission(context);
  const trial = admit(fixtures.loopForever());
  const broken = assert.rejects(trial, { code: 'UNAVAILABLE', message: 'its trial was broken off' });
  setImmediate(() => admission.close());
  await broken;
});
