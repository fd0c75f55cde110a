/** What several sources together offer, and which versions of it are wanted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Catalogue, type CatalogueOptions, type CatalogueSource, chosen } from '../src/registry/catalogue.js';
import { noFacts, type SourceModel, type SourceVersion } from '../src/registry/source.js';

const versionsOf = (...numbers: string[]): SourceVersion[] =>
  numbers.map((version) => ({ version, revision: `r${version}`, bytes: 1, facts: noFacts }));

const model = (name: string, versions: SourceVersion[], change: Partial<SourceModel> = {}): SourceModel => ({
  name,
  versions,
  aliases: {},
  ...change,
});

const source = (name: string, change: Partial<CatalogueSource> = {}): CatalogueSource => ({
  name,
  models: undefined,
  versions: undefined,
  approvalTag: undefined,
  ...change,
});

function catalogueOf(sources: CatalogueSource[], change: Partial<CatalogueOptions> = {}) {
  const ignored: string[] = [];
  const catalogue = new Catalogue({
    sources,
    policyOf: () => undefined,
    ownPolicyOf: () => undefined,
    routed: () => [],
    shadowed: () => [],
    defaultPolicy: () => ({ latest: { n: 1 } }),
    ignored: (what) => void ignored.push(what),
    ...change,
  });
  const put = (name: string, ...models: SourceModel[]) => catalogue.put(name, { models, ignored: [] });
  const wanted = (name: string) => catalogue.model(name)?.wanted.map(({ version }) => version);
  return { catalogue, put, wanted, ignored };
}

test('of one model the newest version is wanted, by number and not by text', () => {
  const { put, wanted, catalogue } = catalogueOf([source('s')]);
  put('s', model('a', versionsOf('2', '9', '10')));
  assert.deepEqual(wanted('a'), ['10']);
  assert.equal(catalogue.model('a')!.known.length, 3);
});

test('a model belongs to the first source that has it, whichever answered first', () => {
  const { put, catalogue, ignored } = catalogueOf([source('first'), source('second')]);
  put('second', model('a', versionsOf('5')), model('b', versionsOf('1')));
  put('first', model('a', versionsOf('1')));
  assert.deepEqual(
    catalogue.models().map((one) => [one.name, one.source]),
    [
      ['a', 'first'],
      ['b', 'second'],
    ],
  );
  assert.deepEqual(ignored, ["second: 'a' comes from source 'first'"]);
});

test('a source with a list of models offers these and no others', () => {
  const { put, catalogue } = catalogueOf([source('s', { models: { a: { versions: 'all' } } })]);
  put('s', model('a', versionsOf('1', '2')), model('b', versionsOf('1')), model('toString', versionsOf('1')));
  assert.deepEqual(
    catalogue.models().map(({ name, wanted }) => [name, wanted.length]),
    [['a', 2]],
  );
});

test('a version that an alias names is wanted whatever the policy says', () => {
  const { put, wanted } = catalogueOf([source('s')]);
  put('s', model('a', versionsOf('1', '2', '3'), { aliases: { champion: '1' } }));
  assert.deepEqual(wanted('a'), ['1', '3']);
});

test('who follows an alias wants what it names and nothing else, and it answers by default', () => {
  const { put, wanted, catalogue } = catalogueOf([source('s', { models: { a: { alias: 'prod' } } })]);
  put('s', model('a', versionsOf('1', '2', '3'), { aliases: { prod: '2', other: '1' } }));
  assert.deepEqual(wanted('a'), ['2']);
  assert.deepEqual(catalogue.model('a')!.aliases, { prod: '2', champion: '2' });
});

test('of several aliases the first one answers by default, unless one is called champion', () => {
  const { put, catalogue } = catalogueOf([
    source('s', { models: { a: { aliases: ['prod', 'next'] }, b: { aliases: ['next', 'champion'] } } }),
  ]);
  const aliases = { prod: '1', next: '2', champion: '1' };
  put('s', model('a', versionsOf('1', '2'), { aliases }), model('b', versionsOf('1', '2'), { aliases }));
  assert.equal(catalogue.model('a')!.aliases.champion, '1');
  assert.equal(catalogue.model('b')!.aliases.champion, '1');
});

test('an alias that is not set, or names a version that is not there, wants nothing', () => {
  const { put, wanted } = catalogueOf([source('s', { models: { a: { alias: 'prod' }, b: { alias: 'prod' } } })]);
  put('s', model('a', versionsOf('1')), model('b', versionsOf('1'), { aliases: { prod: '7' } }));
  assert.deepEqual(wanted('a'), []);
  assert.deepEqual(wanted('b'), []);
});

test('the policy of the selector wins over that of the configuration, of the source, of the model and of all', () => {
  const config = { name: 'config.yaml', text: '' };
  const policies: Record<string, CatalogueOptions['policyOf']> = {
    configured: () => ({ specific: ['3'] }),
    none: () => undefined,
  };
  const wantedBy = (given: { selector: boolean; configured: boolean; source: boolean; own: boolean }) => {
    const { put, wanted } = catalogueOf(
      [
        source('s', {
          models: given.selector ? { a: { versions: { specific: ['4'] } } } : undefined,
          versions: given.source ? { specific: ['2'] } : undefined,
        }),
      ],
      {
        policyOf: policies[given.configured ? 'configured' : 'none']!,
        ownPolicyOf: () => (given.own ? { specific: ['1'] } : undefined),
      },
    );
    put('s', model('a', versionsOf('1', '2', '3', '4', '5'), { config }));
    return wanted('a')![0];
  };
  assert.equal(wantedBy({ selector: true, configured: true, source: true, own: true }), '4');
  assert.equal(wantedBy({ selector: false, configured: true, source: true, own: true }), '3');
  assert.equal(wantedBy({ selector: false, configured: false, source: true, own: true }), '2');
  assert.equal(wantedBy({ selector: false, configured: false, source: false, own: true }), '1');
  assert.equal(wantedBy({ selector: false, configured: false, source: false, own: false }), '5');
});

test('a version that waits takes nobody’s place', () => {
  const [one, two, three] = versionsOf('1', '2', '3') as [SourceVersion, SourceVersion, SourceVersion];
  const late = { ...three, waiting: 'still uploading' };
  const numbers = (found: readonly SourceVersion[]) => found.map(({ version }) => version);
  assert.deepEqual(numbers(chosen([one, two, late], { latest: { n: 1 } })), ['2', '3']);
  assert.deepEqual(numbers(chosen([one, two, late], { latest: { n: 2 } })), ['1', '2', '3']);
  assert.deepEqual(numbers(chosen([late], { latest: { n: 1 } })), ['3']);
  assert.deepEqual(numbers(chosen([one, two], 'all')), ['1', '2']);
  assert.deepEqual(numbers(chosen([one, two], { specific: ['2', '9'] })), ['2']);
});

test('a version that needs approval waits for a tag that says who and when', () => {
  const { put, catalogue } = catalogueOf([source('s', { approvalTag: 'approved' })]);
  const tagged = (version: string, tags: Record<string, string>): SourceVersion => ({
    ...versionsOf(version)[0]!,
    facts: { ...noFacts, tags },
  });
  const waitingWith = (tags: Record<string, string>) => {
    put('s', model('a', [tagged('1', tags)]));
    return catalogue.model('a')!.known[0]!.waiting;
  };
  const whole = { approved: 'yes', approved_by: 'ada', approved_at: '2026-06-14' };
  assert.equal(waitingWith(whole), undefined);
  assert.match(waitingWith({})!, /it has no tag 'approved', 'approved_by', 'approved_at'/);
  assert.match(waitingWith({ approved: 'yes', approved_at: 'now' })!, /it has no tag 'approved_by'/);
  assert.match(waitingWith({ ...whole, approved: 'false' })!, /tag 'approved' says false/);
});

test('names that no model, version or alias may have are invisible', () => {
  const { put, catalogue } = catalogueOf([source('s')]);
  const aliases = { ok: '1', v1: '1', '1x': '1' };
  put('s', model('../up', versionsOf('1')), model('a', versionsOf('1', '01', 'x'), { aliases }));
  assert.deepEqual(
    catalogue.models().map(({ name }) => name),
    ['a'],
  );
  assert.deepEqual(
    catalogue.model('a')!.known.map(({ version }) => version),
    ['1'],
  );
  assert.deepEqual(catalogue.model('a')!.aliases, { ok: '1' });
});

test('a newer listing takes the place of the older, and new rules are seen once the old are forgotten', () => {
  let policy: 'all' | { latest: { n: number } } = { latest: { n: 1 } };
  const { put, wanted, catalogue } = catalogueOf([source('s')], { defaultPolicy: () => policy });
  put('s', model('a', versionsOf('1', '2')));
  assert.deepEqual(wanted('a'), ['2']);
  put('s', model('a', versionsOf('1', '2', '3')));
  assert.deepEqual(wanted('a'), ['3']);
  policy = 'all';
  catalogue.forget();
  assert.deepEqual(wanted('a'), ['1', '2', '3']);
});

test('what other rules would offer is told without taking them up', () => {
  const { put, wanted, catalogue } = catalogueOf([source('s')]);
  put('s', model('a', versionsOf('1', '2')));
  const other = catalogue.under({
    sources: [source('s')],
    policyOf: () => 'all',
    ownPolicyOf: () => undefined,
    routed: () => [],
    shadowed: () => [],
    defaultPolicy: () => 'all',
    ignored: () => {},
  });
  assert.equal(other[0]!.wanted.length, 2);
  assert.deepEqual(wanted('a'), ['2']);
});

test('a version that a route names is wanted, whatever the policy says', () => {
  const { put, wanted } = catalogueOf([source('s')], { routed: (name) => (name === 'a' ? ['1'] : []) });
  put('s', model('a', versionsOf('1', '2', '3')), model('b', versionsOf('1', '2')));
  assert.deepEqual(wanted('a'), ['1', '3']);
  assert.deepEqual(wanted('b'), ['2']);
});
