/** Writing the audit log: the chain, rotation, crashes and full disks. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { auditActions } from '../src/audit/actions.js';
import { verifyAudit } from '../src/audit/verify.js';
import { filesOf, linesIn, openLog, startMs, writeLines, writeLog } from './audit-fixture.js';
import { freshDirectory } from './system/server.js';

const logUrl = new URL('../src/audit/log.js', import.meta.url).href;

test('an entry is on disk, in canonical form and with its hash, when append resolves', async (context) => {
  const path = freshDirectory(context);
  const log = await openLog(path);
  const head = await log.append('alias.set', 'digits', { alias: 'champion', version: '2' }, 'alice');
  const [line, ...more] = linesIn(path);
  const entry =
    '{"action":"alias.set","actor":"alice","detail":{"alias":"champion","version":"2"},' +
    `"prev":"${'0'.repeat(64)}","seq":1,"subject":"digits","ts":"2026-06-14T10:30:00.000Z"}`;
  const hash = createHash('sha256').update(entry).digest('hex');
  assert.equal(line, `{"entry":${entry},"hash":"${hash}"}`);
  assert.deepEqual(more, []);
  assert.deepEqual(head, { seq: 1, hash });
  assert.deepEqual(log.head, head);
  assert.equal(statSync(join(path, 'audit-1.jsonl')).mode & 0o777, 0o600);
  await log.close();
});

test('entries appended at once are chained in the order in which they were asked for', async (context) => {
  const path = freshDirectory(context);
  const log = await openLog(path);
  const heads = await Promise.all(Array.from({ length: 200 }, (_, i) => log.append('load', `m@${i + 1}`, { i })));
  assert.deepEqual(
    heads.map(({ seq }) => seq),
    Array.from({ length: 200 }, (_, i) => i + 1),
  );
  assert.equal((await verifyAudit({ path, head: heads[99]!.hash })).entries, 200);
  const subjects = (await log.tail(3)).map(({ entry }) => entry.subject);
  assert.deepEqual(subjects, ['m@198', 'm@199', 'm@200']);
  await log.close();
});

test('a log that is opened again goes on where it ended', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 3);
  const log = await openLog(path);
  assert.equal(log.head.seq, 3);
  assert.equal((await log.append('unload', 'm', {})).seq, 4);
  await log.close();
  assert.deepEqual(linesIn(path).length, 4);
  assert.ok((await verifyAudit({ path })).isWhole);
});

test('no file grows beyond its limit, and the chain goes on in the next one', async (context) => {
  const path = freshDirectory(context);
  const fileBytesMax = 1000;
  const log = await openLog(path, { fileBytesMax });
  await Promise.all(Array.from({ length: 20 }, (_, i) => log.append('load', 'm', { i })));
  for (let i = 20; i < 30; i++) await log.append('load', 'm', { i });
  await log.close();
  const files = filesOf(path);
  assert.ok(files.length >= 9, String(files));
  for (const file of files) assert.ok(statSync(join(path, file)).size <= fileBytesMax, file);
  const { isWhole, entries, files: read } = await verifyAudit({ path });
  assert.deepEqual([isWhole, entries, read], [true, 30, files.length]);

  const again = await openLog(path, { fileBytesMax });
  const seqs: number[] = [];
  for await (const { entry } of again.read(17)) seqs.push(entry.seq);
  assert.deepEqual(
    seqs,
    Array.from({ length: 14 }, (_, i) => i + 17),
  );
  await again.close();
});

test('an entry larger than a file has one to itself, and one beyond the limit of a line is refused', async (context) => {
  const path = freshDirectory(context);
  const log = await openLog(path, { fileBytesMax: 1000 });
  await log.append('load', 'm', {});
  await log.append('config.applied', 'configuration', { diff: 'x'.repeat(5000) });
  await log.append('load', 'm', {});
  assert.equal(filesOf(path).length, 3);
  await assert.rejects(log.append('config.applied', 'configuration', { diff: 'x'.repeat(262_144) }), {
    code: 'INVALID_ARGUMENT',
    message: /expected an entry of at most 261120 bytes/,
  });
  await log.append('config.applied', 'configuration', { diff: 'x'.repeat(261_000) });
  await log.close();
  assert.equal((await verifyAudit({ path })).entries, 4);
});

test('a detail that no entry can hold is refused and leaves the log as it was', async (context) => {
  const path = freshDirectory(context);
  const log = await openLog(path);
  await assert.rejects(log.append('threshold.changed', 'm', { psi: 0.1 }), {
    code: 'INVALID_ARGUMENT',
    message: "'detail.psi' is a number that is no safe integer and cannot be hashed",
  });
  await assert.rejects(log.append('load', 'm'.repeat(1025), {}), { code: 'INVALID_ARGUMENT' });
  assert.equal((await log.append('load', 'm', {})).seq, 1);
  await log.close();
  await assert.rejects(log.append('load', 'm', {}), { code: 'UNAVAILABLE' });
});

test('what is changed after append was called is not what is written', async (context) => {
  const path = freshDirectory(context);
  const log = await openLog(path);
  const detail = { tags: ['a'] };
  const first = log.append('load', 'm', detail);
  const second = log.append('load', 'm', detail);
  detail.tags.push('b');
  await Promise.all([first, second]);
  for await (const { entry } of log.read()) assert.deepEqual(entry.detail, { tags: ['a'] });
  await log.close();
});

test('reading while entries are written ends at the newest that was on disk', async (context) => {
  const path = freshDirectory(context);
  const log = await openLog(path, { fileBytesMax: 2000 });
  for (let i = 0; i < 20; i++) await log.append('load', 'm', { i });
  let seen = 0;
  for await (const _ of log.read()) {
    seen++;
    await log.append('load', 'm', {});
  }
  assert.equal(seen, 20);
  assert.equal(log.head.seq, 40);
  await log.close();
});

test('a line cut at any byte is cut back at the next start, which is itself an entry', async (context) => {
  const written = freshDirectory(context);
  await writeLog(written, 2);
  const bytes = readFileSync(join(written, 'audit-1.jsonl'));
  const secondAt = bytes.indexOf(10) + 1;
  for (let size = secondAt + 1; size < bytes.length; size += 7) {
    const path = freshDirectory(context);
    cpSync(written, path, { recursive: true });
    truncateSync(join(path, 'audit-1.jsonl'), size);
    const log = await openLog(path);
    assert.equal(log.head.seq, 2, `cut at ${size}`);
    const [record] = await log.tail(1);
    assert.equal(record!.entry.action, 'audit.cut');
    assert.equal(record!.entry.subject, 'audit-1.jsonl');
    assert.equal(record!.entry.detail.bytes, size - secondAt);
    await log.append('load', 'm', {});
    await log.close();
    assert.deepEqual((await verifyAudit({ path })).entries, 3);
  }
});

test('a file that was begun and holds nothing, or only a torn line, does not break the chain', async (context) => {
  for (const rest of ['', '{"entry":{"act']) {
    const path = freshDirectory(context);
    await writeLog(path, 2);
    writeFileSync(join(path, 'audit-2.jsonl'), rest);
    const log = await openLog(path);
    assert.equal(log.head.seq, rest === '' ? 2 : 3);
    await log.append('load', 'm', {});
    await log.close();
    assert.equal(filesOf(path).length, 2);
    assert.ok((await verifyAudit({ path })).isWhole);
  }
});

test('a log whose newest entry was changed is not added to', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 2);
  const [first, second] = linesIn(path);
  writeLines(path, [first!, second!.replace('system:test', 'system:best')]);
  await assert.rejects(openLog(path), {
    code: 'FAILED_PRECONDITION',
    message:
      /^audit log: line 2 of audit-1\.jsonl: its hash is [0-9a-f]{64}, but [0-9a-f]{64} stands beside it; nothing is added .* with --audit-path$/,
  });
  assert.equal(linesIn(path).length, 2);
});

test('a torn line that another file follows is no interrupted write, so the log is not opened', async (context) => {
  const path = freshDirectory(context);
  await writeLog(path, 3);
  truncateSync(join(path, 'audit-1.jsonl'), statSync(join(path, 'audit-1.jsonl')).size - 5);
  writeFileSync(join(path, 'audit-2.jsonl'), '');
  await assert.rejects(openLog(path), { code: 'FAILED_PRECONDITION', message: /audit-1\.jsonl: it is not finished/ });
});

test('nothing is appended to a file that somebody else wrote to, replaced or took away', async (context) => {
  const damages: readonly ((file: string) => void)[] = [
    (file) => appendFileSync(file, '\n'),
    (file) => truncateSync(file, 10),
    (file) => rmSync(file),
    (file) => {
      cpSync(file, `${file}.copy`);
      renameSync(`${file}.copy`, file);
    },
  ];
  for (const damage of damages) {
    const path = freshDirectory(context);
    const log = await openLog(path);
    await log.append('load', 'm', {});
    damage(join(path, 'audit-1.jsonl'));
    await assert.rejects(log.append('load', 'm', {}), { code: 'UNAVAILABLE' });
    assert.equal(log.head.seq, 1);
    await log.close();
  }
});

test('a link in the place of a file is not followed', async (context) => {
  const [path, other] = [freshDirectory(context), freshDirectory(context)];
  writeFileSync(join(other, 'file'), '');
  symlinkSync(join(other, 'file'), join(path, 'audit-1.jsonl'));
  await assert.rejects(openLog(path), {
    code: 'UNAVAILABLE',
    message: /^audit log: it cannot be written \(ELOOP\); see that it can, or .* --audit-path$/,
  });
});

/** Runs `body` in a process of its own, with `log` open at `path`. */
function script(body: string): string[] {
  const text = `
    import { AuditLog } from ${JSON.stringify(logUrl)};
    const path = process.argv[1];
    const log = await AuditLog.open({ path, fileBytesMax: 1_000_000, now: () => ${startMs}, actor: 'system:child' });
    ${body}`;
  return ['--input-type=module', '-e', text];
}

test('after kill -9 at any moment every entry that was acknowledged is there and the chain is whole', async (context) => {
  const path = freshDirectory(context);
  const known = new Map<number, string>();
  for (let round = 1; round <= 5; round++) {
    const body = `for (;;) {
      const { seq, hash } = await log.append('load', 'm', { text: 'x'.repeat(3000) });
      process.stdout.write(seq + ' ' + hash + '\\n');
    }`;
    const child = spawn(process.execPath, [...script(body), path], { stdio: ['ignore', 'pipe', 'inherit'] });
    let [told, lines] = ['', 0];
    child.stdout.on('data', (chunk: Buffer) => {
      told += chunk;
      lines = told.split('\n').length - 1;
      if (lines > 10 * round) child.kill('SIGKILL');
    });
    await once(child, 'close');
    assert.ok(lines > 10 * round);
    for (const line of told.split('\n').slice(0, lines)) {
      const [seq, hash] = line.split(' ');
      known.set(Number(seq), hash!);
    }
  }
  const log = await openLog(path);
  const { isWhole, failure } = await verifyAudit({ path });
  assert.ok(isWhole, JSON.stringify(failure));
  for await (const { entry, hash } of log.read()) {
    if (known.has(entry.seq)) assert.equal(known.get(entry.seq), hash);
    known.delete(entry.seq);
  }
  assert.equal(known.size, 0);
  await log.close();
});

test('a write that stops in the middle is cut back and refused, and the log goes on when there is room', async (context) => {
  if (spawnSync('prlimit', ['--version']).error !== undefined && process.env.CI === undefined) {
    return context.skip('prlimit is not installed (Debian package util-linux)');
  }
  const path = freshDirectory(context);
  // The limit on the size of a file acts like a disk that is full, and gives short writes, without any privilege.
  const body = `
    import { spawnSync } from 'node:child_process';
    import { readFileSync } from 'node:fs';
    const told = [];
    for (let i = 0; i < 10; i++) {
      await log.append('load', 'm', { i, text: 'x'.repeat(1500) }).catch(({ code, message }) => told.push([code, message, log.head.seq]));
    }
    const lastByte = readFileSync(path + '/audit-1.jsonl').at(-1);
    spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
    const { seq } = await log.append('load', 'm', { text: 'x'.repeat(1500) });
    await log.close();
    console.log(JSON.stringify({ told, lastByte, seq }));`;
  const limited = ['-c', 'ulimit -S -f 8; exec "$@"', 'sh', process.execPath, ...script(body), path];
  const { stdout, stderr } = spawnSync('sh', limited, { encoding: 'utf8', timeout: 60_000 });
  const { told, lastByte, seq } = JSON.parse(stdout || `{"error":${JSON.stringify(stderr)}}`);
  assert.ok(told.length > 0 && told.length < 10, stdout + stderr);
  const kept = 10 - told.length;
  for (const one of told) {
    assert.deepEqual(one, ['UNAVAILABLE', 'audit log: it cannot be written (EFBIG)', kept]);
  }
  assert.equal(seq, kept + 1);
  assert.equal(lastByte, 10);
  const { isWhole, entries, tornBytes } = await verifyAudit({ path });
  assert.deepEqual([isWhole, entries, tornBytes], [true, kept + 1, 0]);
});

/** Leaves no room on a file system of 32 KiB. */
function fill(file: string): void {
  assert.throws(() => writeFileSync(file, Buffer.alloc(65_536)), { code: 'ENOSPC' });
}

test('a full disk refuses the change, and the log goes on when there is room', async (context) => {
  const path = freshDirectory(context);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', path], { encoding: 'utf8' });
  if (mounted.status !== 0) return context.skip(`no tmpfs can be mounted here: ${mounted.stderr ?? mounted.error}`);
  try {
    const log = await openLog(path);
    await log.append('load', 'm', {});
    fill(join(path, 'filler'));
    const large = { text: 'x'.repeat(9000) };
    const results = await Promise.allSettled([log.append('load', 'm', large), log.append('load', 'm', large)]);
    for (const result of results) {
      assert.equal(result.status, 'rejected');
      assert.equal(result.reason.code, 'UNAVAILABLE');
      assert.equal(result.reason.message, 'audit log: it cannot be written (ENOSPC)');
    }
    assert.equal(linesIn(path).length, 1);
    rmSync(join(path, 'filler'));
    assert.equal((await log.append('load', 'm', large)).seq, 2);
    await log.close();
    assert.ok((await verifyAudit({ path })).isWhole);
  } finally {
    spawnSync('umount', ['-l', path]);
  }
});

test('a torn line found on a full disk is told of as soon as there is room', async (context) => {
  const path = freshDirectory(context);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', path], { encoding: 'utf8' });
  if (mounted.status !== 0) return context.skip(`no tmpfs can be mounted here: ${mounted.stderr ?? mounted.error}`);
  try {
    const written = await openLog(path);
    // Together they fill a page but for a few bytes.
    await written.append('load', 'm', { text: 'x'.repeat(3700) });
    await written.close();
    appendFileSync(join(path, 'audit-1.jsonl'), '{"entry"');
    fill(join(path, 'filler'));
    const log = await openLog(path);
    assert.equal(log.head.seq, 1);
    await assert.rejects(log.append('load', 'm', {}), { code: 'UNAVAILABLE' });
    rmSync(join(path, 'filler'));
    assert.equal((await log.append('load', 'm', {})).seq, 3);
    const actions = (await log.tail(3)).map(({ entry }) => entry.action);
    assert.deepEqual(actions, ['load', 'audit.cut', 'load']);
    await log.close();
    assert.ok((await verifyAudit({ path })).isWhole);
  } finally {
    spawnSync('umount', ['-l', path]);
  }
});

test('no action stands in the list twice', () => {
  assert.equal(new Set(auditActions).size, auditActions.length);
});
