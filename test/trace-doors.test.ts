/** A request's place in a trace, from the headers of HTTP and the metadata of gRPC to the plane: its id, its times, its end. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import type { CallTerms, DataPlane, InferenceRequest, Refusal } from '../src/core/inference.js';
import { Trace } from '../src/core/trace.js';
import { createApi } from '../src/http/api.js';
import { listenHttp } from '../src/http/transport.js';
import { loadUws } from '../src/http/uws-build.js';
import { FakePlane, type Message, Rig, simpleRequest } from './grpc-fixture.js';
import { createTestPlane, testApiOptions, testHttpOptions } from './http-plane.js';
import { call } from './raw-http.js';

const parent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

/** One inference by some way, with these headers or metadata and this id of its body. */
interface Door {
  readonly name: string;
  readonly plane: DataPlane;
  readonly asked: () => readonly InferenceRequest[];
  readonly refused: () => readonly Refusal[];
  infer(headers: Readonly<Record<string, string>>, id?: string, model?: string): Promise<void>;
}

/** The plane is asked for every call's place in a trace, and says that each is sampled. */
function traced(plane: DataPlane): CallTerms[] {
  const calls: CallTerms[] = [];
  const trace = (_model: string, terms: CallTerms, receivedAt: number) => {
    calls.push({ ...terms, requestId: terms.requestId, header: (name) => terms.header(name) });
    const traceId = terms.header('traceparent')?.slice(3, 35) ?? 'none';
    return new Trace({ traceId, parentId: '', state: '', isSampled: true, receivedAt });
  };
  Object.assign(plane, { trace });
  return calls;
}

const doors: Door[] = [];

for (const engine of ['uws', 'node'] as const) {
  if (engine === 'uws' && loadUws(engine) === undefined) continue;
  const plane = createTestPlane();
  const door = await listenHttp(createApi(plane, testApiOptions), { ...testHttpOptions, engine });
  after(() => door.close());
  doors.push({
    name: `HTTP on ${engine}`,
    plane,
    asked: () => plane.asked,
    refused: () => plane.refused,
    infer: async (headers, id = '', model = 'echo_FP32') => {
      const body = `{"id":"${id}","inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":[1]}]}`;
      await call(door.port, { path: `/v2/models/${model}/infer`, body, headers });
    },
  });
}

for (const engine of ['own', 'grpc-js'] as const) {
  const rig = await Rig.open({ engine });
  after(() => rig.close());
  const { plane } = rig;
  const both = { plane, asked: () => plane.seen, refused: () => plane.refusals };
  const request = (id: string, model: string) => simpleRequest({ id, model_name: model });
  doors.push({
    ...both,
    name: `gRPC on ${engine}`,
    infer: async (metadata, id = '', model = 'simple') => {
      await rig.call('ModelInfer', request(id, model), { metadata }).catch(() => {});
    },
  });
  doors.push({
    ...both,
    name: `a stream on ${engine}`,
    infer: (headers, id = '', model = 'simple') =>
      new Promise((resolve, reject) => {
        const metadata = new Metadata();
        for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
        const stream: Message = rig.client.ModelStreamInfer(metadata);
        stream
          .on('data', () => {})
          .on('error', reject)
          .on('end', resolve);
        stream.end(request(id, model));
      }),
  });
}

for (const { name, plane, asked, refused, infer } of doors) {
  test(`${name}: nobody asks for a trace, and none is made`, async () => {
    Object.assign(plane, { trace: undefined });
    await infer({ traceparent: parent });
    assert.equal(asked().at(-1)!.trace, undefined);
  });

  test(`${name}: the caller's trace is asked for once, by the effective request id, and its times are filled in order`, async () => {
    const calls = traced(plane);
    const before = performance.now();
    await infer({ traceparent: parent, tracestate: 'x=1', 'x-request-id': 'by-header' }, 'by-body');
    assert.deepEqual(
      calls.map((terms) => [terms.requestId, terms.header('traceparent'), terms.header('tracestate')]),
      [['by-body', parent, 'x=1']],
    );
    const { trace } = asked().at(-1)!;
    assert.equal(trace!.traceId, 'a'.repeat(32));
    const times = [
      trace!.receivedAt,
      trace!.routeAt,
      trace!.routedAt,
      trace!.parsedAt,
      trace!.encodeAt,
      trace!.encodedAt,
    ];
    assert.ok(times[0]! >= before && times.every((time, at) => at === 0 || time >= times[at - 1]!), times.join());
  });

  test(`${name}: without a trace of its caller the request has its id all the same`, async () => {
    const calls = traced(plane);
    await infer({});
    assert.equal(calls[0]!.header('traceparent'), undefined);
    assert.match(calls[0]!.requestId, /^[0-9a-f-]{36}$/);
    assert.equal(calls[0]!.requestId, asked().at(-1)!.id);
  });

  test(`${name}: a refused request tells its id and its trace, too`, async () => {
    traced(plane);
    await infer({ traceparent: parent }, 'refused-1', 'nobody');
    const { id, trace } = refused().at(-1)!;
    assert.equal(trace!.traceId, 'a'.repeat(32));
    // HTTP refuses an unknown model before it reads the body, which has the id.
    if (name.startsWith('HTTP')) assert.match(id!, /^[0-9a-f-]{36}$/);
    else assert.equal(id, 'refused-1');
  });
}

test('a gRPC request that cannot be decoded has an id, too', async () => {
  const rig = await Rig.open();
  after(() => rig.close());
  assert.ok(rig.plane instanceof FakePlane);
  await rig.raw('ModelInfer', Buffer.from([0xff, 0xff, 0xff])).catch(() => {});
  assert.match(rig.plane.refusals.at(-1)!.id!, /^[0-9a-f-]{36}$/);
});
