/**
 * Floor `floor-echo`: what the HTTP engine and the codec cost when no model runs. It reads a request as the gateway does,
 * to the last element, and answers with a constant.
 *
 * Must not know queues or lanes.
 */
import type { InferenceReply } from '../../src/core/inference.js';
import type { Tensor } from '../../src/core/tensor.js';
import { openSession } from '../../src/engine/session.js';
import { decodeRequest, readRequest } from '../../src/http/codec.js';
import { encodeReply } from '../../src/http/reply.js';
import { sessionPolicy } from '../suite/session-policy.js';
import { type Answer, batch, codec, model, ok, runFloor } from './floor-server.js';

/** The reply to one row of zeros, again and again. */
async function openEcho(): Promise<Answer> {
  const session = await openSession(model.file, sessionPolicy);
  const { inputs, outputs } = session;
  const zeros = inputs.map(({ name, datatype, shape }): Tensor => {
    const row = shape.map((dimension) => (dimension === -1 ? 1 : dimension));
    return { name, datatype, shape: row, data: new Float32Array(row.reduce((a, b) => a * b, 1)) };
  });
  const version = { id: { model: model.name, version: '1' }, signature: { inputs, outputs }, batch, labels: {} };
  const timing = { queueMs: 0, inputMs: 0, inferMs: 0, outputMs: 0, batchRows: 1 };
  const reply: InferenceReply = { version: version.id, outputs: await session.run(zeros), timing };
  return (body) => {
    const { form } = decodeRequest(version, readRequest(body, undefined, codec), codec);
    return ok(encodeReply(model.name, version, reply, { form, nonFinite: 'bare' }).body);
  };
}

await runFloor(openEcho);
