/** Small documents: whole or the old one, never reset without a word; and what the registry keeps in them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { z } from 'zod';
import { FirstDigests, openSerials } from '../src/registry/store/documents.js';
import { Quarantine } from '../src/registry/store/quarantine.js';
import { StateDocument, StateFolder } from '../src/registry/store/state.js';
import { freshPath, sha256 } from './store-source.js';

function freshState(context: TestContext) {
  const path = freshPath(context);
  const reports: string[] = [];
  return { path, reports, state: new StateFolder(path, (message) => reports.push(message)) };
}

const numbers = z.array(z.number());

describe('a state document', () => {
  it('is what was written last, or the fallback', async (context) => {
    const { path, state } = freshState(context);
    assert.deepEqual(await state.read('n', numbers, [0]), [0]);
    await state.write('n', [1, 2]);
    assert.deepEqual(await state.read('n', numbers, []), [1, 2]);
    assert.deepEqual(readdirSync(path), ['n.json']);
  });

  it('that cannot be read is reported by name and kept aside, each one of several', async (context) => {
    const { path, reports, state } = freshState(context);
    for (const text of ['[1,', '["x"]', '']) {
      writeFileSync(join(path, 'n.json'), text);
      assert.deepEqual(await state.read('n', numbers, []), []);
    }
    assert.deepEqual(readdirSync(path), ['n.json.bad', 'n.json.bad1', 'n.json.bad2']);
    assert.equal(readFileSync(join(path, 'n.json.bad'), 'utf8'), '[1,');
    assert.match(reports[0]!, /^state document n\.json cannot be read and starts empty, kept as n\.json\.bad: /);
    assert.match(reports[1]!, /kept as n\.json\.bad1: '0': /);
  });

  it('written many times at once ends as the last one', async (context) => {
    const { state } = freshState(context);
    await Promise.all(Array.from({ length: 20 }, (_, n) => state.write('n', [n])));
    assert.deepEqual(await state.read('n', numbers, []), [19]);
  });

  it('whose write failed before is written all the same, and a change that was not written has not happened', async (context) => {
    const { state } = freshState(context);
    await assert.rejects(state.write('missing/n', []), {
      code: 'INTERNAL',
      message: /missing\/n\.json: the store cannot/,
    });
    const document = await StateDocument.open(state, 'missing/n', numbers, []);
    await assert.rejects(document.change(() => [1]));
    assert.deepEqual(document.value, []);
    await state.write('n', [1]);
  });
});

describe('the quarantine', () => {
  const entry = {
    model: 'fraud',
    version: '7',
    artifact_sha256: sha256('x'),
    reason: 'crashed',
    since: 1000,
    evidence: 'SIGFPE twice in 60 s',
  } as const;

  it('outlives the process, keeps the first reason, and is by digest', async (context) => {
    const { state } = freshState(context);
    const first = await Quarantine.open(state);
    await Promise.all([first.add(entry), first.add({ ...entry, version: '8', reason: 'operator' })]);
    const second = await Quarantine.open(state);
    assert.deepEqual(second.list(), [entry]);
    assert.deepEqual(second.find(sha256('x')), entry);
    assert.equal(second.find(sha256('y')), undefined);
  });

  it('is lifted by hand only', async (context) => {
    const { state } = freshState(context);
    const quarantine = await Quarantine.open(state);
    await quarantine.add(entry);
    assert.equal(await quarantine.lift(sha256('y')), undefined);
    assert.deepEqual(await quarantine.lift(entry.artifact_sha256), entry);
    assert.deepEqual((await Quarantine.open(state)).list(), []);
  });
});

describe('serials and first digests', () => {
  it('outlive the process, and a source may be called like a property of every object', async (context) => {
    const { state } = freshState(context);
    const serials = await openSerials(state);
    assert.equal(serials.get('toString'), undefined);
    await serials.set('index', 41);
    assert.equal((await openSerials(state)).get('index'), 41);
  });

  it('remember the digest that came first', async (context) => {
    const { state } = freshState(context);
    const digests = await FirstDigests.open(state);
    const offer = { source: 'a', model: 'b', version: '1' };
    await digests.remember([{ ...offer, artifactSha256: sha256('1') }]);
    await digests.remember([{ ...offer, artifactSha256: sha256('2') }]);
    assert.equal((await FirstDigests.open(state)).of(offer), sha256('1'));
  });
});
