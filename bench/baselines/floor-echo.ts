/**
 * Floor `floor-echo`: what the HTTP engine and the codec cost when no model runs. It reads a request as the gateway does,
 * to the last element, and answers with a constant.
 *
 *   node floor-echo.js <model> <model.onnx> <processes>
 *
 * It takes as many processes as the gateway, so that the two are equals in everything but the model.
 */
import cluster from 'node:cluster';
import type { InferenceReply } from '../../src/core/inference.js';
import type { VersionSpec } from '../../src/core/model.js';
import type { Tensor, TensorSpec } from '../../src/core/tensor.js';
import { openSession } from '../../src/engine/session.js';
import { type CodecOptions, decodeRequest, readRequest } from '../../src/http/codec.js';
import { encodeReply } from '../../src/http/reply.js';
import { type Header, type HttpResponse, listenHttp, type Route } from '../../src/http/transport.js';
import { probePort } from '../../src/supervisor/ports.js';
import { sessionPolicy } from '../suite/session-policy.js';

const [model = '', file = '', processes = '2'] = process.argv.slice(2);
const codec: CodecOptions = { jsonDepthMax: 100, nonFinite: 'bare', fp16Json: 'refuse', stringsMax: 2 ** 20 };
const queue = { sizeMax: 1, timeoutMs: 0, timeoutAction: 'REJECT', allowTimeoutOverride: true } as const;
const headers: readonly Header[] = [['Content-Type', 'application/json']];

function versionOf(
  inputs: readonly TensorSpec[],
  outputs: readonly TensorSpec[],
): Pick<VersionSpec, 'id' | 'signature' | 'batch' | 'labels'> {
  const batch = {
    rowsMax: 32,
    isContract: false,
    preferredRows: [],
    delayUs: 0,
    queue,
    priorityLevels: 0,
    defaultPriority: 0,
    levels: {},
  };
  return { id: { model, version: '1' }, signature: { inputs, outputs }, batch, labels: {} };
}

/** The reply to one row of zeros. */
async function answerOnce(): Promise<{
  readonly version: ReturnType<typeof versionOf>;
  readonly outputs: readonly Tensor[];
}> {
  const session = await openSession(file, sessionPolicy);
  const zeros = session.inputs.map(({ name, datatype, shape }): Tensor => {
    const row = shape.map((dimension) => (dimension === -1 ? 1 : dimension));
    return { name, datatype, shape: row, data: new Float32Array(row.reduce((a, b) => a * b, 1)) };
  });
  return { version: versionOf(session.inputs, session.outputs), outputs: await session.run(zeros) };
}

async function serve(port: number): Promise<void> {
  const { version, outputs } = await answerOnce();
  const timing = { queueMs: 0, inputMs: 0, inferMs: 0, outputMs: 0, batchRows: 1 };
  const reply: InferenceReply = { version: version.id, outputs, timing };
  const refusal: HttpResponse = { status: 400, headers, body: '{"error":"refused"}' };
  const route: Route = () => ({
    consume: (body) => {
      const { form } = decodeRequest(version, readRequest(body, undefined, codec), codec);
      const { body: text } = encodeReply(model, version, reply, { form, nonFinite: 'bare' });
      return { status: 200, headers, body: text };
    },
    refuse: () => refusal,
  });
  await listenHttp(route, {
    host: '127.0.0.1',
    port,
    engine: 'auto',
    now: () => performance.now(),
    bodyBytesMax: 64 * 2 ** 20,
    bufferedBytesMax: 512 * 2 ** 20,
    bodyTimeoutMs: 30_000,
    writeTimeoutMs: 30_000,
  });
}

if (cluster.isPrimary) {
  const port = await probePort('the floor', '127.0.0.1', 0);
  let ready = 0;
  for (let i = 0; i < Number(processes); i++) {
    cluster.fork({ FLOOR_PORT: String(port) }).on('message', () => {
      ready++;
      if (ready === Number(processes)) console.log(`listening ${port}`);
    });
  }
  cluster.on('exit', () => process.exit(1));
} else {
  await serve(Number(process.env.FLOOR_PORT));
  process.send!('ready');
}
