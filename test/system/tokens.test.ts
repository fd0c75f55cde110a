/** Keys from tokens on real processes: the same caller gets the same variant over HTTP and gRPC, and keys may be changed. */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { credentials, loadPackageDefinition, Metadata, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { writeRepository } from '../fixtures.js';
import { ecIssuer, jwksOf, tokenOf } from '../tokens-fixture.js';
import { type Answer, post } from './load.js';
import { type Server, startServer } from './server.js';
import { admin, auditEntries, eventually, metric, modelOf, rowBody, sluice, stateFor } from './versions-fixture.js';

const [first, second, later] = [ecIssuer(), ecIssuer(), ecIssuer()];

interface Decided {
  readonly variant: string;
  readonly reason: string;
}

async function overHttp(server: Server, token: string): Promise<Decided> {
  const url = `${server.http}/v2/models/m/infer`;
  const { status, headers, text } = (await post(url, rowBody, undefined, {
    authorization: `Bearer ${token}`,
  })) as Answer;
  assert.equal(status, 200, text);
  return { variant: String(headers['x-sluice-variant']), reason: String(headers['x-sluice-reason']) };
}

const proto = fileURLToPath(new URL('../../../proto/inference.proto', import.meta.url));

function grpcClient({ grpc }: Server) {
  const loaded = loadPackageDefinition(loadSync(proto, { keepCase: true, longs: Number, defaults: true }));
  const { GRPCInferenceService } = loaded.inference as unknown as Record<string, ServiceClientConstructor>;
  return new GRPCInferenceService!(grpc.replace(/^\w+:\/\//, ''), credentials.createInsecure());
}

function overGrpc(client: ReturnType<typeof grpcClient>, token: string): Promise<Decided> {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const contents = { fp32_contents: [1, 2, 3, 4] };
  const request = { model_name: 'm', inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [1, 4], contents }] };
  return new Promise((resolve, reject) => {
    const call = client.ModelInfer!(request, metadata, (error: Error | null) => {
      if (error !== null) reject(error);
    });
    call.on('metadata', (got: Metadata) => {
      const of = (name: string) => String(got.get(name)[0]);
      resolve({ variant: of('x-sluice-variant'), reason: of('x-sluice-reason') });
    });
  });
}

test('the same token gets the same variant over HTTP and gRPC, a foreign one none, and keys are changed while serving', async (context) => {
  const state = stateFor(context);
  const models = writeRepository(join(state.directory, 'models'), {
    m: { versions: { 1: modelOf(1), 2: modelOf(2) } },
  });
  const keys = join(state.directory, 'jwks.json');
  const put = (text: string) => {
    writeFileSync(`${keys}.new`, text);
    renameSync(`${keys}.new`, keys);
  };
  const flags = state.config(`
models: { version_policy: all }
auth: { jwt: { keys: ${keys}, issuer: "https://id.example", audience: sluice } }
routes:
  m:
    key: [jwt:user.id]
    default: a
    variants: { a: { version: "1", weight: 50 }, b: { version: "2", weight: 50 } }
    targeting: [{ when: "jwt:plan in [pro, team]" }]
`);
  // A folder without models, because trying them takes longer than all else here.
  const { code, stderr } = await sluice('check', '--models', join(state.directory, 'none'), ...flags);
  assert.equal(code, 2);
  const lines = stderr.split('\n').filter((line) => line.includes('auth.jwt'));
  const absent = 'expected a file of public keys, got nothing: it cannot be read (ENOENT)';
  assert.deepEqual(lines, [`sluice: auth.jwt.keys: ${keys}: ${absent}`]);

  put(jwksOf({ a: first, b: second }));
  const server = await startServer({ models, flags, env: state.env, processes: 1 });
  context.after(() => server.kill('SIGKILL'));
  const client = grpcClient(server);
  context.after(() => client.close());
  const claims = { iss: 'https://id.example', aud: 'sluice', plan: 'pro', exp: Math.floor(Date.now() / 1000) + 600 };
  const seen = new Set<string>();
  for (let user = 0; user < 8; user++) {
    const tokens = [
      tokenOf({ ...claims, user: { id: user } }, first, { kid: 'a' }),
      tokenOf({ ...claims, user: { id: `${user}` } }, second, { kid: 'b' }),
    ];
    const decided = [];
    for (const token of tokens) decided.push(await overHttp(server, token), await overGrpc(client, token));
    const [one] = decided;
    assert.equal(one!.reason, 'weight');
    for (const other of decided) assert.deepEqual(other, one);
    seen.add(one!.variant);
  }
  assert.deepEqual([...seen].sort(), ['a', 'b']);
  const none = { variant: 'a', reason: 'no_key' };
  const foreign = tokenOf({ ...claims, user: { id: 1 } }, later, { kid: 'n' });
  assert.deepEqual([await overHttp(server, foreign), await overGrpc(client, foreign)], [none, none]);
  assert.deepEqual(await overHttp(server, 'opaque'), none);
  const free = tokenOf({ ...claims, plan: 'free', user: { id: 1 } }, first, { kid: 'a' });
  assert.deepEqual(await overGrpc(client, free), { variant: 'a', reason: 'targeting' });
  const counted = (result: string) => metric(server, `sluice_jwt_claims_total{result="${result}"}`);
  assert.deepEqual([await counted('unknown_key'), await counted('malformed'), await counted('expired')], [2, 1, 0]);

  put('{}');
  await server.line(({ msg, reason }) => msg === 'config.refused' && String(reason).includes(keys));
  assert.equal((await overHttp(server, free)).reason, 'targeting', 'the keys before stay');
  put(jwksOf({ n: later }));
  server.kill('SIGHUP');
  await eventually(async () => assert.equal((await overHttp(server, foreign)).reason, 'weight'));
  assert.deepEqual(await overGrpc(client, free), none, 'what was believed by the old keys is forgotten');
  const [applied] = await auditEntries(server, 'config.applied');
  assert.deepEqual(applied!.detail.options, ['auth.jwt.keys']);

  const route = { key: ['jwt:sub'], default: 'a', variants: { a: { version: '1', weight: 1 } } };
  assert.equal((await admin(server, 'routes/m', { route })).status, 200);
  assert.equal((await admin(server, 'routes/m/revert', { to: 0 })).status, 200);
  state.config('models: { version_policy: all }');
  server.kill('SIGHUP');
  await eventually(async () => {
    const refused = await admin(server, 'routes/m', { route });
    assert.equal(refused.status, 400);
    const lacking = 'expected auth.jwt.keys to name a file of public keys, got jwt:sub without one';
    assert.equal(refused.json.error, `routes.m.key.0: ${lacking}`);
  });
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
