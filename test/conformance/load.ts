/**
 * What the gateway does when there is too much, too late or too bad: full queues, deadlines, callers that go away, a bad row in
 * a batch.
 *
 * Must not know the list of cases.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { requestBytes } from '../raw-http.js';
import { input } from './cases.js';
import { type Answered, type Door, type FormName, type GrpcClient, grpcMessage, type SentRequest } from './doors.js';

/** Keeps its worker busy for so many turns of about 10 µs. */
export function slowOf(turns: number, more: Partial<SentRequest> = {}): SentRequest {
  return { model: 'slow', inputs: [input('FP32', [1, 1], [turns])], ...more };
}

/** Long enough that everything sent in the same moment arrives meanwhile, on a busy machine too. */
const longTurns = 30_000;

/** The answers in the order in which they came. */
function inOrder(answers: readonly Promise<Answered>[]): Promise<number[]> {
  const order: number[] = [];
  return Promise.all(answers.map((answer, index) => answer.then(() => order.push(index)))).then(() => order);
}

/** Model `slow` with room for one request in its queue and one thread to run it. */
export async function checkFullQueue(
  context: TestContext,
  door: Door,
  expected: { readonly code: string; readonly retryAfter?: string },
): Promise<void> {
  await context.test(`a full queue answers ${expected.code} at once, and the others are served`, async () => {
    const form = door.forms[0]!;
    const answers = Array.from({ length: 8 }, () => door.infer(form, slowOf(longTurns)));
    const order = await inOrder(answers);
    const all = await Promise.all(answers);
    const served = all.filter(({ code }) => code === 'OK');
    const refused = all.filter(({ code }) => code !== 'OK');
    assert.ok(served.length >= 1 && refused.length >= 1, `${served.length} served, ${refused.length} refused`);
    assert.notEqual(all[order[0]!]!.code, 'OK');
    for (const { code, text, headers } of refused) {
      assert.deepEqual([code, text], [expected.code, 'Exceeds maximum queue size']);
      if (expected.retryAfter !== undefined) assert.equal(headers.get('retry-after'), expected.retryAfter);
    }
  });
}

/** @param queueTimeoutCode what the server says when only the queue's own timeout has passed */
export async function checkDeadlines(
  context: TestContext,
  door: Door,
  queueTimeoutCode = 'DEADLINE_EXCEEDED',
): Promise<void> {
  const form = door.forms[0]!;
  await context.test('a deadline that passes in the queue is answered while the worker is still busy', async () => {
    const busy = door.infer(form, slowOf(longTurns));
    await untilBusy(door, form);
    const late = door.infer(form, slowOf(0, { headers: { 'x-sluice-timeout-ms': '20' } }));
    const order = await inOrder([busy, late]);
    assert.deepEqual(order, [1, 0]);
    const { code, text } = await late;
    assert.deepEqual([code, text], ['DEADLINE_EXCEEDED', 'Request timeout expired']);
    assert.equal((await busy).code, 'OK');
  });
  await context.test('a deadline that passes in the run is answered before the run ends', async () => {
    const late = door.infer(form, slowOf(longTurns, { headers: { 'x-sluice-timeout-ms': '20' } }));
    assert.equal((await late).code, 'DEADLINE_EXCEEDED');
    const { code, text } = await door.infer(form, slowOf(0));
    assert.equal(code, 'OK', text);
  });
  await context.test(`a timeout of the request's own parameters passes in the queue: ${queueTimeoutCode}`, async () => {
    const busy = door.infer(form, slowOf(longTurns));
    await untilBusy(door, form);
    const late = door.infer(form, slowOf(0, { parameters: { timeout: 20_000 } }));
    assert.deepEqual(await inOrder([busy, late]), [1, 0]);
    assert.deepEqual([(await late).code, (await late).text], [queueTimeoutCode, 'Request timeout expired']);
  });
}

/** Requests with a deadline that has room for an idle worker fail as soon as it is not idle. */
async function untilBusy(door: Door, form: FormName): Promise<void> {
  for (;;) {
    const probe = await door.infer(form, slowOf(0, { headers: { 'x-sluice-timeout-ms': '15' } }));
    if (probe.code === 'DEADLINE_EXCEEDED') return;
  }
}

/** `sluice_rejected_total` of a reason, all versions together. */
export async function rejectedOf(admin: string, reason: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith('sluice_rejected_total{') && line.includes(`reason="${reason}"`));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function untilRejected(admin: string, reason: string, count: number): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  let found = await rejectedOf(admin, reason);
  while (found < count && performance.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    found = await rejectedOf(admin, reason);
  }
  assert.equal(found, count);
}

export async function checkHttpCancellation(
  context: TestContext,
  door: Door,
  { http, admin }: { http: string; admin: string },
): Promise<void> {
  await context.test(
    'a caller that closes its connection while queued is counted, and nobody else notices',
    async () => {
      const before = await rejectedOf(admin, 'cancelled');
      const busy = door.infer('json', slowOf(longTurns));
      await untilBusy(door, 'json');
      const socket = connect(Number(new URL(http).port), '127.0.0.1');
      const body = '{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"FP32","data":[0]}]}';
      await new Promise<void>((resolve) =>
        socket.write(requestBytes({ path: '/v2/models/slow/infer', body }), () => resolve()),
      );
      // Answered after the request above was read: one connection to the same process, one loop.
      await fetch(`${http}/v2/health/live`);
      socket.destroy();
      await untilRejected(admin, 'cancelled', before + 1);
      assert.equal((await busy).code, 'OK');
    },
  );
}

export async function checkGrpcCancellation(context: TestContext, door: GrpcClient, admin: string): Promise<void> {
  await context.test('a call that its caller cancels is counted, and nobody else notices', async () => {
    const before = await rejectedOf(admin, 'cancelled');
    const busy = door.infer('raw', slowOf(longTurns));
    await untilBusy(door, 'raw');
    const code = await new Promise((resolve) => {
      const call = door.stub.ModelInfer(grpcMessage('raw', slowOf(0)), (error: { code: number } | null) =>
        resolve(error?.code),
      );
      // Answered on the same connection after the call above was read.
      void door.call('ServerLive', {}).then(() => call.cancel());
    });
    assert.equal(code, 1);
    await untilRejected(admin, 'cancelled', before + 1);
    assert.equal((await busy).code, 'OK');
  });
}

export async function checkBatches(context: TestContext, door: Door): Promise<void> {
  const form = door.forms[0]!;
  const pair = (a: number, b: number, more: Partial<SentRequest> = {}): SentRequest => ({
    model: 'divide',
    inputs: [input('INT32', [1, 1], [a]), input('INT32', [1, 1], [b], 'INPUT1')],
    headers: { 'x-sluice-timing': '1' },
    ...more,
  });
  await context.test('requests sent together share a run, and each gets its own rows and its own outputs', async () => {
    const requests = Array.from(
      { length: 12 },
      (_, index): SentRequest => ({
        model: 'gather',
        inputs: [input('INT32', [1, 2], [index, -index]), input('INT32', [1, 2], [1, 1], 'INPUT1')],
        ...(index % 3 === 0 ? { outputs: [{ name: 'OUTPUT1' }] } : {}),
        headers: { 'x-sluice-timing': '1' },
      }),
    );
    const answers = await Promise.all(requests.map((request) => door.infer(form, request)));
    answers.forEach((answer, index) => {
      const outputs = answer.outputs.map(({ name, bytes }) => [name, bytes.readInt32LE(0), bytes.readInt32LE(4)]);
      const difference = ['OUTPUT1', index - 1, -index - 1];
      assert.deepEqual(outputs, index % 3 === 0 ? [difference] : [['OUTPUT0', index + 1, -index + 1], difference]);
    });
    const timings = answers.flatMap(({ headers }) => headers.get('server-timing') ?? []);
    if (timings.length > 0)
      assert.ok(
        timings.some((timing) => /desc="(?:[2-9]|1[0-9])\//.test(timing)),
        timings.join('\n'),
      );
  });
  await context.test('a bad row in a batch fails alone', async () => {
    const bad = new Set([2, 5]);
    const answers = await Promise.all(
      Array.from({ length: 9 }, (_, index) => door.infer(form, pair(index * 6, bad.has(index) ? 0 : 3))),
    );
    answers.forEach((answer, index) => {
      if (bad.has(index)) assert.deepEqual([answer.code, /zero/i.test(answer.text)], ['INTERNAL', true]);
      else assert.deepEqual([answer.code, answer.outputs[0]?.bytes.readInt32LE(0)], ['OK', index * 2]);
    });
  });
  await context.test('a shape that the graph refuses fails alone among others', async () => {
    const widths = [4, 3, 4, 5, 4];
    const answers = await Promise.all(
      widths.map((width) =>
        door.infer(form, { model: 'picky', inputs: [input('FP32', [1, width], new Array(width).fill(width))] }),
      ),
    );
    assert.deepEqual(
      answers.map(({ code }) => code),
      ['OK', 'INTERNAL', 'OK', 'INTERNAL', 'OK'],
    );
    assert.deepEqual(answers[0]!.outputs[0]!.shape, [1, 2, 2]);
  });
}
