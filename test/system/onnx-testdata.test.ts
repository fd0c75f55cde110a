/**
 * The backend test data of ONNX through a real gateway: about a thousand small models of every operator, of which each that
 * the runtime itself passes must give the same over every protocol.
 *
 *   case ─▶ onnxruntime-node in a child ─▶ passed ──▶ HTTP JSON · HTTP binary · gRPC ─▶ the same to the bit
 *                                        └▶ not ────▶ the same three ─▶ refused with a reason, and nothing ends
 *
 * All models lie in one folder that is served lazily, so this is also a folder of a thousand models with a few open at once.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Tensor } from '../../src/core/tensor.js';
import { type Case, listCases, testdataDirectory } from './onnx-testdata/cases.js';
import { type Answer, Clients, type ProtocolName, protocols } from './onnx-testdata/clients.js';
import { bitDifferenceOf, type NanRule } from './onnx-testdata/closeness.js';
import { type Direct, DirectRuns } from './onnx-testdata/direct.js';
import { freshDirectory, type Server, startServer } from './server.js';

/** Models asked at once, and so opened at once. */
const casesAtOnce = 4;

/** What came back for one case over one protocol, as a word for the summary. */
type Verdict = 'same' | 'refused as FP16' | 'refused' | 'answered' | 'wrong';

interface Finding {
  readonly name: string;
  readonly protocol: ProtocolName;
  readonly verdict: Verdict;
  readonly text: string;
}

test('the ONNX backend test data gives over every protocol what the runtime gives', async (context) => {
  const root = testdataDirectory();
  if (root === undefined && process.env.CI === undefined) {
    context.skip('the Debian package libonnx-testdata is not installed');
    return;
  }
  assert.ok(root !== undefined, 'the Debian package libonnx-testdata is not installed');
  const cases = listCases(root);
  assert.ok(cases.length > 1000, `${cases.length} cases`);
  const direct = await timed(context, 'directly', () => runDirectly(context, cases));
  const server = await timed(context, 'start', () => serve(context, cases));
  const findings = await timed(context, 'through the gateway', () => askAll(context, server, cases, direct));
  summarise(context, cases, direct, findings);

  const wrong = (isPassed: boolean) =>
    findings.filter(
      ({ name, verdict }) => verdict === 'wrong' && (direct.get(name)!.outcome === 'passed') === isPassed,
    );
  await context.test('every case that the runtime passes comes through, the same to the bit', () => {
    assert.ok([...direct.values()].filter(({ outcome }) => outcome === 'passed').length > 900);
    assert.deepEqual(wrong(true).map(textOf), []);
  });
  await context.test('every other case is answered, or refused with a reason that names no path', async () => {
    assert.deepEqual(wrong(false).map(textOf), []);
    const listed = new Map((await indexOf(server)).map((entry) => [entry.name, entry]));
    for (const [name, { outcome }] of direct) {
      const { state, reason } = listed.get(name)!;
      const isRefused = outcome === 'not tensors' || outcome === 'does not load';
      assert.equal(state, isRefused ? 'UNAVAILABLE' : 'READY', name);
      if (isRefused) assert.ok(isCleanReason(reason), `${name}: ${reason}`);
    }
  });
  await context.test('no model ended a process', async () => {
    assert.deepEqual(
      server.log.filter(({ msg }) => msg === 'gateway.exit'),
      [],
    );
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
});

const textOf = ({ name, protocol, text }: Finding): string => `${name} over ${protocol}: ${text}`;

async function timed<Value>(context: TestContext, what: string, work: () => Promise<Value>): Promise<Value> {
  const startedAt = performance.now();
  const value = await work();
  context.diagnostic(`${what}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  return value;
}

async function runDirectly(context: TestContext, cases: readonly Case[]): Promise<ReadonlyMap<string, Direct>> {
  const runs = new DirectRuns();
  context.after(() => runs.close());
  const found = new Map<string, Direct>();
  for (const one of cases) found.set(one.name, await runs.run(one));
  runs.close();
  return found;
}

/** Serves all cases from one folder. Copies, because a link out of the folder would not be followed. */
async function serve(context: TestContext, cases: readonly Case[]): Promise<Server> {
  const models = freshDirectory(context);
  for (const { name, directory } of cases) {
    mkdirSync(join(models, name, '1'), { recursive: true });
    copyFileSync(join(directory, 'model.onnx'), join(models, name, '1', 'model.onnx'));
  }
  // Opening is most of the work here, and grows with the threads: one is enough to go through every part.
  const flags = ['--load', 'lazy', '--models-lazy-max-open', '50', '--engine-instances', '1'];
  const server = await startServer({ models, processes: 1, flags });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

async function askAll(
  context: TestContext,
  server: Server,
  cases: readonly Case[],
  direct: ReadonlyMap<string, Direct>,
): Promise<Finding[]> {
  const clients = new Clients(server.http, server.grpc);
  context.after(() => clients.close());
  const findings: Finding[] = [];
  let next = 0;
  const walk = async (): Promise<void> => {
    while (next < cases.length) {
      const { name } = cases[next++]!;
      for (const protocol of protocols) findings.push(await askOne(clients, name, protocol, direct.get(name)!));
    }
  };
  await Promise.all(Array.from({ length: casesAtOnce }, walk));
  return findings;
}

/** Asks with every data set of the case; the last one that is wrong counts. */
async function askOne(clients: Clients, name: string, protocol: ProtocolName, direct: Direct): Promise<Finding> {
  const samples = direct.samples.length > 0 ? direct.samples : [{ inputs: [], outputs: [] }];
  let found: readonly [Verdict, string] = ['same', ''];
  for (const { inputs, outputs } of samples) {
    const answer = await clients.ask[protocol](name, inputs);
    const isHalf = [...inputs, ...outputs].some(({ datatype }) => datatype === 'FP16');
    if (direct.outcome !== 'passed') found = judgeOther(answer, direct);
    else if (isHalf && protocol === 'HTTP JSON') found = judgeHalf(answer);
    else found = judge(answer, outputs, protocol === 'HTTP JSON' ? 'any' : 'bits');
    if (found[0] === 'wrong') break;
  }
  return { name, protocol, verdict: found[0], text: found[1] };
}

function judge(answer: Answer, expected: readonly Tensor[], nan: NanRule): readonly [Verdict, string] {
  if (!answer.isOk) return ['wrong', `${answer.code} ${answer.message}`];
  const difference = bitDifferenceOf(answer.outputs, expected, nan);
  return difference === undefined ? ['same', ''] : ['wrong', difference];
}

/** FP16 has no form in JSON. */
function judgeHalf(answer: Answer): readonly [Verdict, string] {
  if (answer.isOk) return ['wrong', 'FP16 was answered in JSON'];
  const isClean = answer.code === 400 && answer.message.includes('FP16 data via JSON is not supported');
  return [isClean ? 'refused as FP16' : 'wrong', `${answer.code} ${answer.message}`];
}

/** A run that the runtime ends without an error is answered, whatever comes out; everything else has its reason. */
function judgeOther(answer: Answer, { outcome }: Direct): readonly [Verdict, string] {
  if (answer.isOk) return outcome === 'differs' ? ['answered', ''] : ['wrong', 'it was answered'];
  const text = `${answer.code} ${answer.message}`;
  return [isCleanReason(answer.message) && outcome !== 'differs' ? 'refused' : 'wrong', text];
}

/** It says something, and nothing of paths or stacks. */
function isCleanReason(reason: string): boolean {
  return reason.length > 20 && !/\/\w+\/|\n\s+at /.test(reason);
}

interface IndexEntry {
  readonly name: string;
  readonly state: string;
  readonly reason: string;
}

async function indexOf(server: Server): Promise<IndexEntry[]> {
  const response = await fetch(`${server.http}/v2/repository/index`, { method: 'POST' });
  assert.equal(response.status, 200);
  return (await response.json()) as IndexEntry[];
}

function summarise(
  context: TestContext,
  cases: readonly Case[],
  direct: ReadonlyMap<string, Direct>,
  findings: readonly Finding[],
): void {
  context.diagnostic(
    `${cases.length} cases, directly: ${countsOf([...direct.values()].map(({ outcome }) => outcome))}`,
  );
  for (const protocol of protocols) {
    const own = findings.filter((finding) => finding.protocol === protocol);
    context.diagnostic(`over ${protocol}: ${countsOf(own.map(({ verdict }) => verdict))}`);
  }
  const refused = findings.filter(({ verdict, protocol }) => verdict === 'refused' && protocol === 'HTTP JSON');
  for (const { name, text } of refused) context.diagnostic(`${name}: ${text}`);
}

/** `3 same, 1 refused`. */
function countsOf(words: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${count} ${word}`).join(', ');
}
