/** What a plan says of contracts and memory, and how people are shown it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planText } from '../src/cli/plan-page.js';
import { loadConfig } from '../src/config/load.js';
import type { Config } from '../src/config/schema.js';
import type { ModelChange } from '../src/control/foresight.js';
import { type PlanTools, planOf } from '../src/control/plan.js';
import { movedKeys } from '../src/control/plan-keys.js';
import { GatewayError } from '../src/core/errors.js';
import type { VersionId } from '../src/core/model.js';
import type { Contract } from '../src/registry/contract.js';
import type { TrialReport } from '../src/registry/trial-report.js';

const contract = (columns: number): Contract => ({
  signature: {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, columns] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }],
  },
  labels: {},
  features: undefined,
});

const change: ModelChange = { model: 'm', loads: ['2'], unloads: ['1'], champion: { from: '1', to: '2' } };
const config = (text = '') => loadConfig({ file: { name: 'sluice.yaml', text } }).config;
const allowing = config('model_overrides: { m: { allow_breaking: true } }');

/** @param files what is in the store or a folder, by version; version 1 is open */
function toolsOf(files: Readonly<Record<string, Contract | GatewayError>>, reports: Record<string, TrialReport> = {}) {
  const repository = {
    contractOf: () => contract(4),
    contractIn: async ({ version }: VersionId) => {
      const found = files[version]!;
      if (found instanceof GatewayError) throw found;
      return found;
    },
  };
  const tools = {
    registry: { specOf: ({ version }: VersionId) => (version === '1' ? {} : undefined) },
    supply: { peek: async ({ version }: VersionId) => (files[version] === undefined ? undefined : {}) },
    store: { find: ({ version }: VersionId) => ({ artifactSha256: `sha256 of ${version}` }) },
    trials: { repository, reportOf: (sha256: string) => reports[sha256] },
  };
  return tools as unknown as PlanTools;
}

const plannedBy = (changes: ModelChange[], next: Config, tools: PlanTools) =>
  planOf(changes, { before: config(), next }, tools);

const shownOf = async (next = config(), tools = toolsOf({ 2: contract(4) })) =>
  planText({ options: [], ...(await plannedBy([change], next, tools)) }, 'nothing');

test('what takes the place of another without a change of contract is loaded and answers', async () => {
  assert.equal(
    await shownOf(),
    '+ m version 2 is loaded\n> m is answered by version 2, was 1\n- m version 1 is unloaded\n',
  );
});

test('a change that callers will not notice is shown, old and new', async () => {
  assert.match(
    await shownOf(config(), toolsOf({ 2: contract(-1) })),
    /^> m is answered by version 2, was 1\n {4}input 'x': FP32 \[-1,4\] → FP32 \[-1,-1\]\n- m version 1/m,
  );
});

test('a version that breaks the contract is not to answer, by which rule, and what it would replace stays', async () => {
  const tools = toolsOf({ 2: contract(5) });
  const { models } = await plannedBy([change], config(), tools);
  assert.equal(models[0]!.contract!.isRefused, true);
  assert.deepEqual(models[0]!.unloads, []);
  assert.equal(
    await shownOf(config(), tools),
    [
      '+ m version 2 is loaded',
      '! m version 2 is not to take the place of 1 unless allow_breaking says so',
      "    input 'x': FP32 [-1,4] → FP32 [-1,5]   (dimension 1 may become -1 and nothing else)",
      '',
    ].join('\n'),
  );
});

test('where breaking is allowed it answers, and the rule is shown all the same', async () => {
  const text = await shownOf(allowing, toolsOf({ 2: contract(5) }));
  assert.match(text, /^> m is answered by version 2, was 1$/m);
  assert.match(text, /\(dimension 1 may become -1 and nothing else\)$/m);
  assert.match(text, /^- m version 1 is unloaded$/m);
});

test('what would have to be pulled first, or cannot be read, is said to be', async () => {
  assert.match(
    await shownOf(config(), toolsOf({})),
    /cannot be compared: version 2 is not in the store and would have to be pulled first$/m,
  );
  const broken = new GatewayError('FAILED_PRECONDITION', 'it is no ONNX');
  assert.match(await shownOf(config(), toolsOf({ 2: broken })), /cannot be compared: it is no ONNX$/m);
});

test('the memory that a version needs is told when it was tried before', async () => {
  const report = { peakBytes: 100 * 2 ** 20, instances: 2 } as TrialReport;
  const text = await shownOf(config(), toolsOf({ 2: contract(4) }, { 'sha256 of 2': report }));
  assert.match(text, /^\+ m version 2 is loaded, about 40 MiB in each process$/m);
});

test('a model that had no answer, or has none from then on, has no contract to compare', async () => {
  for (const champion of [null, { from: null, to: '2' }, { from: '1', to: null }])
    assert.equal((await plannedBy([{ ...change, champion }], config(), toolsOf({}))).models[0]!.contract, null);
});

test('the share of keys that are given another variant is that of the weights, and no more', () => {
  const routesOf = (text: string) => config(`routes: ${text}`).routes;
  const split = (a: number, b: number, more = '') =>
    routesOf(
      `{ m: { key: ["header:x-user-id"], default: a, ${more} variants: { a: { version: "1", weight: ${a} }, b: { version: "2", weight: ${b} } } } }`,
    );
  const shareOf = (before: ReturnType<typeof split>, next: ReturnType<typeof split>) =>
    movedKeys(before, next).map(({ share }) => Math.round(share * 100));
  assert.deepEqual(movedKeys(split(90, 10), split(90, 10)), []);
  assert.deepEqual(shareOf(split(90, 10), split(70, 30)), [20]);
  assert.deepEqual(shareOf({}, split(90, 10)), [10]);
  assert.deepEqual(shareOf(split(50, 50), {}), [50]);
  assert.deepEqual(shareOf({}, split(50, 50, 'coverage: 0.5,')), [25]);
  const text = planText({ options: [], models: [], keys: movedKeys({}, split(0, 100)) }, 'nothing');
  assert.equal(text, '% m: about 100.0 % of keys are given another variant\n');
});
