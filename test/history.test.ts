/** Which version served at a moment, told from the audit log, and the table of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { AuditAction, PublishedDetail } from '../src/audit/actions.js';
import type { JsonObject } from '../src/audit/canonical.js';
import { type AuditRecord, emptyHead, sealed } from '../src/audit/entry.js';
import { at, historyOf, type ServingPeriod } from '../src/audit/history.js';
import { renderHistory, showHistory } from '../src/cli/history.js';
import { openLog } from './audit-fixture.js';
import { freshDirectory } from './system/server.js';

const minuteMs = 60_000;
const startMs = Date.parse('2026-06-14T10:00:00Z');
const timeOf = (minute: number) => new Date(startMs + minute * minuteMs).toISOString();

function published(version: string, change: Partial<PublishedDetail> = {}): PublishedDetail {
  return {
    model: 'digits',
    version,
    previous: null,
    source: 'mlflow',
    revision: `r${version}`,
    artifact_sha256: version.repeat(64),
    config_hash: 'c'.repeat(64),
    generation: Number(version),
    reason: 'alias champion moved',
    ...change,
  };
}

/** Entries a minute apart. */
function records(...entries: readonly (readonly [AuditAction, JsonObject])[]): AuditRecord[] {
  let head = emptyHead;
  return entries.map(([action, detail], minute) => {
    const record = sealed(head, { action, detail, actor: 'alice', subject: 's', ts: timeOf(minute) });
    head = { seq: record.entry.seq, hash: record.hash };
    return record;
  });
}

const spans = (periods: readonly ServingPeriod[]) =>
  periods.map(({ version, from, until, endedBy }) => [version, from, until, endedBy]);

test('a version serves from its publication to that of the next', async () => {
  const entries = records(
    ['started', {}],
    ['version.published', published('1')],
    ['version.published', published('7', { model: 'fraud' })],
    ['version.published', published('2', { previous: '1', reason: 'promoted' })],
    ['version.unloaded', { model: 'digits', version: '1', reason: 'drained' }],
  );
  const periods = await historyOf(entries, 'digits');
  assert.deepEqual(spans(periods), [
    ['1', timeOf(1), timeOf(3), 'replaced'],
    ['2', timeOf(3), undefined, undefined],
  ]);
  assert.deepEqual(periods[1], {
    version: '2',
    source: 'mlflow',
    revision: 'r2',
    artifactSha256: '2'.repeat(64),
    configHash: 'c'.repeat(64),
    generation: 2,
    actor: 'alice',
    reason: 'promoted',
    seq: 4,
    from: timeOf(3),
    until: undefined,
    endedBy: undefined,
  });
});

test('at any moment there is one answer, at the first and the last millisecond of a period, too', async () => {
  const entries = records(
    ['started', {}],
    ['version.published', published('1')],
    ['version.published', published('2')],
    ['stopped', {}],
  );
  const periods = await historyOf(entries, 'digits');
  const versionAt = (ms: number) => at(periods, ms)?.version;
  assert.equal(versionAt(startMs + minuteMs - 1), undefined);
  assert.equal(versionAt(startMs + minuteMs), '1');
  assert.equal(versionAt(startMs + 2 * minuteMs - 1), '1');
  assert.equal(versionAt(startMs + 2 * minuteMs), '2');
  assert.equal(versionAt(startMs + 3 * minuteMs - 1), '2');
  assert.equal(versionAt(startMs + 3 * minuteMs), undefined);
  assert.equal(versionAt(startMs + 99 * minuteMs), undefined);
});

test('nothing serves after an unload, a quarantine, a stop or a kill, until something is published', async () => {
  const gone = { model: 'digits', version: '1', reason: '' };
  const ends: readonly (readonly [AuditAction, JsonObject, ServingPeriod['endedBy']])[] = [
    ['version.unloaded', gone, 'unloaded'],
    ['version.quarantined', gone, 'quarantined'],
    ['stopped', {}, 'stopped'],
    ['started', {}, 'killed'],
  ];
  for (const [action, detail, endedBy] of ends) {
    const entries = records(['version.published', published('1')], [action, detail], ['config.applied', {}]);
    assert.deepEqual(spans(await historyOf(entries, 'digits')), [['1', timeOf(0), timeOf(1), endedBy]], action);
  }
});

test('what happens to other versions and other models ends nothing', async () => {
  const entries = records(
    ['version.published', published('2')],
    ['version.unloaded', { model: 'digits', version: '1', reason: '' }],
    ['version.quarantined', { model: 'digits', version: '3', reason: '' }],
    ['version.unloaded', { model: 'fraud', version: '2', reason: '' }],
    ['unload', { model: 'digits', version: '2', reason: 'asked for' }],
  );
  assert.deepEqual(spans(await historyOf(entries, 'digits')), [['2', timeOf(0), undefined, undefined]]);
  assert.deepEqual(await historyOf(entries, 'fraud'), []);
});

test('another configuration of the same version is another period', async () => {
  const entries = records(
    ['version.published', published('1')],
    ['version.published', published('1', { previous: '1', config_hash: 'd'.repeat(64) })],
  );
  const periods = await historyOf(entries, 'digits');
  assert.deepEqual(
    periods.map(({ configHash }) => configHash[0]),
    ['c', 'd'],
  );
});

test('of very many periods the newest are kept', async () => {
  function* many(): Generator<AuditRecord> {
    for (let i = 1; i <= 10_001; i++) {
      yield sealed(
        { seq: i - 1, hash: emptyHead.hash },
        { action: 'version.published', detail: published(String(i)), actor: '', subject: '', ts: timeOf(i) },
      );
    }
  }
  const periods = await historyOf(many(), 'digits');
  assert.equal(periods.length, 10_000);
  assert.equal(periods[0]!.version, '2');
});

test('the history is read from a log across its files', async (context) => {
  let minute = 0;
  const log = await openLog(freshDirectory(context), { fileBytesMax: 1000, now: () => startMs + minute * minuteMs });
  for (let version = 1; version <= 6; version++) {
    minute = version;
    await log.append('version.published', `digits@${version}`, published(String(version)));
  }
  const periods = await historyOf(log.read(), 'digits');
  assert.equal(periods.length, 6);
  assert.equal(at(periods, startMs + 4 * minuteMs)?.version, '4');
  await log.close();
});

test('the table shows the newest period first, digests in short and nothing that a terminal would obey', async () => {
  const entries = records(
    ['version.published', published('1')],
    ['version.published', published('2', { reason: 'a\u001b[31mb' })],
  );
  const lines = renderHistory(await historyOf(entries, 'digits'))
    .trimEnd()
    .split('\n');
  assert.match(lines[0]!, /^FROM +UNTIL +VERSION +SOURCE +DIGEST +CONFIG +BY +REASON +ENDED$/);
  assert.match(lines[1]!, /^2026-06-14T10:01:00\.000Z +now +2 +mlflow +2{12} +c{12} +alice +a\?\[31mb$/);
  assert.match(lines[2]!, /^2026-06-14T10:00:00\.000Z +2026-06-14T10:01:00\.000Z +1 .* replaced$/);
  assert.equal(renderHistory([]), 'nothing served\n');
});

test('history asks the control port for a model, all of it or a moment', async (context) => {
  const entries = records(['version.published', published('1')], ['version.published', published('2')]);
  const periods = await historyOf(entries, 'digits');
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`);
    response.end(request.url!.includes('/models/') ? JSON.stringify({ model: 'a b', periods }) : '{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { url: `${url}/`, token: 'secret' };

  assert.equal((await showHistory('a b', options)).trimEnd().split('\n').length, 3);
  assert.deepEqual(asked, ['/admin/models/a%20b/history Bearer secret']);
  const one = await showHistory('a b', { ...options, at: '2026-06-14T12:00:30+02:00', json: true });
  assert.deepEqual(JSON.parse(one).periods, [JSON.parse(JSON.stringify(periods[0]))]);
  assert.equal(await showHistory('a b', { ...options, at: '2026-06-14T09:00:00Z' }), 'nothing served\n');
  await assert.rejects(showHistory('a b', { ...options, at: 'yesterday' }), { exitCode: 2 });
});
