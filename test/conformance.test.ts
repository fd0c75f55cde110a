/**
 * One list of V2 cases, asked of a real gateway over every transport that loads here, in every form that it has.
 *
 * What framing and codecs do with bytes is tested beside them; here is what only the whole can show: values through the real
 * runtime, queues, batches, refusals of load, the words of client libraries.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { loadUws } from '../src/http/uws-build.js';
import { type Case, cases } from './conformance/cases.js';
import { checkGrpcClients, checkHttpClients } from './conformance/clients.js';
import { checkCompression } from './conformance/compression.js';
import { type Answered, type Door, grpcDoor, httpDoor } from './conformance/doors.js';
import { checkDraining, checkLoading } from './conformance/lifecycle.js';
import {
  checkBatches,
  checkDeadlines,
  checkFullQueue,
  checkGrpcCancellation,
  checkHttpCancellation,
} from './conformance/load.js';
import { writeCrowded, writeModels, writeSmall } from './conformance/models.js';
import { checkGrpcShapes, checkShapes, checkStatistics } from './conformance/shapes.js';
import { freshDirectory, type Server, startServer } from './system/server.js';

const engines = ['uws-glibc227', 'node', 'uws'] as const;

function check(expected: Case, answered: Answered): void {
  if (expected.code !== undefined) {
    assert.equal(answered.code, expected.code, answered.text);
    if (expected.text instanceof RegExp) assert.match(answered.text, expected.text);
    else if (expected.text !== undefined) assert.equal(answered.text, expected.text);
    return;
  }
  assert.equal(answered.code, 'OK', answered.text);
  assert.equal(answered.model, expected.send.model);
  assert.equal(answered.id, expected.send.id ?? '');
  if (expected.version !== undefined) assert.equal(answered.version, expected.version);
  const shown = ({ name, datatype, shape, bytes }: (typeof answered.outputs)[number]) => ({
    name,
    datatype,
    shape,
    bytes: expected.isAnyNaN ? bytes.toString('hex').replaceAll('0000c0ff', '0000c07f') : bytes.toString('hex'),
  });
  assert.deepEqual(answered.outputs.map(shown), (expected.outputs ?? []).map(shown));
}

async function askAll(context: TestContext, door: Door): Promise<void> {
  for (const form of door.forms) {
    for (const row of cases.filter(({ forms }) => forms?.includes(form) ?? true)) {
      if (form === 'typed' && row.send.inputs.some(({ datatype }) => datatype === 'FP16')) continue;
      await context.test(`${form}: ${row.name}`, async () => check(row, await door.infer(form, row.send)));
    }
  }
}

async function startAll(context: TestContext, engine: string): Promise<Server> {
  const flags = [
    '--http-engine',
    engine,
    '--models-version-policy',
    'all',
    '--engine-instances',
    '1',
    '--batching-default-timeout-ms',
    '20000',
  ];
  const server = await startServer({ models: writeModels(freshDirectory(context)), flags, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

async function askOverGrpc(context: TestContext, server: Server): Promise<void> {
  const door = grpcDoor(server.grpc);
  context.after(() => door.close());
  await askAll(context, door);
  await checkGrpcShapes(context, door);
  await checkGrpcClients(context, door);
  await checkBatches(context, door);
  await checkDeadlines(context, door);
  await checkGrpcCancellation(context, door, server.admin);
  door.close();
}

for (const engine of engines) {
  const isAbsent = engine !== 'node' && loadUws(engine) === undefined;
  const skip = isAbsent ? `the build ${engine} does not load on this system` : false;
  test(`the list over HTTP on ${engine}${engine === 'node' ? ', and over gRPC' : ''}`, { skip }, async (context) => {
    const server = await startAll(context, engine);
    const door = httpDoor(server.http);
    await askAll(context, door);
    await checkShapes(context, server.http);
    await checkStatistics(context, server.http);
    await checkHttpClients(context, server.http);
    await checkCompression(context, server.http);
    await checkBatches(context, door);
    await checkDeadlines(context, door);
    await checkHttpCancellation(context, door, server);
    if (engine === 'node') await askOverGrpc(context, server);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
}

for (const [overloadStatus, nonFinite, tokens] of [
  [429, 'null', '[null,null],[null,null]'],
  [503, 'string', '["NaN","NaN"],["Infinity","-Infinity"]'],
] as const) {
  test(`overload_status ${overloadStatus}, json.non_finite ${nonFinite}`, async (context) => {
    const flags = [
      '--overload-status',
      String(overloadStatus),
      '--json-non-finite',
      nonFinite,
      '--engine-instances',
      '1',
    ];
    const server = await startServer({ models: writeCrowded(freshDirectory(context)), flags, processes: 1 });
    context.after(() => server.kill('SIGKILL'));
    const [http, grpc] = [httpDoor(server.http), grpcDoor(server.grpc)];
    context.after(() => grpc.close());
    const code = overloadStatus === 429 ? 'RESOURCE_EXHAUSTED' : 'UNAVAILABLE';
    await checkFullQueue(context, http, { code, retryAfter: '1' });
    await checkFullQueue(context, grpc, { code });
    const timeoutCode = overloadStatus === 429 ? 'DEADLINE_EXCEEDED' : 'UNAVAILABLE';
    await checkDeadlines(context, http, timeoutCode);
    await checkDeadlines(context, grpc, timeoutCode);
    await context.test(`what JSON has no number for is written as ${tokens}`, async () => {
      const body = '{"inputs":[{"name":"INPUT0","shape":[1,2],"datatype":"FP32","data":[0,-0.0]}]}';
      const reply = await fetch(`${server.http}/v2/models/non_finite/infer`, { method: 'POST', body });
      const { outputs } = (await reply.json()) as { outputs: { data: unknown }[] };
      assert.equal(outputs.map(({ data }) => JSON.stringify(data)).join(','), tokens);
    });
    grpc.close();
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
}

test('load and unload by calls', async (context) => {
  const flags = ['--load', 'explicit', '--engine-instances', '1'];
  const server = await startServer({ models: writeSmall(freshDirectory(context)), flags });
  context.after(() => server.kill('SIGKILL'));
  const grpc = grpcDoor(server.grpc);
  context.after(() => grpc.close());
  await checkLoading(context, server, { http: httpDoor(server.http), grpc });
  grpc.close();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

for (const engine of engines) {
  const isAbsent = engine !== 'node' && loadUws(engine) === undefined;
  const skip = isAbsent ? `the build ${engine} does not load on this system` : false;
  test(`draining on ${engine}`, { skip }, async (context) => {
    const flags = ['--http-engine', engine, '--drain-timeout-ms', '120000', '--engine-instances', '2'];
    const server = await startServer({ models: writeSmall(freshDirectory(context)), flags, processes: 1 });
    context.after(() => server.kill('SIGKILL'));
    await checkDraining(context, server, httpDoor(server.http));
  });
}
