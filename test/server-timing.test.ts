/** `Server-Timing` over gRPC, on both engines: in the initial metadata of a unary reply, when it was asked for. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { serverTiming } from '../src/core/server-timing.js';
import { Rig, simpleRequest } from './grpc-fixture.js';

test('each stage is told in milliseconds, and the batch by its rows of those allowed', () => {
  const timing = { queueMs: 2, inputMs: 0.25, inferMs: 3, outputMs: 0.5, batchRows: 7 };
  assert.equal(
    serverTiming(timing, { parseMs: 0.1, encodeMs: 0.05 }, 16),
    'parse;dur=0.100, queue;dur=2.000, batch;desc="7/16", infer;dur=3.250, ser;dur=0.550',
  );
});

for (const engine of ['own', 'grpc-js'] as const) {
  test(`a unary reply on ${engine} says where the time went when it is asked for`, async () => {
    const rig = await Rig.open({ engine });
    after(() => rig.close());
    const asked = await rig.call('ModelInfer', simpleRequest(), { metadata: { 'x-sluice-timing': '1' } });
    const [text] = asked.metadata.get('server-timing');
    const form = /^parse;dur=(\d+\.\d{3}), queue;dur=0\.000, batch;desc="1\/8", infer;dur=0\.000, ser;dur=\d+\.\d{3}$/;
    assert.ok(Number(form.exec(String(text))![1]) > 0, String(text));
    assert.match(String(asked.metadata.get('x-request-id')[0]), /^[0-9a-f-]{36}$/);
    assert.deepEqual(asked.metadata.get('x-sluice-version'), ['2']);
    const without: readonly Record<string, string>[] = [{}, { 'x-sluice-timing': '0' }];
    for (const metadata of without) {
      const reply = await rig.call('ModelInfer', simpleRequest(), { metadata });
      assert.deepEqual(reply.metadata.get('server-timing'), []);
    }
  });
}
