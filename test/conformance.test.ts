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
import { type Answered, type Door, grpcDoor, httpDoor } from './conformance/doors.js';
import { writeModels } from './conformance/models.js';
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
    bytes: bytes.toString('hex'),
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
  const flags = ['--http-engine', engine, '--models-version-policy', 'all', '--engine-instances', '1'];
  const server = await startServer({ models: writeModels(freshDirectory(context)), flags, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

for (const engine of engines) {
  const isAbsent = engine !== 'node' && loadUws(engine) === undefined;
  const skip = isAbsent ? `the build ${engine} does not load on this system` : false;
  test(`the list over HTTP on ${engine}`, { skip }, async (context) => {
    const server = await startAll(context, engine);
    await askAll(context, httpDoor(server.http));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
}

test('the list over gRPC', async (context) => {
  const server = await startAll(context, 'auto');
  const door = grpcDoor(server.grpc);
  context.after(() => door.close());
  await askAll(context, door);
  door.close();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
