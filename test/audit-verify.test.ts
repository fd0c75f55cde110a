/** `sluice audit verify` and `tail`: what they notice, and what they say. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonicalOf } from '../src/audit/canonical.js';
import type { AuditEntry } from '../src/audit/entry.js';
import { verifyAudit } from '../src/audit/verify.js';
import { showAuditTail, verifyAuditLog } from '../src/cli/audit.js';
import { filesOf, linesIn, openLog, writeLines, writeLog } from './audit-fixture.js';
import { freshDirectory } from './system/server.js';

/** The entry of a line, changed, with a hash that fits it. */
function forged(line: string, change: Partial<AuditEntry>): string {
  const entry = { ...JSON.parse(line).entry, ...change };
  const hash = createHash('sha256').update(canonicalOf(entry)).digest('hex');
  return JSON.stringify({ entry, hash });
}

test('any change of any member of an entry is noticed, at the entry that was changed', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 5);
  const lines = linesIn(path);
  const changes: readonly (readonly [string, string])[] = [
    ['"seq":3', '"seq":4'],
    ['system:test', 'system:tess'],
    ['"action":"load"', '"action":"unload"'],
    ['digits@3', 'digits@4'],
    ['{"i":3}', '{"i":4}'],
    ['{"i":3}', '{"i":3,"j":0}'],
    ['10:30:00', '10:30:01'],
    ['"prev":"', '"prev":"0'],
    ['"hash":"', '"hash":"0'],
    ['"actor"', '"author"'],
    ['{"entry"', '{"more":1,"entry"'],
    ['{"i":3}', '{"i":0.5}'],
    ['{"entry"', '{"entry":'],
  ];
  for (const [from, to] of changes) {
    const changed = lines[2]!.replace(from, to);
    assert.notEqual(changed, lines[2]);
    writeLines(path, lines.with(2, changed));
    const { isWhole, failure, entries } = await verifyAudit({ path });
    assert.deepEqual([isWhole, failure?.seq, failure?.line, entries], [false, 3, 3, 2], `${from} → ${to}`);
  }
});

test('text that JSON.parse would not show is noticed', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 2);
  const lines = linesIn(path);
  writeLines(path, lines.with(1, lines[1]!.replace('"actor":', '"actor":"mallory","actor":')));
  assert.equal((await verifyAudit({ path })).failure?.reason, 'a key stands in it twice');
  const bytes = Buffer.from(`${lines.join('\n')}\n`);
  bytes[bytes.indexOf('digits@2')] = 0xff;
  writeFileSync(join(path, 'audit-1.jsonl'), bytes);
  assert.equal((await verifyAudit({ path })).failure?.reason, 'it is not a JSON object in UTF-8');
});

test('whitespace means nothing, for the hash is of the canonical form', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 2);
  const lines = linesIn(path).map((line) => line.replace('"entry":', ' "entry" : ').replace(',"hash"', ', "hash"'));
  writeLines(path, lines);
  assert.ok((await verifyAudit({ path })).isWhole);
});

test('an entry that was forged with its hash is noticed at the next one', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 4);
  const lines = linesIn(path);
  writeLines(path, lines.with(1, forged(lines[1]!, { actor: 'mallory' })));
  const { failure } = await verifyAudit({ path });
  assert.equal(failure?.seq, 3);
  assert.match(failure!.reason, /^expected prev [0-9a-f]{64}, got [0-9a-f]{64}$/);
});

test('lines taken out, put in twice or moved are noticed at the first that is out of place', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 5);
  const [a, b, c, d, e] = linesIn(path) as [string, string, string, string, string];
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [[b, c, d, e], 1, 'expected seq 1, got 2'],
    [[a, b, d, e], 3, 'expected seq 3, got 4'],
    [[a, b, b, c, d, e], 3, 'expected seq 3, got 2'],
    [[a, c, b, d, e], 2, 'expected seq 2, got 3'],
    [[a, '', b], 2, 'it is not a JSON object in UTF-8'],
    [[a, b, forged(c, { seq: 4 }), e], 3, 'expected seq 3, got 4'],
  ];
  for (const [lines, seq, reason] of cases) {
    writeLines(path, lines);
    const { failure } = await verifyAudit({ path });
    assert.deepEqual([failure?.seq, failure?.reason], [seq, reason]);
  }
});

test('the chain is followed across files, and a file that is missing is noticed', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 12, 1000);
  assert.deepEqual(filesOf(path), ['audit-1.jsonl', 'audit-2.jsonl', 'audit-3.jsonl', 'audit-4.jsonl']);
  assert.equal((await verifyAudit({ path })).entries, 12);
  const kept = readFileSync(join(path, 'audit-2.jsonl'));
  rmSync(join(path, 'audit-2.jsonl'));
  assert.deepEqual((await verifyAudit({ path })).failure, {
    seq: 4,
    file: 'audit-3.jsonl',
    line: 1,
    reason: 'expected seq 4, got 7',
  });
  writeFileSync(join(path, 'audit-2.jsonl'), kept.subarray(0, -20));
  const { failure } = await verifyAudit({ path });
  assert.deepEqual([failure?.seq, failure?.file], [6, 'audit-2.jsonl']);
  assert.equal(failure?.reason, 'it is not finished, but another file follows');
});

test('files are read in the order of their numbers, and one alone can be read', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 40, 1000);
  assert.ok(filesOf(path).length > 10);
  writeFileSync(join(path, 'notes.txt'), 'no part of it');
  assert.equal((await verifyAudit({ path })).entries, 40);
  assert.equal((await verifyAudit({ path: join(path, 'audit-1.jsonl') })).entries, 3);
});

test('a missing end shows only against a head that was noted elsewhere', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 4);
  const { head } = await verifyAudit({ path });
  assert.ok((await verifyAudit({ path, head: head.hash })).isWhole);
  writeLines(path, linesIn(path).slice(0, 3));
  assert.ok((await verifyAudit({ path })).isWhole);
  const { failure } = await verifyAudit({ path, head: head.hash });
  assert.equal(failure?.seq, 4);
  assert.match(failure!.reason, /^no entry has the hash [0-9a-f]{64}: the end is missing/);
});

test('a head that was noted earlier holds while the log grows', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 2);
  const { head } = await verifyAudit({ path });
  const log = await openLog(path);
  await log.append('load', 'm', {});
  await log.close();
  const { text, exitCode } = await verifyAuditLog({ path, head: head.hash });
  assert.equal(exitCode, 0);
  assert.match(text, /^the given head is in it, entries follow$/m);
});

test('an entry that is being written, or never was finished, is no fault but is told', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 2);
  appendFileSync(join(path, 'audit-1.jsonl'), '{"entry"');
  const { text, exitCode } = await verifyAuditLog({ path });
  assert.equal(exitCode, 0);
  assert.match(text, /^8 bytes of an unfinished entry at the end, which took no effect$/m);
});

test('a line without an end is given up on after its limit', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 1);
  const file = join(path, 'audit-1.jsonl');
  appendFileSync(file, 'x'.repeat(262_143));
  assert.ok((await verifyAudit({ path })).isWhole);
  appendFileSync(file, 'x');
  assert.deepEqual((await verifyAudit({ path })).failure, {
    seq: 2,
    file: 'audit-1.jsonl',
    line: 2,
    reason: 'it is too long',
  });
});

test('verify says in a line what is wrong, and its exit code says so, too', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 3);
  const right = await verifyAuditLog({ path });
  assert.equal(right.exitCode, 0);
  assert.match(right.text, /^the audit log is whole: 3 entries in 1 file\nhead: seq 3, hash [0-9a-f]{64}\n$/);
  const lines = linesIn(path);
  writeLines(path, lines.with(1, lines[1]!.replace('load', 'pin')));
  const wrong = await verifyAuditLog({ path });
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.text, /^the audit log is NOT whole: seq 2 fails in line 2 of audit-1\.jsonl: its hash is /);
  const { isWhole, failure } = JSON.parse((await verifyAuditLog({ path, json: true })).text);
  assert.deepEqual([isWhole, failure.seq], [false, 2]);
});

test('what cannot be verified is wrong usage or a failure, never whole', async (context) => {
  const path = freshDirectory(context);
  await assert.rejects(verifyAuditLog({ path: join(path, 'none') }), { message: 'no audit log: ENOENT' });
  await assert.rejects(verifyAuditLog({ path }), { message: 'no audit log: there is no audit-<n>.jsonl' });
  await assert.rejects(verifyAuditLog({ path, head: 'abc' }), { exitCode: 2 });
  writeFileSync(join(path, 'audit-1.jsonl'), '');
  assert.equal((await verifyAuditLog({ path })).exitCode, 0);
  assert.equal((await verifyAuditLog({ path, head: '1'.repeat(64) })).exitCode, 1);
});

test('tail shows the newest entries for people, harmless to a terminal, or as they stand in the log', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 5, 1000);
  const log = await openLog(path);
  await log.append('rollback', 'digits', { reason: 'p99 too high\u001b[31m', to: '1' }, 'alice');
  await log.close();
  const lines = (await showAuditTail({ path, count: 2 })).trimEnd().split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[0]!, /^SEQ +TIME +ACTOR +ACTION +SUBJECT +DETAIL$/);
  assert.match(lines[1]!, /^5 +2026-06-14T10:30:00\.000Z +system:test +load +digits@5 +i=5$/);
  assert.match(lines[2]!, /^6 .* alice +rollback +digits +reason="p99 too high\\u001b\[31m" to=1$/);
  const json = (await showAuditTail({ path, count: 3, json: true })).trimEnd().split('\n');
  assert.deepEqual(
    json.map((line) => JSON.parse(line).entry.seq),
    [4, 5, 6],
  );
  assert.equal((await showAuditTail({ path, count: 100 })).trimEnd().split('\n').length, 7);
  await assert.rejects(showAuditTail({ path, count: 0 }), { exitCode: 2 });
});
