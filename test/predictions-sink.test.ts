import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cloudEventsSink, type Post } from '../src/predictions/cloud-events-sink.js';
import { type FinishedFile, type Sink, SinkRun } from '../src/predictions/sink.js';
import { archiveOf, event, floats, folder, openLog, terms } from './predictions-events.js';

/** Finished files without anything in them, and the manifest that names them. */
function files(root: string, model: string, names: readonly string[]): void {
  const directory = join(root, 'log', `model=${model}`);
  mkdirSync(directory, { recursive: true });
  for (const file of names) {
    writeFileSync(join(directory, file), '');
    const line = JSON.stringify({ file, rows: 3, sha256: 'x' });
    writeFileSync(join(directory, '_manifest.jsonl'), `${line}\n`, { flag: 'a' });
  }
}

/** A run whose rests last until the test ends them. */
function runOf(root: string, deliver: Sink['deliver']) {
  const rests: { delayMs: number; end: () => void }[] = [];
  const run = new SinkRun({
    sink: { name: 'test', deliver },
    root,
    cursorPath: join(root, 'cursors', 'test.json'),
    backoffMs: { first: 1000, max: 5000 },
    after: (delayMs, end) => {
      rests.push({ delayMs, end });
      return () => {};
    },
  });
  return { run, rests };
}

test('a sink gets every file once, also over a restart', async (context) => {
  const root = folder(context);
  const got: string[] = [];
  const take = async ({ name, model }: FinishedFile) => void got.push(`${model}/${name}`);
  files(root, 'a', ['1', '2']);
  files(root, 'b', ['1']);
  await runOf(root, take).run.wake();
  files(root, 'a', ['3']);
  const { run } = runOf(root, take);
  await run.wake();
  await run.wake();
  assert.deepEqual(got, ['a/1', 'a/2', 'b/1', 'a/3']);
});

test('a sink that is away is asked again later each time, and goes on where it stopped', async (context) => {
  const root = folder(context);
  files(root, 'a', ['1', '2']);
  const got: [string, number][] = [];
  let isAway = true;
  const { run, rests } = runOf(root, async ({ name }, from, delivered) => {
    got.push([name, from]);
    delivered(2);
    if (isAway) throw new Error('away');
  });
  await run.wake();
  await run.wake();
  assert.equal(got.length, 1, 'it rests');
  for (const delayMs of [1000, 2000, 4000, 5000]) {
    assert.equal(rests.at(-1)?.delayMs, delayMs);
    rests.at(-1)!.end();
    await run.wake();
  }
  assert.deepEqual(run.stats(), { files: 0, failures: 5, missed: 0, isFailing: true });
  isAway = false;
  rests.at(-1)!.end();
  await run.wake();
  assert.deepEqual(got.slice(-2), [
    ['1', 2],
    ['2', 0],
  ]);
  assert.deepEqual(run.stats(), { files: 2, failures: 5, missed: 0, isFailing: false });
});

test('a file that was deleted before its turn is counted as missed', async (context) => {
  const root = folder(context);
  files(root, 'a', ['1', '2']);
  rmSync(join(root, 'log/model=a/1'));
  const { run } = runOf(root, async () => {});
  await run.wake();
  assert.deepEqual(run.stats(), { files: 1, failures: 0, missed: 1, isFailing: false });
});

/** A receiver on a port of its own that answers as it is told. */
async function receiver(context: TestContext, answer: () => number) {
  const bodies: { type: string | undefined; events: Record<string, unknown>[] }[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const status = answer();
    if (status < 300) {
      const events = JSON.parse(Buffer.concat(parts).toString());
      bodies.push({ type: request.headers['content-type'], events });
    }
    response.writeHead(status).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const post: Post = async (url, headers, body) => fetch(url, { method: 'POST', headers, body, redirect: 'manual' });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, bodies, post };
}

test('rows leave as batches of CloudEvents, a request and a response each, and none is lost when the receiver fails', async (context) => {
  const directory = folder(context);
  const segments = join(directory, 'segments');
  mkdirSync(segments);
  const log = await openLog(segments);
  const of = log.subject({ ...terms, sample: 1 });
  for (let i = 0; i < 5; i++) {
    const tensors = { inputs: [floats('x', [1, 2], [i, 0.5])], outputs: [floats('y', [1], [1])] };
    log.append(event(of, { requestId: `r-${i}`, tsUs: Date.UTC(2026, 2, 1) * 1000 + i, ...tensors }));
  }
  await log.close();
  const archive = archiveOf(context, directory);
  await archive.convert();
  let asked = 0;
  const { url, bodies, post } = await receiver(context, () => (++asked === 2 ? 503 : 202));
  const sink = cloudEventsSink({
    url,
    source: '/sluice/test',
    namespace: 'default',
    rowsPerPost: 2,
    post,
    read: (path, from, rowsMax) => archive.read(path, from, rowsMax),
  });
  const { run, rests } = runOf(join(directory, 'archive'), sink.deliver);
  await run.wake();
  assert.equal(bodies.length, 1);
  rests[0]!.end();
  await run.wake();
  assert.deepEqual(
    bodies.map(({ events }) => events.length),
    [4, 4, 2],
  );
  assert.match(String(bodies[0]?.type), /^application\/cloudevents-batch\+json/);
  const events = bodies.flatMap((body) => body.events);
  assert.deepEqual(
    events.filter((_, i) => i % 2 === 0).map(({ requestid }) => requestid),
    ['r-0', 'r-1', 'r-2', 'r-3', 'r-4'],
  );
  const [request, response] = events as [Record<string, unknown>, Record<string, unknown>];
  const { data: asking, ...attributes } = request;
  assert.deepEqual(attributes, {
    specversion: '1.0',
    id: 'r-0/0/primary/0',
    source: '/sluice/test',
    time: '2026-03-01T00:00:00Z',
    datacontenttype: 'application/json',
    inferenceservicename: 'digits',
    namespace: 'default',
    component: 'predictor',
    endpoint: 'default',
    requestid: 'r-0',
    type: 'org.kubeflow.serving.inference.request',
  });
  assert.deepEqual((asking as { inputs: unknown }).inputs, { x: [0, 0.5] });
  assert.equal(response.type, 'org.kubeflow.serving.inference.response');
  const answered = response.data as Record<string, unknown>;
  assert.deepEqual([answered.outputs, answered.status, answered.version], [{ y: [1] }, 200, '3']);
});
