/** The versions of a process: which threads it says are on their way. Real sessions; the router is a list. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sessionPolicy } from '../bench/suite/session-policy.js';
import { loadConfig } from '../src/config/load.js';
import type { RunTime, VersionSpec } from '../src/core/model.js';
import { Instances } from '../src/gateway/instances.js';
import type { FromGateway } from '../src/ipc.js';
import { Drains } from '../src/observe/drains.js';
import { Router } from '../src/routing/router.js';
import { batchPolicy } from './batch-fixture.js';
import { identity } from './fixtures.js';
import { freshDirectory } from './system/server.js';

function specOf(context: TestContext, version: string, runTimes: readonly RunTime[]): VersionSpec {
  const file = join(freshDirectory(context), 'model.onnx');
  writeFileSync(file, identity('FP32', ['batch', 3]));
  const tensor = (name: string) => ({ name, datatype: 'FP32', shape: [-1, 3] }) as const;
  return {
    id: { model: 'm', version },
    directory: '',
    file,
    signature: { inputs: [tensor('INPUT0')], outputs: [tensor('OUTPUT0')] },
    batch: batchPolicy({ rowsMax: 4 }),
    session: sessionPolicy,
    instances: 1,
    rank: 'primary',
    isBounded: true,
    runTimes,
    config: {} as VersionSpec['config'],
    labels: {},
    properties: {},
  };
}

test('threads are told as starting until they are there, and not of a version that runs inline', async (context) => {
  const told: FromGateway[] = [];
  const now = () => performance.now();
  const instances = new Instances({
    config: loadConfig({ file: { name: 'sluice.yaml', text: '' } }).config,
    marks: join(freshDirectory(context), 'marks'),
    router: new Router({ observe: () => {}, now, want: () => assert.fail('nobody asks') }),
    observe: () => {},
    drains: new Drains(now),
    now,
    tell: (message) => void told.push(message),
  });
  context.after(() => instances.close());
  const threads = () => {
    const { startingThreads, versions } = instances.gauges();
    return [startingThreads, ...versions.map((version) => version.threads)];
  };
  const short = [
    { rows: 1, runUs: 5 },
    { rows: 4, runUs: 8 },
  ];
  instances.open(specOf(context, '1', short));
  assert.deepEqual(threads(), [0]);
  await untilTold(told, 1);
  assert.deepEqual(threads(), [0, 0]);
  instances.open(specOf(context, '2', []));
  while (threads()[0] === 0) await new Promise(setImmediate);
  assert.deepEqual(threads(), [1, 0]);
  await untilTold(told, 2);
  assert.deepEqual(threads(), [0, 0, 1]);
});

async function untilTold(told: readonly FromGateway[], count: number): Promise<void> {
  while (told.length < count) await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.deepEqual(new Set(told.map(({ kind }) => kind)), new Set(['opened']));
}
