/**
 * Forty swaps while callers of both protocols go on asking, of a model that answers at once and of one that takes its time. A
 * hundred, with latency and memory, are the bench scenario `swap`.
 */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { usageOf } from '../../bench/suite/process-stat.js';
import { slow, writeRepository } from '../fixtures.js';
import { post } from './load.js';
import { freshDirectory, type Server, startServer } from './server.js';
import { admin, metric, modelOf } from './versions-fixture.js';

// biome-ignore lint/suspicious/noExplicitAny: messages are typed by the proto file, not by TypeScript.
const { inference }: any = grpc.loadPackageDefinition(
  loadSync('inference.proto', {
    includeDirs: [fileURLToPath(new URL('../../../proto/', import.meta.url))],
    keepCase: true,
  }),
);

const swaps = 40;
const settled = 10;
const pauseMs = 5;

/** What a model is asked, and its file by version. */
const models = {
  fast: { shape: [1, 4], row: [1, 2, 3, 4], fileOf: modelOf },
  // As many trips as the row says, about a millisecond.
  slow: { shape: [1, 1], row: [100], fileOf: () => slow(['batch', 1]) },
} as const;
type Name = keyof typeof models;

/** What was answered, by version. */
class Answers {
  readonly #byVersion = new Map<string, Set<string>>();

  add(version: string, outputs?: unknown): void {
    const seen = this.#byVersion.get(version) ?? new Set();
    this.#byVersion.set(version, outputs === undefined ? seen : seen.add(JSON.stringify(outputs)));
  }

  get versions(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#byVersion;
  }
}

interface Caller {
  /** @returns the version that answered, and what it answered */
  ask(): Promise<readonly [version: string, outputs?: unknown]>;
  close(): void;
}

function httpCaller(server: Server, name: Name): Caller {
  const { shape, row } = models[name];
  const agent = new Agent({ keepAlive: true });
  const body = JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape, data: row }] });
  return {
    ask: async () => {
      const answer = await post(`${server.http}/v2/models/${name}/infer`, body, agent);
      if (answer === 'refused' || answer.status !== 200) throw new Error(JSON.stringify(answer));
      const { model_version: version, outputs } = JSON.parse(answer.text);
      return [version, outputs];
    },
    close: () => agent.destroy(),
  };
}

function grpcCaller(server: Server, name: Name): Caller {
  const address = server.grpc.replace(/^\w+:\/\//, '');
  const client = new inference.GRPCInferenceService(address, grpc.credentials.createInsecure());
  const { shape, row } = models[name];
  const inputs = [{ name: 'INPUT0', datatype: 'FP32', shape, contents: { fp32_contents: row } }];
  return {
    ask: () =>
      new Promise((resolve, reject) => {
        client.ModelInfer({ model_name: name, inputs }, (error: Error | null, reply: { model_version: string }) =>
          error === null ? resolve([reply.model_version]) : reject(error),
        );
      }),
    close: () => client.close(),
  };
}

/** Asks again and again, with a pause: a machine without any idle time would say more about itself than about swaps. */
function startAsking(caller: Caller, answers: Answers) {
  const failures: string[] = [];
  let ok = 0;
  let isStopped = false;
  const asked = (async () => {
    while (!isStopped) {
      try {
        answers.add(...(await caller.ask()));
        ok++;
      } catch (error) {
        failures.push((error as Error).message);
      }
      await wait(pauseMs);
    }
  })();
  return {
    stop: async () => {
      isStopped = true;
      await asked;
      caller.close();
      return { ok, failures };
    },
  };
}

test('forty swaps under load: no request fails, and every answer is of one version', {
  timeout: 300_000,
}, async (context) => {
  const directory = writeRepository(freshDirectory(context), {
    fast: { versions: { 1: models.fast.fileOf(1) } },
    slow: { versions: { 1: models.slow.fileOf() } },
  });
  // Whether a busy machine makes a version look slow is not the question here.
  const flags = ['--models-poll-ms', '0', '--models-guard-ms', '0'];
  const server = await startServer({ models: directory, flags });
  context.after(() => server.kill('SIGKILL'));
  const names = Object.keys(models) as Name[];
  const answers = { fast: new Answers(), slow: new Answers() };
  const loads = names.flatMap((name) =>
    [httpCaller(server, name), grpcCaller(server, name)].map((caller) => startAsking(caller, answers[name])),
  );

  const swapTo = async (name: Name, version: number): Promise<void> => {
    const place = join(directory, name, String(version));
    mkdirSync(place);
    writeFileSync(join(place, 'model.onnx'), models[name].fileOf(version));
    rmSync(join(directory, name, String(version - 1)), { recursive: true });
    const { json } = await admin<{ champion: string }>(server, `models/${name}/load`, {});
    assert.equal(json.champion, String(version), JSON.stringify(json));
  };
  const rss: number[] = [];
  for (let number = 1; number <= swaps; number += names.length) {
    await Promise.all(names.map((name) => swapTo(name, 2 + (number - 1) / names.length)));
    rss.push(usageOf(server.pid).rssBytes);
  }

  let requests = 0;
  for (const load of loads) {
    const { ok, failures } = await load.stop();
    assert.deepEqual(failures, []);
    requests += ok;
  }
  const last = 1 + swaps / names.length;
  for (const name of names) assert.ok(answers[name].versions.has(String(last)), `${name}@${last} answered`);
  const outputs = [...answers.fast.versions.values()].map((seen) => [...seen]);
  assert.ok(
    outputs.every((seen) => seen.length <= 1),
    'a version has one answer to one request',
  );
  assert.equal(new Set(outputs.flat()).size, outputs.flat().length, 'and none of them that of another');
  // A version that was found by the call for the other model is opened anew by its own.
  assert.ok((await metric(server, 'sluice_swaps_total{result="ok"}')) >= swaps);
  const growth = rss.at(-1)! / rss[settled / names.length - 1]!;
  const seenOf = (name: Name) => answers[name].versions.size;
  context.diagnostic(
    `${requests} requests by ${seenOf('fast')} and ${seenOf('slow')} versions; memory × ${growth.toFixed(2)}`,
  );
  assert.ok(growth < 1.3, `memory grew by ${growth}`);
  assert.equal((await server.stop()).code, 0);
});
