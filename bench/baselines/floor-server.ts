/**
 * What the floors that speak HTTP share: the gateway's own HTTP engine, as many processes as the gateway has, and a version
 * that requests are checked against. A floor says how a request is answered.
 *
 *   node floor-….js <model> <model.onnx> <processes>      says `listening <port>` when all processes are ready
 *
 * Must not know what is answered.
 */
import cluster from 'node:cluster';
import type { BatchPolicy } from '../../src/core/model.js';
import type { CodecOptions } from '../../src/http/codec.js';
import { type Header, type HttpRequest, type HttpResponse, listenHttp } from '../../src/http/transport.js';
import { probePort } from '../../src/supervisor/ports.js';

const [name = '', file = '', processes = '2'] = process.argv.slice(2);

/** What the floor was started for. */
export const model = { name, file, processes: Number(processes) };

export const codec: CodecOptions = { jsonDepthMax: 100, nonFinite: 'bare', fp16Json: 'refuse', stringsMax: 2 ** 20 };

/** The gateway's defaults. */
export const batch: BatchPolicy = {
  rowsMax: 32,
  isContract: false,
  preferredRows: [],
  delayUs: 0,
  queue: { sizeMax: 1024, timeoutMs: 0, timeoutAction: 'REJECT', allowTimeoutOverride: true },
  priorityLevels: 0,
  defaultPriority: 0,
  levels: {},
};

const headers: readonly Header[] = [['Content-Type', 'application/json']];
const refusal: HttpResponse = { status: 400, headers, body: '{"error":"refused"}' };

export function ok(body: HttpResponse['body']): HttpResponse {
  return { status: 200, headers, body };
}

export type Answer = (body: Buffer, request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

/** @param open called once in each process that serves */
export async function runFloor(open: () => Promise<Answer>): Promise<void> {
  if (!cluster.isPrimary) {
    await listen(await open(), Number(process.env.FLOOR_PORT));
    process.send!('ready');
    return;
  }
  const port = await probePort('the floor', '127.0.0.1', 0);
  let ready = 0;
  for (let i = 0; i < model.processes; i++) {
    cluster.fork({ FLOOR_PORT: String(port) }).on('message', () => {
      ready++;
      if (ready === model.processes) console.log(`listening ${port}`);
    });
  }
  cluster.on('exit', () => process.exit(1));
}

async function listen(answer: Answer, port: number): Promise<void> {
  const route = (request: HttpRequest) => ({
    consume: (body: Buffer) => answer(body, request),
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
