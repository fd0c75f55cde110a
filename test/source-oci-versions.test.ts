import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noCredentials } from '../src/registry/net/credentials.js';
import { OciAuth } from '../src/registry/sources/oci-auth.js';
import { challengesOf } from '../src/registry/sources/oci-challenge.js';
import { checkedRepository, isAlias, versionOfTag } from '../src/registry/sources/oci-names.js';
import { numberTags, type PointedTag } from '../src/registry/sources/oci-versions.js';
import { rememberedNumbers, signal } from './servers/oci-source.js';

const pointed = (tag: string, digest: string, some: Partial<PointedTag> = {}): PointedTag => ({
  tag,
  digest,
  written: undefined,
  numberedBy: undefined,
  ...some,
});

async function numbered(tags: readonly PointedTag[], numbers = rememberedNumbers()) {
  const { versions, versionOf, ignored } = await numberTags('digits', tags, numbers);
  return { versions: Object.fromEntries(versions), tags: Object.fromEntries(versionOf), ignored };
}

test('a tag that is a number is the version, whatever else is written', async () => {
  const { versions, tags } = await numbered([pointed('v7', 'a', { written: '3' }), pointed('prod', 'a')]);
  assert.deepEqual(versions, { 7: 'a' });
  assert.deepEqual(tags, { v7: '7', prod: '7' });
});

test('a number that was written comes before that of another tag, and that before a remembered one', async () => {
  const numbers = rememberedNumbers();
  for (const digest of ['a', 'b', 'c']) await numbers.next('digits', digest, '0');
  const tags = [
    pointed('one', 'a', { written: '30', numberedBy: '40' }),
    pointed('two', 'b', { numberedBy: '40' }),
    pointed('three', 'c'),
  ];
  assert.deepEqual((await numbered(tags, numbers)).tags, { one: '30', two: '40', three: '3' });
});

test('a new digest gets a number above all others, and the same one at the next look', async () => {
  const numbers = rememberedNumbers();
  const tags = [pointed('prod', 'a'), pointed('9', 'b')];
  assert.deepEqual((await numbered(tags, numbers)).tags, { 9: '9', prod: '10' });
  assert.deepEqual((await numbered(tags, numbers)).tags, { 9: '9', prod: '10' });
});

test('two tags of one digest are one version', async () => {
  const { versions, tags } = await numbered([pointed('prod', 'a'), pointed('canary', 'a')]);
  assert.deepEqual(versions, { 1: 'a' });
  assert.deepEqual(tags, { prod: '1', canary: '1' });
});

test('of two contents that say the same number the one asked for first has it', async () => {
  const tags = [pointed('prod', 'a', { written: '3' }), pointed('canary', 'b', { written: '3' })];
  const { versions, ignored } = await numbered(tags);
  assert.deepEqual(versions, { 3: 'a' });
  assert.deepEqual(ignored, ["digits: tag 'canary' is version 3 like another tag, but of other content"]);
});

test('a remembered number that is a name of other content by now is replaced', async () => {
  const numbers = rememberedNumbers();
  await numbers.next('digits', 'a', '0');
  assert.deepEqual((await numbered([pointed('prod', 'a'), pointed('1', 'b')], numbers)).tags, { 1: '1', prod: '2' });
});

test('names of repositories follow the grammar of the protocol', () => {
  for (const name of ['a', 'models/digits', 'a.b/c_d/e__f/g--h', 'x'.repeat(255)])
    assert.equal(checkedRepository(name), name);
  for (const name of ['', 'A', 'a/', '/a', 'a//b', '..', 'a/../b', 'a..b', 'a b', 'a:b', 'é', 'x'.repeat(256)]) {
    assert.throws(() => checkedRepository(name), { code: 'FAILED_PRECONDITION' }, name);
  }
});

test('tags that are numbers are versions and never aliases', () => {
  const seen = ['7', 'v7', 'V12', '0', '07', 'v1.2', 'prod', 'latest', '_x', '1234567890123456'];
  assert.deepEqual(seen.map(versionOfTag), ['7', '7', '12', ...Array(7).fill(undefined)]);
  assert.deepEqual(seen.filter(isAlias), ['prod']);
});

test('challenges are read with their parameters, several in one header too', () => {
  assert.deepEqual(
    challengesOf('Basic realm="a, \\"b\\"", Bearer realm="https://x/y?z=1",service=s , scope="a:b:pull,push"'),
    [
      { scheme: 'basic', parameters: { realm: 'a, "b"' } },
      { scheme: 'bearer', parameters: { realm: 'https://x/y?z=1', service: 's', scope: 'a:b:pull,push' } },
    ],
  );
  assert.deepEqual(challengesOf('BEARER Realm="x",ERROR="invalid_token"'), [
    { scheme: 'bearer', parameters: { realm: 'x', error: 'invalid_token' } },
  ]);
  for (const odd of ['', ',', '=', 'realm="x"', '"', `Basic ${'x'.repeat(9000)}`])
    assert.deepEqual(challengesOf(odd), [], odd);
});

test('a registry asked by https cannot send us to a realm that is not, even where it is allowed', async () => {
  const auth = new OciAuth({
    registry: new URL('https://models.example'),
    allowRealms: ['models.example'],
    credentials: noCredentials,
    http: { ask: () => assert.fail('it was asked'), close: () => {} },
    now: () => 0,
  });
  const refusal = { challenge: 'Bearer realm="http://models.example/token"', sent: undefined };
  await assert.rejects(auth.headerAfter('a/b', refusal, signal), { code: 'UNAUTHENTICATED', message: /by https/ });
});
