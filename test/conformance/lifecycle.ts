/**
 * Models that come and go by calls, and a server that goes.
 *
 * Must not know the list of cases.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { call, exchange, requestBytes } from '../raw-http.js';
import type { Server } from '../system/server.js';
import { simpleOf } from './cases.js';
import type { Door, GrpcClient } from './doors.js';
import { slowOf } from './load.js';

/** Field numbers of the two variants of RepositoryModelLoadRequest and RepositoryModelUnloadRequest. */
const nameFields = { 'Triton (model_name = 2)': 2, 'KServe (model_name = 1)': 1 } as const;

function namedBytes(field: number, name: string): Buffer {
  return Buffer.concat([Buffer.of((field << 3) | 2, name.length), Buffer.from(name)]);
}

/** A server with load policy explicit that offers `simple` and nothing else. */
export async function checkLoading(
  context: TestContext,
  server: Pick<Server, 'http'>,
  { http, grpc }: { readonly http: Door; readonly grpc: GrpcClient },
): Promise<void> {
  const codes = async () => {
    const answers = await Promise.all([http.infer('json', simpleOf(1)), grpc.infer('raw', simpleOf(1))]);
    return answers.map(({ code }) => code);
  };
  for (const [variant, field] of Object.entries(nameFields)) {
    await context.test(`load and unload over gRPC as ${variant} take effect before the answer`, async () => {
      assert.deepEqual(await codes(), ['NOT_FOUND', 'NOT_FOUND']);
      await grpc.bytes('RepositoryModelLoad', namedBytes(field, 'simple'));
      assert.deepEqual(await codes(), ['OK', 'OK']);
      assert.deepEqual(await grpc.call('ModelReady', { name: 'simple' }), { ready: true });
      await grpc.bytes('RepositoryModelUnload', namedBytes(field, 'simple'));
      assert.deepEqual(await codes(), ['NOT_FOUND', 'NOT_FOUND']);
    });
  }
  await context.test('load and unload answer with the name and what was done', async () => {
    assert.deepEqual(await grpc.call('RepositoryModelLoad', { model_name: 'simple' }), {
      model_name: 'simple',
      isLoaded: true,
    });
    assert.deepEqual(await grpc.call('RepositoryModelUnload', { model_name: 'simple' }), {
      model_name: 'simple',
      isUnloaded: true,
    });
  });
  await context.test('what cannot be loaded has its code and text', async () => {
    const fails = (message: object) =>
      grpc.call('RepositoryModelLoad', message).then(
        () => 'answered',
        ({ code, details }) => [code, details],
      );
    assert.deepEqual(await fails({ model_name: 'nobody' }), [
      5,
      "failed to load 'nobody', failed to poll from model repository",
    ]);
    assert.deepEqual(await fails({ repository_name: 'x', model_name: 'simple' }), [
      12,
      "'repository_name' specification is not supported",
    ]);
    const [code, details] = (await fails({ model_name: '../etc' })) as [number, string];
    assert.deepEqual(
      [code, details],
      [3, "invalid model name '../etc', model name must not contain path traversal characters"],
    );
  });
  await context.test('a configuration that is too large is refused, and the next call is answered', async () => {
    const load = async (config: string) => {
      const body = Buffer.from(JSON.stringify({ parameters: { config } }));
      const reply = await fetch(`${server.http}/v2/repository/models/simple/load`, { method: 'POST', body });
      const { error } = (await reply.json()) as { error?: string };
      const message = { model_name: 'simple', parameters: { config: { string_param: config } } };
      const overGrpc = await grpc.call('RepositoryModelLoad', message).then(
        () => [0, undefined],
        ({ code, details }) => [code, details],
      );
      return [reply.status, error, ...overGrpc];
    };
    /** As many bytes of JSON, its quotes counted. */
    const spaces = (bytes: number) => ' '.repeat(bytes - 2);
    const limit = 240 * 1024;
    const text = (bytes: number) => `load parameter 'config' of ${bytes} bytes as JSON, at most ${limit} are accepted`;
    for (const bytes of [limit + 1, 300_000, 4_000_000]) {
      assert.deepEqual(await load(spaces(bytes)), [400, text(bytes), 3, text(bytes)]);
    }
    assert.deepEqual(await load('"'.repeat(limit / 2)), [400, text(limit + 2), 3, text(limit + 2)]);
    const accepted = await load(`{"max_batch_size": 4}${spaces(limit - 23)}`);
    assert.deepEqual(accepted, [200, undefined, 0, undefined]);
    await grpc.call('RepositoryModelUnload', { model_name: 'simple' });
  });
  await context.test(
    'infer, load and unload at once: every answer names a version or says that there is none',
    async () => {
      const changes = (async () => {
        for (let round = 0; round < 3; round++) {
          await grpc.call('RepositoryModelLoad', { model_name: 'simple' });
          await grpc.call('RepositoryModelUnload', { model_name: 'simple' });
        }
        return 'done';
      })();
      const seen = new Set<string>();
      for (let isOver = false; !isOver; ) {
        const answers = await Promise.all([http.infer('binary', simpleOf(2)), grpc.infer('raw', simpleOf(2))]);
        for (const { code, version } of answers) seen.add(`${code} ${version}`.trim());
        isOver = (await Promise.race([changes, Promise.resolve('going on')])) === 'done';
      }
      for (const outcome of seen) assert.ok(['OK 1', 'NOT_FOUND', 'UNAVAILABLE'].includes(outcome), outcome);
    },
  );
}

const doneText = 'Server is shutting down and has stopped accepting new requests.';
/** Well after the half second in which connections that were just accepted may still bring their request. */
const lateMs = 2500;

/** Ends the server. */
export async function checkDraining(context: TestContext, server: Server, http: Door): Promise<void> {
  await context.test(
    'a server that drains answers what it has, refuses what comes after, and ends with 0',
    async () => {
      const port = Number(new URL(server.http).port);
      const body = '{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"FP32","data":[0]}]}';
      const whole = requestBytes({ path: '/v2/models/slow/infer', body });
      // Six seconds of work keep the process there until the late one has asked.
      const kept = http.infer('json', slowOf(600_000));
      // Of both the first line is there when the signal comes; the rest of the late one comes when the port is long closed.
      const send = (pauseMs: number) =>
        exchange({ port, packets: [whole.subarray(0, 40), whole.subarray(40)], pauseMs, waitMs: 60_000 });
      const [early, late] = [send(0), send(lateMs)];
      await call(port, { path: '/v2/health/live' });
      server.kill('SIGTERM');
      await server.line(({ msg }) => msg === 'stopping');
      assert.equal((await early).status, 200);
      const refused = await late;
      assert.equal(refused.status, 503);
      assert.equal(JSON.parse(refused.body.toString()).error, doneText);
      assert.equal(refused.headers.get('connection'), 'close');
      assert.equal((await kept).code, 'OK');
      assert.deepEqual(await server.exited, { code: 0, signal: null });
    },
  );
}
