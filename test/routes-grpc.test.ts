/** A routed model over gRPC, unary and stream, on both engines: who answers, and how the reply says so. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import type { CallTerms, Selector } from '../src/core/inference.js';
import type { Version } from '../src/core/model.js';
import { RoutedModel } from '../src/routing/routed-model.js';
import { experimentOf, headerOrParameter, oldAndNew } from './experiment-fixture.js';
import { type Message, Rig, simpleRequest } from './grpc-fixture.js';

const experiment = experimentOf({
  key: headerOrParameter,
  variants: oldAndNew('simple'),
  overrides: { header: '', allowed: ['new'], keys: {} },
});

const rigs = await Promise.all((['own', 'grpc-js'] as const).map((engine) => Rig.open({ engine })));
after(() => Promise.all(rigs.map((rig) => rig.close())));

for (const { plane } of rigs) {
  const found = (version: string) => plane.versions.get('simple')!.find(({ id }) => id.version === version)!;
  const routed = new RoutedModel<Version>('simple', experiment, {
    arm: ({ version }) => ({ open: found(version), want: undefined }),
    fallback: () => found('1'),
  });
  plane.assign = (model: string, { version }: Selector, terms: CallTerms) => {
    if (model !== 'simple') return undefined;
    return version === undefined ? routed.assign(terms) : { version: found(version), assignment: routed.explicit };
  };
}

interface Case {
  readonly name: string;
  readonly metadata?: Record<string, string>;
  readonly request?: object;
  /** Version, variant, reason. */
  readonly answer: readonly [string, string | undefined, string];
}

const parameter = (key: string, text: string) => ({ parameters: { [key]: { string_param: text } } });

const cases: readonly Case[] = [
  { name: 'metadata are the key', metadata: { 'x-user-id': 'user-1' }, answer: ['2', 'new', 'weight'] },
  { name: 'another key', metadata: { 'x-user-id': 'user-3' }, answer: ['1', 'old', 'weight'] },
  { name: 'a parameter is the key', request: parameter('user_id', 'user-1'), answer: ['2', 'new', 'weight'] },
  { name: 'no key', answer: ['1', 'old', 'no_key'] },
  { name: 'asked for by metadata', metadata: { 'x-sluice-variant': 'new' }, answer: ['2', 'new', 'override'] },
  { name: 'asked for by parameter', request: parameter('sluice_variant', 'new'), answer: ['2', 'new', 'override'] },
  { name: 'a version that is named', request: { model_version: '2' }, answer: ['2', undefined, 'explicit'] },
];

for (const [at, rig] of rigs.entries()) {
  const engine = ['own', 'grpc-js'][at];

  for (const { name, metadata = {}, request = {}, answer } of cases) {
    const [version, variant, reason] = answer;

    test(`unary, ${name}: the reply says who answered in its metadata (${engine})`, async () => {
      const reply = await rig.call('ModelInfer', simpleRequest(request), { metadata });
      const of = (key: string) => reply.metadata.get(`x-sluice-${key}`)[0];
      assert.equal(reply.message.model_version, version);
      assert.deepEqual(
        [of('model'), of('version'), of('variant'), of('experiment'), of('reason')],
        ['simple', version, variant, 'spring', reason],
      );
      assert.equal(rig.plane.seen.at(-1)!.assignment!.variant, variant ?? '');
    });

    test(`stream, ${name}: each message says who answered in its parameters (${engine})`, async () => {
      const sent = new Metadata();
      for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
      const call = rig.client.ModelStreamInfer(sent);
      const message = await new Promise<Message>((resolve, reject) => {
        call.on('data', resolve);
        call.on('error', reject);
        call.write(simpleRequest(request));
      });
      call.end();
      const { parameters, model_version } = message.infer_response;
      assert.equal(model_version, version);
      assert.deepEqual(
        ['sluice_variant', 'sluice_experiment', 'sluice_reason'].map((key) => parameters[key]?.string_param),
        [variant, 'spring', reason],
      );
    });
  }

  test(`a variant that may not be asked for is refused, also where there is no route (${engine})`, async () => {
    const metadata = { 'x-sluice-variant': 'old' };
    const routed = await rig.fails('ModelInfer', simpleRequest(), { metadata });
    assert.equal(routed.code, status.INVALID_ARGUMENT);
    assert.equal(routed.details, "variant 'old' of model 'simple' cannot be asked for: expected one of new");
    const contract = simpleRequest({ model_name: 'contract' });
    const plain = await rig.fails('ModelInfer', contract, { metadata });
    assert.match(plain.details, /model 'contract' has no route that allows it/);
    assert.equal(rig.plane.refusals.at(-1)!.model, 'contract');
  });

  test(`a model without a route says nothing of one (${engine})`, async () => {
    const { metadata } = await rig.call('ModelInfer', simpleRequest({ model_name: 'contract' }));
    assert.deepEqual(metadata.get('x-sluice-reason'), []);
  });
}
