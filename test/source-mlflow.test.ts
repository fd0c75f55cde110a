/**
 * What the MLflow source lists: which versions an alias or a policy names, how pages are read, what a fault of the server
 * means and what it does not.
 */
import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { createCredentials } from '../src/registry/net/credentials.js';
import type { Listing, Source } from '../src/registry/source.js';
import type { MlflowSourceOptions } from '../src/registry/sources/mlflow.js';
import { FakeMlflow, type FakeOptions } from './servers/mlflow.js';
import { serverPath } from './servers/mlflow-artifacts.js';
import { sourceAt } from './servers/mlflow-source.js';

const { signal } = new AbortController();
const champion = { fraud: { alias: 'champion' } };
const where = 'mlflow-artifacts:/1/a';

let fake: FakeMlflow;
let url: URL;
const closing: (() => Promise<void>)[] = [];

async function start(options: FakeOptions = {}): Promise<void> {
  fake = new FakeMlflow(options);
  url = await fake.listen();
  const started = fake;
  closing.push(() => started.close());
}

function follow(options: Partial<MlflowSourceOptions> = {}): { source: Source; waits: number[] } {
  const followed = sourceAt(url, options);
  closing.push(() => followed.source.close());
  return followed;
}

const closeAll = async () => {
  for (const close of closing.splice(0)) await close();
};
after(closeAll);
afterEach(closeAll);

/** A model with so many versions. */
function register(name: string, count: number): void {
  fake.registry.createModel(name);
  for (let n = 0; n < count; n++) fake.registry.createVersion(name, { source: where });
}

const shown = (listing: Listing | undefined) =>
  listing?.models.map(({ name, versions, aliases }) => {
    const numbers = versions.map(({ version, waiting }) => (waiting === undefined ? version : `${version} waits`));
    return `${name}: ${numbers.join(' ')} ${JSON.stringify(aliases)}`;
  });

const fails = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof GatewayError &&
  error.code === code &&
  text.test(error.message) &&
  !error.message.includes(serverPath);

const json = (value: unknown) => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
});

describe('an alias', () => {
  beforeEach(async () => {
    await start();
    register('fraud', 2);
    fake.registry.setAlias('fraud', 'champion', '1');
  });

  it('gives the version it points to, with what MLflow knows about it', async () => {
    const tags = { approved: 'true', approved_by: 'ann' };
    const metrics = { accuracy: 0.94, loss: Number.NaN };
    const given = { source: where, runId: 'r1', description: 'better', tags, metrics };
    fake.registry.createVersion('fraud', given);
    fake.registry.setAlias('fraud', 'champion', '3');
    fake.registry.setAlias('fraud', 'blessed', '3');
    const listing = await follow({ models: champion }).source.list(signal);
    assert.deepEqual(shown(listing), ['fraud: 3 {"blessed":"3","champion":"3"}']);
    assert.deepEqual(listing!.models[0]!.versions[0]!.facts, {
      tags,
      description: 'better',
      metrics: { accuracy: 0.94 },
      runId: 'r1',
      created: '2025-10-09T08:53:20.004Z',
    });
    assert.deepEqual(listing!.ignored, []);
  });

  it('that moved is followed at the next poll, and one request is all it takes', async () => {
    const { source } = follow({ models: champion });
    assert.deepEqual(shown(await source.list(signal)), ['fraud: 1 {"champion":"1"}']);
    assert.equal(await source.list(signal), undefined);
    fake.registry.setAlias('fraud', 'champion', '2');
    assert.deepEqual(shown(await source.list(signal)), ['fraud: 2 {"champion":"2"}']);
    assert.equal(fake.requests.length, 3);
  });

  it('that is not set is a sentence, and no fault', async () => {
    const { source, waits } = follow({ models: { fraud: { alias: 'blessed' } } });
    const listing = await source.list(signal);
    assert.deepEqual(shown(listing), ['fraud:  {}']);
    assert.deepEqual(listing!.ignored, ["fraud: alias 'blessed' is not set, or its version is gone"]);
    assert.deepEqual(waits, []);
  });

  it('of a model that is gone is a sentence, too', async () => {
    const { source } = follow({ models: champion });
    await source.list(signal);
    fake.registry.deleteModel('fraud');
    const listing = await source.list(signal);
    assert.deepEqual(listing, { models: [], ignored: ['fraud: there is no such registered model'] });
  });

  it('beside another gives both versions', async () => {
    fake.registry.setAlias('fraud', 'challenger', '2');
    const { source } = follow({ models: { fraud: { aliases: ['champion', 'challenger'] } } });
    assert.deepEqual(shown(await source.list(signal)), ['fraud: 1 2 {"challenger":"2","champion":"1"}']);
  });

  it('that flaps is wherever it is when asked, at one request a poll', async () => {
    const { source } = follow({ models: champion });
    let target = '1';
    fake.before = () => {
      target = target === '1' ? '2' : '1';
      fake.registry.setAlias('fraud', 'champion', target);
    };
    for (let poll = 1; poll <= 40; poll++) {
      assert.deepEqual(shown(await source.list(signal)), [`fraud: ${target} {"champion":"${target}"}`]);
      assert.equal(fake.requests.length, poll);
    }
  });

  it('to a version whose registration is pending waits for it', async () => {
    const { source } = follow({ models: champion });
    const pending = fake.registry.createVersion('fraud', { source: where, status: 'PENDING_REGISTRATION' });
    fake.registry.setAlias('fraud', 'champion', pending.version);
    const before = await source.list(signal);
    assert.equal(before!.models[0]!.versions[0]!.waiting, 'its registration is pending');
    await assert.rejects(source.resolve('fraud', '3', signal), fails('UNAVAILABLE', /pending/));
    pending.status = 'READY';
    const ready = await source.list(signal);
    assert.equal('waiting' in ready!.models[0]!.versions[0]!, false);
    assert.notEqual(ready!.models[0]!.versions[0]!.revision, before!.models[0]!.versions[0]!.revision);
  });

  it('to a version whose registration failed is listed, and refused when it is resolved', async () => {
    const { source } = follow({ models: champion });
    const status = { status: 'FAILED_REGISTRATION', statusMessage: `no space in ${serverPath}` };
    fake.registry.createVersion('fraud', { source: where, ...status });
    fake.registry.setAlias('fraud', 'champion', '3');
    assert.deepEqual(shown(await source.list(signal)), ['fraud: 3 {"champion":"3"}']);
    await assert.rejects(
      source.resolve('fraud', '3', signal),
      fails('FAILED_PRECONDITION', /^model 'fraud' version '3': its registration failed/),
    );
  });
});

describe('a policy', () => {
  beforeEach(async () => {
    await start();
    register('fraud', 12);
  });

  const versionsOf = async (versions: 'all' | { latest: { n: number } } | { specific: string[] }) =>
    await follow({ models: { fraud: { versions } } }).source.list(signal);

  it('of all gives every version in the order of numbers', async () => {
    assert.deepEqual(shown(await versionsOf('all')), ['fraud: 1 2 3 4 5 6 7 8 9 10 11 12 {}']);
  });

  it('of the latest goes by number, never by stage', async () => {
    fake.registry.transition('fraud', '3', 'Production');
    assert.deepEqual(shown(await versionsOf({ latest: { n: 2 } })), ['fraud: 11 12 {}']);
  });

  it('of the latest keeps the newest that are ready beside newer ones that wait', async () => {
    fake.registry.version('fraud', '12').status = 'PENDING_REGISTRATION';
    fake.registry.version('fraud', '10').status = 'FAILED_REGISTRATION';
    const listing = await versionsOf({ latest: { n: 2 } });
    assert.deepEqual(shown(listing), ['fraud: 9 11 12 waits {}']);
    assert.deepEqual(listing!.ignored, ['fraud: version 10: its registration failed']);
  });

  it('of certain versions says which of them is not there', async () => {
    fake.registry.deleteVersion('fraud', '3');
    const listing = await versionsOf({ specific: ['2', '3'] });
    assert.deepEqual(shown(listing), ['fraud: 2 {}']);
    assert.deepEqual(listing!.ignored, ['fraud: version 3 is not there']);
  });

  it('never hides a version that an alias names; aliases do not come from a search', async () => {
    fake.registry.setAlias('fraud', 'champion', '4');
    assert.deepEqual(shown(await versionsOf({ latest: { n: 1 } })), ['fraud: 4 12 {"champion":"4"}']);
  });

  it('says so when an alias points to a version that is gone', async () => {
    fake.registry.model('fraud').aliases.set('champion', '99');
    const listing = await versionsOf({ latest: { n: 1 } });
    assert.deepEqual(shown(listing), ['fraud: 12 {}']);
    assert.deepEqual(listing!.ignored, ['fraud: an alias points to version 99, which is not there']);
  });
});

describe('pages', () => {
  beforeEach(() => start());

  const all = { fraud: { versions: 'all' } } as const;
  const numbers = (listing: Listing | undefined) => listing!.models[0]!.versions.map(({ version }) => Number(version));

  it('are read to the end, and shift without losing or doubling anything', async () => {
    register('fraud', 450);
    fake.before = (path) => {
      if (path.includes('page_token')) fake.registry.createVersion('fraud', { source: where });
    };
    const { source } = follow({ models: all });
    const found = numbers(await source.list(signal));
    assert.deepEqual(
      found.slice(0, 450),
      Array.from({ length: 450 }, (_, index) => index + 1),
    );
    assert.equal(new Set(found).size, found.length);
  });

  it('that shift back when a version is deleted are whole again at the next poll', async () => {
    register('fraud', 300);
    let isFirst = true;
    fake.before = (path) => {
      if (path.includes('page_token') && isFirst) fake.registry.deleteVersion('fraud', '5');
      if (path.includes('page_token')) isFirst = false;
    };
    const { source } = follow({ models: all });
    await source.list(signal);
    const expected = Array.from({ length: 300 }, (_, index) => index + 1).filter((number) => number !== 5);
    assert.deepEqual(numbers(await source.list(signal)), expected);
  });

  const badToken = {
    status: 400,
    headers: { 'content-type': 'application/json' },
    body: '{"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid page token, could not base64-decode"}',
  };

  it('start over once when a token is refused', async () => {
    register('fraud', 250);
    fake.misbehave(/page_token/, badToken);
    assert.equal(numbers(await follow({ models: all }).source.list(signal)).length, 250);
  });

  it('start over only once', async () => {
    register('fraud', 250);
    fake.misbehave(/page_token/, badToken, 2);
    await assert.rejects(follow({ models: all }).source.list(signal), fails('FAILED_PRECONDITION', /answered 400/));
    assert.equal(fake.asked(/model-versions\/search/).length, 4);
  });

  it('without end are given up', async () => {
    register('fraud', 1);
    fake.misbehave(/search/, json({ model_versions: [], next_page_token: 'eyJvZmZzZXQiOiAxfQ==' }), 1000);
    await assert.rejects(follow({ models: all }).source.list(signal), fails('FAILED_PRECONDITION', /500 pages/));
  });
});

describe('many models', () => {
  const names = Array.from({ length: 230 }, (_, index) => `m${String(index).padStart(3, '0')}`);
  const models = Object.fromEntries(names.map((name) => [name, { alias: 'champion' }]));

  beforeEach(async () => {
    await start();
    for (const name of names) {
      register(name, 2);
      fake.registry.setAlias(name, 'champion', '1');
    }
    register('unwanted', 1);
  });

  it('are asked for in pages, and afterwards only those that moved are looked at, with twenty others', async () => {
    const { source } = follow({ models });
    assert.equal((await source.list(signal))!.models.length, 230);
    fake.requests.length = 0;
    fake.registry.setAlias('m150', 'champion', '2');
    const moved = await source.list(signal);
    assert.deepEqual(moved!.models.find(({ name }) => name === 'm150')!.aliases, { champion: '2' });
    assert.equal(fake.asked(/registered-models\/search/).length, 2);
    assert.equal(fake.asked(/model-versions\/get/).length, 21);
    assert.equal(fake.requests.length, 23);
  });

  it('are all looked at again in turn, so that a new tag is seen', async () => {
    const { source } = follow({ models });
    await source.list(signal);
    fake.registry.version('m229', '1').tags.set('approved', 'true');
    let polls = 0;
    while ((await source.list(signal)) === undefined) polls++;
    assert.ok(polls < 12, `${polls} polls`);
  });

  it('may be all that there are, except for those whose names cannot be served', async () => {
    register('no good/name', 1);
    register('stats', 1);
    fake.registry.model('m000').aliases.set('not an alias', '1');
    const listing = await follow().source.list(signal);
    assert.equal(listing!.models.length, 231);
    assert.deepEqual(shown(listing)![0], 'm000: 1 2 {"champion":"1"}');
    assert.deepEqual(listing!.ignored, [
      '"no good/name": not a model name',
      '"stats": not a model name',
      'm000: alias "not an alias" is not a name for an alias here',
    ]);
  });

  it('that are gone are sentences', async () => {
    const { source } = follow({ models: { ...models, absent: { alias: 'champion' } } });
    const listing = await source.list(signal);
    assert.deepEqual([listing!.models.length, listing!.ignored], [230, ['absent: there is no such registered model']]);
  });
});

describe('a server', () => {
  const polled = async (options: Partial<MlflowSourceOptions> = {}) =>
    shown(await follow({ models: champion, ...options }).source.list(signal));
  const found = ['fraud: 1 {"champion":"1"}'];

  async function startWithModel(options: FakeOptions = {}): Promise<void> {
    await start(options);
    register('fraud', 1);
    fake.registry.setAlias('fraud', 'champion', '1');
  }

  const environment = { USER: 'ann', PASSWORD: 'secret', TOKEN: 'token' };
  const basic = createCredentials({ userEnv: 'USER', passwordEnv: 'PASSWORD' }, environment);
  const bearer = createCredentials({ tokenEnv: 'TOKEN' }, environment);
  const both = createCredentials({ userEnv: 'USER', passwordEnv: 'PASSWORD', tokenEnv: 'TOKEN' }, environment);

  it('with Basic authentication takes user and password, which win over a token', async () => {
    await startWithModel({ auth: { basic: 'ann:secret' } });
    assert.deepEqual(await polled({ credentials: basic }), found);
    assert.deepEqual(await polled({ credentials: both }), found);
  });

  it('behind a proxy takes a token', async () => {
    await startWithModel({ auth: { bearer: 'token' } });
    assert.deepEqual(await polled({ credentials: bearer }), found);
  });

  it('that refuses the credentials is asked once, and the error shows none of them', async () => {
    await startWithModel({ auth: { basic: 'ann:other' } });
    await assert.rejects(polled({ credentials: basic }), (error) => {
      assert.ok(fails('UNAUTHENTICATED', /^source 'main': .* answered 401: check the credentials/)(error));
      return !String(error).includes('secret');
    });
    await assert.rejects(polled(), fails('UNAUTHENTICATED', /401/));
    assert.equal(fake.requests.length, 2);
    fake.misbehave(/alias/, { status: 403 });
    await assert.rejects(polled({ credentials: basic }), fails('PERMISSION_DENIED', /403/));
  });

  it('may have a prefix', async () => {
    await startWithModel({ prefix: '/ml/flow' });
    assert.deepEqual(await polled(), found);
    url = new URL(`${url.href}/`);
    assert.deepEqual(await polled(), found);
  });

  it('of MLflow 3 gets its own name as Host, and the workspace that is meant', async () => {
    await startWithModel({ isThree: true });
    assert.deepEqual(await polled({ workspace: 'risk' }), found);
    assert.equal(fake.requests[0]!.headers['x-mlflow-workspace'], 'risk');
    assert.equal(fake.requests[0]!.headers.host, url.host);
  });

  it('at a wrong url never looks as if a model had been deleted', async () => {
    await startWithModel();
    url = new URL('/elsewhere', url);
    await assert.rejects(polled(), fails('UNAVAILABLE', /answered 404: nothing of MLflow answers there/));
  });

  it('that answers a page, half a JSON or other JSON is not believed', async () => {
    await startWithModel();
    const html = { 'content-type': 'text/html' };
    fake.misbehave(/alias/, { status: 200, headers: html, body: '<html>log in</html>' });
    await assert.rejects(polled(), fails('FAILED_PRECONDITION', /expected JSON, got text\/html/));
    fake.misbehave(/alias/, 'short');
    await assert.rejects(polled(), GatewayError);
    fake.misbehave(/alias/, json({ model_version: { name: 'fraud', version: 1 } }));
    await assert.rejects(polled(), fails('UNAVAILABLE', /not as MLflow answers it: 'model_version.version'/));
  });

  it('that gives another model than was asked for is not believed', async () => {
    await startWithModel();
    fake.misbehave(/alias/, json({ model_version: { name: 'other', version: '1', status: 'READY' } }));
    assert.deepEqual(await polled(), ['fraud:  {}']);
  });

  it('that is overloaded is asked again when it says, and what it says is not shown', async () => {
    await startWithModel();
    fake.misbehave(/alias/, { status: 429, headers: { 'retry-after': '7' } });
    fake.misbehave(/alias/, { status: 500, body: serverPath });
    fake.misbehave(/alias/, { status: 503 });
    const { source, waits } = follow({ models: champion });
    assert.deepEqual(shown(await source.list(signal)), found);
    assert.deepEqual(waits, [7000, 2000, 4000]);
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ error_code: 'INTERNAL_ERROR', message: `no such file ${serverPath}` });
    fake.misbehave(/alias/, { status: 500, headers, body }, 7);
    await assert.rejects(source.list(signal), fails('UNAVAILABLE', /answered 500 INTERNAL_ERROR$/));
    assert.equal(await source.list(signal), undefined);
  });

  it('that hangs is given up by the signal', async () => {
    await startWithModel();
    fake.misbehave(/alias/, 'hang');
    const poll = new AbortController();
    fake.before = () => setImmediate(() => poll.abort(new GatewayError('CANCELLED', 'stopped')));
    await assert.rejects(follow({ models: champion }).source.list(poll.signal), fails('CANCELLED', /given up/));
  });

  it('that cuts every answer is UNAVAILABLE, and its listing is as it was when it is back', async () => {
    await startWithModel();
    const { source } = follow({ models: champion });
    await source.list(signal);
    fake.misbehave(/alias/, 'cut');
    await assert.rejects(source.list(signal), fails('UNAVAILABLE', /cut after/));
    assert.equal(await source.list(signal), undefined);
  });
});

describe('a revision', () => {
  beforeEach(async () => {
    await start();
    register('fraud', 1);
    fake.registry.setAlias('fraud', 'champion', '1');
  });

  const revision = async (models: MlflowSourceOptions['models'] = champion) =>
    (await follow({ models }).source.list(signal))!.models[0]!.versions[0]!.revision;

  it('is the same by alias, by version and by search, and for a new description', async () => {
    const first = await revision();
    fake.registry.version('fraud', '1').description = 'words';
    fake.registry.transition('fraud', '1', 'Production');
    assert.equal(await revision({ fraud: { versions: 'all' } }), first);
    assert.equal(await revision({ fraud: { versions: { specific: ['1'] } } }), first);
  });

  it('is another when a digest is corrected, or the model was deleted and made again', async () => {
    const first = await revision();
    fake.registry.version('fraud', '1').tags.set('sha256', 'a'.repeat(64));
    const corrected = await revision();
    assert.notEqual(corrected, first);
    fake.registry.deleteModel('fraud');
    register('fraud', 1);
    fake.registry.setAlias('fraud', 'champion', '1');
    assert.notEqual(await revision(), first);
  });
});

describe('a configuration', () => {
  it('that wants a model which cannot be served under its name is refused', () => {
    const make = () => sourceAt(new URL('http://127.0.0.1:1'), { models: { 'a/b': { alias: 'champion' } } });
    assert.throws(make, fails('INVALID_ARGUMENT', /'a\/b' is not a model name/));
  });
});
