/**
 * Floor `floor-minimal`: the shortest way from bytes to a model and back that the gateway's own parts allow. What it lacks
 * beside the gateway is what its features cost: the table of URLs, request ids, deadlines, routing, the event of each
 * request, metrics and statistics, the watch over the event loop, the second door, supervision.
 *
 *   bytes ─▶ codec, with its checks ─▶ queue ─▶ lane ─▶ codec ─▶ bytes
 *
 * Must not know control, routes or observers.
 */
import { availableParallelism } from 'node:os';
import type { ModelConfig, VersionSpec } from '../../src/core/model.js';
import { Cores } from '../../src/engine/cores.js';
import { Marks } from '../../src/engine/marks.js';
import { openSession } from '../../src/engine/session.js';
import { openVersion } from '../../src/engine/version.js';
import { decodeRequest, readRequest } from '../../src/http/codec.js';
import { encodeReply } from '../../src/http/reply.js';
import { sessionPolicy } from '../suite/session-policy.js';
import { type Answer, batch, codec, model, ok, runFloor } from './floor-server.js';

const config: ModelConfig = {
  name: model.name,
  platform: '',
  backend: '',
  version_policy: {},
  max_batch_size: batch.rowsMax,
  input: [],
  output: [],
  instance_group: [],
  default_model_filename: 'model.onnx',
  parameters: {},
  model_warmup: [],
  model_transaction_policy: {},
  response_cache: {},
};
const parameters = new Map<string, never>();

async function specOf(): Promise<VersionSpec> {
  const session = await openSession(model.file, sessionPolicy);
  const { inputs, outputs } = session;
  session.release();
  const cores = Math.max(1, Math.floor(availableParallelism() / model.processes));
  return {
    id: { model: model.name, version: '1' },
    directory: '',
    file: model.file,
    signature: { inputs, outputs },
    batch,
    session: sessionPolicy,
    instances: cores,
    rank: 'primary',
    isBounded: true,
    runTimes: [],
    config,
    labels: {},
    properties: {},
  };
}

async function openMinimal(): Promise<Answer> {
  const spec = await specOf();
  const version = await openVersion(spec, {
    cores: new Cores(spec.instances),
    observe: () => {},
    now: () => performance.now(),
    inlineRunUsMax: 500,
    hardRunTimeoutMs: 60_000,
    priorityAgingMs: 500,
    marks: new Marks(undefined),
    onOverdue: () => {},
  });
  return (body, { receivedAt, cancellation }) => {
    const { inputs, rows, outputs, form } = decodeRequest(version, readRequest(body, undefined, codec), codec);
    const reply = version.infer({
      id: '',
      model: model.name,
      version,
      inputs,
      rows,
      outputs,
      parameters,
      priority: 0,
      timeoutMs: 0,
      receivedAt,
      deadlineAt: Number.POSITIVE_INFINITY,
      cancellation,
      protocol: 'http',
    });
    return reply.then((given) => ok(encodeReply(model.name, version, given, { form, nonFinite: 'bare' }).body));
  };
}

await runFloor(openMinimal);
