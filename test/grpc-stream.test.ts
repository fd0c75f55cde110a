/** ModelStreamInfer: order, errors as messages, the limit in flight, half-close, cancellation. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { type Message, oneInput, Rig, rawOf, simpleRequest } from './grpc-fixture.js';

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open({ streamInFlightMax: 4 });
});
afterEach(() => rig.close());

interface Stream {
  readonly call: Message;
  readonly messages: Message[];
  /** Resolves with the status at the end. */
  readonly ended: Promise<{ code: number; details: string }>;
  until(count: number): Promise<void>;
}

function open(metadata: Record<string, string> = {}, options: object = {}): Stream {
  const sent = new Metadata();
  for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
  const call = rig.client.ModelStreamInfer(sent, options);
  const messages: Message[] = [];
  let onMessage: (() => void) | undefined;
  call.on('data', (message: Message) => {
    messages.push(message);
    onMessage?.();
  });
  call.on('error', () => {});
  const ended = new Promise<{ code: number; details: string }>((resolve) => call.on('status', resolve));
  const until = async (count: number): Promise<void> => {
    while (messages.length < count) {
      await new Promise<void>((resolve) => {
        onMessage = resolve;
      });
    }
  };
  return { call, messages, ended, until };
}

function held(value: number, id = `${value}`): Message {
  return { ...oneInput('held', 'FP32', [1], rawOf(new Float32Array([value]))), id };
}

test('replies come in the order of the requests, whichever is ready first', async () => {
  const stream = open();
  for (const value of [1, 2, 3]) stream.call.write(held(value));
  await rig.plane.untilHeld(3);
  for (const { release } of rig.plane.held.toReversed()) release();
  await stream.until(3);
  assert.deepEqual(
    stream.messages.map(({ infer_response }) => infer_response.id),
    ['1', '2', '3'],
  );
  assert.deepEqual(
    stream.messages.map(({ infer_response }) => infer_response.raw_output_contents[0].readFloatLE(0)),
    [1, 2, 3],
  );
  stream.call.end();
  assert.equal((await stream.ended).code, status.OK);
});

test('an error is a message with the id; the stream goes on', async () => {
  const stream = open();
  stream.call.write(simpleRequest({ id: 'a', raw_input_contents: [] }));
  stream.call.write(simpleRequest({ id: 'b', model_name: 'nope', model_version: '7' }));
  stream.call.write(simpleRequest({ id: 'c' }));
  stream.call.end();
  assert.equal((await stream.ended).code, status.OK);
  const [a, b, c] = stream.messages;
  assert.equal(a.error_message, `unable to find data for input tensor 'INPUT0' for model 'simple' in request.`);
  assert.equal(a.infer_response.id, 'a');
  assert.equal(b.error_message, `Request for unknown model: 'nope' is not found`);
  assert.equal(b.infer_response.model_name, 'nope');
  assert.equal(b.infer_response.model_version, '7');
  assert.equal(c.error_message, '');
  assert.equal(c.infer_response.outputs.length, 2);
  for (const { infer_response } of stream.messages) {
    assert.equal(infer_response.parameters.triton_final_response.bool_param, true);
  }
  assert.equal(rig.plane.refusals.length, 2);
});

test('a request without an id gets one, in the parameters of its reply', async () => {
  const stream = open({ 'x-request-id': 'of-the-stream' });
  stream.call.write(simpleRequest());
  stream.call.write(simpleRequest({ id: 'own' }));
  stream.call.end();
  await stream.ended;
  const [first, second] = stream.messages;
  assert.equal(first.infer_response.parameters.sluice_request_id.string_param, rig.plane.seen[0]!.id);
  assert.match(rig.plane.seen[0]!.id, /^[0-9a-f-]{36}$/);
  assert.equal(second.infer_response.parameters.sluice_request_id, undefined);
});

test('with triton_grpc_error the first error ends the stream with its status', async () => {
  const stream = open({ triton_grpc_error: 'true' });
  stream.call.write(held(1));
  stream.call.write(simpleRequest({ model_name: 'nope' }));
  stream.call.write(held(2));
  await rig.plane.untilHeld(2);
  rig.plane.held[0]!.release();
  const { code, details } = await stream.ended;
  assert.equal(code, status.NOT_FOUND);
  assert.equal(details, `Request for unknown model: 'nope' is not found`);
  assert.equal(stream.messages.length, 1, 'what was asked before the error is answered');
  assert.ok(rig.plane.held[1]!.request.cancellation.isCancelled);
});

test('no more requests run than the limit; the next is read when one is answered', async () => {
  const stream = open();
  for (let value = 1; value <= 12; value++) stream.call.write(held(value));
  stream.call.end();
  for (let done = 0; done < 12; done++) {
    await rig.plane.untilHeld(Math.min(done + 4, 12));
    // Another call on the same connection has been answered: the stream had its turn to read too much.
    await rig.call('ServerLive', {});
    assert.equal(rig.plane.held.length, Math.min(done + 4, 12));
    rig.plane.held[done]!.release();
    await stream.until(done + 1);
  }
  assert.equal((await stream.ended).code, status.OK);
});

test('a cancelled stream cancels its requests', async () => {
  const stream = open();
  for (const value of [1, 2, 3]) stream.call.write(held(value));
  await rig.plane.untilHeld(3);
  stream.call.cancel();
  assert.equal((await stream.ended).code, status.CANCELLED);
  await rig.plane.untilCancelled(3);
});

test('the deadline of the stream is the deadline of each request', async () => {
  const stream = open({}, { deadline: Date.now() + 1000 });
  stream.call.write(held(1));
  await rig.plane.untilHeld(1);
  const { deadlineAt, receivedAt } = rig.plane.held[0]!.request;
  assert.ok(deadlineAt - receivedAt < 1001);
  assert.equal((await stream.ended).code, status.DEADLINE_EXCEEDED);
});

test('an empty stream ends with OK', async () => {
  const stream = open();
  stream.call.end();
  assert.equal((await stream.ended).code, status.OK);
});

test('many small requests in one burst are all answered, in order', async () => {
  const stream = open();
  for (let i = 0; i < 500; i++) stream.call.write(simpleRequest({ id: `${i}` }));
  stream.call.end();
  assert.equal((await stream.ended).code, status.OK);
  assert.deepEqual(
    stream.messages.map(({ infer_response }) => infer_response.id),
    Array.from({ length: 500 }, (_, i) => `${i}`),
  );
});

test('a stop answers what is outstanding, then ends the stream', async () => {
  const stream = open();
  stream.call.write(held(1));
  await rig.plane.untilHeld(1);
  const stopped = rig.door.stop(5000);
  rig.plane.held[0]!.release();
  const { code, details } = await stream.ended;
  assert.equal(code, status.UNAVAILABLE);
  assert.equal(details, 'GRPC server is shutting down and has stopped accepting new requests.');
  assert.equal(stream.messages.length, 1);
  await stopped;
});
