import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { chunkBytes, chunkOver } from '../src/predictions/chunk.js';
import { dropReasons, noDrops } from '../src/predictions/event.js';
import { realFiles, type SegmentFiles } from '../src/predictions/files.js';
import { putEvent } from '../src/predictions/frame.js';
import { roomIn } from '../src/predictions/room.js';
import { scanSegment } from '../src/predictions/segment.js';
import { openSegment, recoverSegments, segmentFiles } from '../src/predictions/segment-reader.js';
import { SegmentWriter, type SegmentWriterOptions } from '../src/predictions/segment-writer.js';
import { verifyLog } from '../src/predictions/verify.js';
import { event, folder, subject, sumOf } from './predictions-events.js';

const digits = subject();
const whole = { sampleRate: 1, payloadRate: 0, withPayload: false, isTapOnly: false };

function record(seq: number): Buffer {
  const chunk = chunkOver(0, new SharedArrayBuffer(chunkBytes));
  const end = putEvent(chunk, 0, seq, event(digits, { requestId: `r-${seq}` }), whole, 1024);
  return Buffer.from(chunk.bytes.subarray(0, end));
}

/** A writer under a clock that the test sets. */
function writerIn(directory: string, more: Partial<SegmentWriterOptions> = {}) {
  const clock = { ms: 0 };
  const writer = new SegmentWriter({
    directory,
    gatewayId: 'g1',
    incarnation: 7,
    segmentBytesMax: 2 ** 26,
    segmentRowsMax: 250_000,
    segmentAgeMsMax: 300_000,
    files: realFiles,
    now: () => clock.ms,
    nowUs: () => 1_700_000_000_000_000,
    ...more,
  });
  let seq = 0;
  const add = (count: number) => {
    for (let i = 0; i < count; i++) writer.add(record(++seq), digits.record);
    writer.commit();
  };
  const close = () => {
    writer.close({ seq, offered: seq, sampledOut: 0, gaps: [] });
    return { offered: seq, logged: writer.written.logged, dropped: sumOf(writer.dropped) };
  };
  return { writer, clock, add, close };
}

function problemsIn(directory: string): readonly string[] {
  return verifyLog(join(directory, 'none'), directory).problems;
}

test('a segment begins with its header, and its records carry length, checksum and number', (context) => {
  const directory = folder(context);
  const { add, close } = writerIn(directory);
  add(3);
  assert.deepEqual(readdirSync(directory), ['g1-7-000001.open']);
  close();
  const bytes = readFileSync(join(directory, 'g1-7-000001.seg'));
  assert.equal(bytes.toString('latin1', 0, 8), 'SLSEG001');
  assert.equal(bytes.readUInt32LE(8), 2);
  assert.equal(bytes.readBigUInt64LE(16), 7n);
  assert.equal(bytes.readBigUInt64LE(24), 1_700_000_000_000_000n);
  const { records } = scanSegment(bytes)!;
  assert.deepEqual(
    records.map(({ seq, kind }) => [seq, kind]),
    [
      [0, 3],
      [1, 1],
      [2, 1],
      [3, 1],
      [3, 4],
    ],
  );
  assert.deepEqual(problemsIn(directory), []);
});

test('a segment closes at its size, its rows and its age, and the next one names its subjects again', (context) => {
  for (const [limits, lateMs] of [
    [{ segmentBytesMax: 600 }, 0],
    [{ segmentRowsMax: 2 }, 0],
    [{ segmentAgeMsMax: 5000 }, 5000],
  ] as const) {
    const directory = folder(context);
    const { writer, clock, add, close } = writerIn(directory, limits);
    add(2);
    clock.ms += lateMs;
    writer.tick();
    add(2);
    close();
    const files = segmentFiles(directory).filter(({ isOpen }) => !isOpen);
    assert.ok(files.length >= 2, JSON.stringify(limits));
    const found = files.map((file) => openSegment(file)!);
    assert.equal(
      found.reduce((sum, { events }) => sum + events.length, 0),
      4,
    );
    for (const segment of found) {
      for (const one of segment.events) assert.equal(segment.subjectOf(segment.recordOf(one))?.model, 'digits');
    }
    assert.deepEqual(problemsIn(directory), []);
  }
});

test('recovery cuts behind the last whole record, wherever the tail was torn', (context) => {
  const made = folder(context);
  const { add } = writerIn(made);
  add(3);
  const bytes = readFileSync(join(made, 'g1-7-000001.open'));
  const { records } = scanSegment(bytes)!;
  const last = records.at(-1)!;
  for (let length = last.start; length < bytes.length; length++) {
    assert.deepEqual(scanSegment(bytes.subarray(0, length))?.wholeBytes, last.start, `${length}`);
  }
  for (let at = last.start; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 0x10;
    assert.equal(scanSegment(damaged)?.records.length, records.length - 1, `byte ${at}`);
  }
  const directory = folder(context);
  writeFileSync(join(directory, 'g1-7-000001.open'), bytes.subarray(0, bytes.length - 1));
  writeFileSync(join(directory, 'g1-8-000001.open'), bytes);
  assert.deepEqual(
    recoverSegments(directory, ({ incarnation }) => incarnation === 8),
    [],
  );
  assert.deepEqual(readdirSync(directory).sort(), ['g1-7-000001.seg', 'g1-8-000001.open']);
  const recovered = openSegment(segmentFiles(directory)[0]!)!;
  assert.equal(recovered.tornBytes, 0);
  assert.deepEqual(
    recovered.events.map(({ seq }) => seq),
    [1, 2],
  );
});

/** Files of which writing fails while `fails` says so, after `bytes` of it were written. */
function failing(fails: () => boolean, bytes = 0): SegmentFiles {
  return {
    ...realFiles,
    write(descriptor, source, offset, length, position) {
      if (!fails()) return realFiles.write(descriptor, source, offset, length, position);
      if (bytes === 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      realFiles.write(descriptor, source, offset, Math.min(bytes, length), position);
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    },
  };
}

for (const partly of [0, 100, 300]) {
  test(`a write that fails after ${partly} bytes costs its events, which are counted, and writing goes on a second later`, (context) => {
    const directory = folder(context);
    let isFull = false;
    const { writer, clock, add, close } = writerIn(directory, { files: failing(() => isFull, partly) });
    add(5);
    isFull = true;
    add(4);
    isFull = false;
    add(2);
    assert.equal(writer.dropped.write_error, 6);
    clock.ms += 1000;
    add(3);
    assert.deepEqual(close(), { offered: 14, logged: 8, dropped: 6 });
    assert.deepEqual(problemsIn(directory), []);
    const gaps = segmentFiles(directory).flatMap((file) => openSegment(file)!.gaps);
    assert.deepEqual(gaps, [{ reason: 'write_error', first: 6, last: 11, count: 6 }]);
  });
}

test('a full device takes nothing, and every event is counted', (context) => {
  const directory = folder(context);
  const full: SegmentFiles = {
    ...realFiles,
    create: () => openSync('/dev/full', 'w'),
    rename: () => {},
    truncate: () => {},
  };
  const { writer, clock, add, close } = writerIn(directory, { files: full });
  for (let i = 0; i < 5; i++) {
    add(10);
    writer.tick();
    clock.ms += 600;
  }
  assert.deepEqual(close(), { offered: 50, logged: 0, dropped: 50 });
});

test('a small disk fills up and is emptied again: what was accepted is kept or counted, exactly', (context) => {
  const directory = folder(context);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { encoding: 'utf8' });
  if (mounted.status !== 0) return context.skip(`no tmpfs can be mounted here: ${mounted.stderr ?? mounted.error}`);
  try {
    const { writer, clock, add, close } = writerIn(directory);
    for (let i = 0; i < 20; i++) add(50);
    assert.ok(writer.dropped.write_error > 0);
    const { logged } = writer.written;
    const kept = segmentFiles(directory).reduce((sum, file) => sum + openSegment(file)!.events.length, 0);
    assert.equal(kept, logged);
    for (const file of segmentFiles(directory)) assert.equal(openSegment(file)!.tornBytes, 0);
    rmSync(segmentFiles(directory)[0]!.path);
    clock.ms += 1000;
    add(5);
    assert.equal(writer.written.logged, logged + 5);
    const { offered, dropped } = close();
    assert.equal(offered, logged + 5 + dropped);
  } finally {
    spawnSync('umount', ['-l', directory]);
  }
});

test('a segment that was moved away keeps its rows, and writing goes on in a new one', (context) => {
  const directory = folder(context);
  const { writer, add, close } = writerIn(directory);
  add(4);
  renameSync(join(directory, 'g1-7-000001.open'), join(directory, 'g1-7-000001.seg'));
  writer.tick();
  add(3);
  assert.deepEqual(close(), { offered: 7, logged: 7, dropped: 0 });
  assert.deepEqual(problemsIn(directory), []);
});

test('rows of a segment that was deleted under us are counted as dropped', (context) => {
  const directory = folder(context);
  const { writer, add, close } = writerIn(directory);
  add(4);
  rmSync(join(directory, 'g1-7-000001.open'));
  writer.tick();
  add(3);
  assert.deepEqual(close(), { offered: 7, logged: 3, dropped: 4 });
  assert.deepEqual(problemsIn(directory), []);
});

test('a directory that is missing drops and counts, and is used once it is there', (context) => {
  const directory = join(folder(context), 'later');
  const { clock, add, close } = writerIn(directory);
  add(2);
  mkdirSync(directory);
  clock.ms += 1000;
  add(2);
  assert.deepEqual(close(), { offered: 4, logged: 2, dropped: 2 });
});

test('the disk decides what is written: everything, metadata, nothing', (context) => {
  const directory = folder(context);
  const limits = { metadataFreeShareMin: 0.1, freeShareMin: 0.05, segmentsBytesMax: 1000 };
  const roomAt = (freeShare: number, bytes: number) =>
    roomIn(directory, limits, { ...realFiles, room: () => ({ freeShare, bytes }) });
  assert.equal(roomAt(0.1, 999), 'all');
  assert.equal(roomAt(0.0999, 0), 'metadata');
  assert.equal(roomAt(0.05, 0), 'metadata');
  assert.equal(roomAt(0.0499, 0), 'nothing');
  assert.equal(roomAt(0.5, 1000), 'nothing');
});

test('a missing number, one that occurs twice, and a wrong end are found', (context: TestContext) => {
  const directory = folder(context);
  const { writer, add } = writerIn(directory);
  add(2);
  writer.add(record(5), digits.record);
  writer.add(record(5), digits.record);
  writer.close({ seq: 6, offered: 9, sampledOut: 0, gaps: [] });
  assert.deepEqual(problemsIn(directory), [
    'g1-7: numbers 3 to 4 are missing',
    'g1-7: numbers 5 to 5 occur twice',
    'g1-7: ended at 6, but the last number is 5',
    'g1-7: 9 offered, 4 kept, 0 dropped, 0 sampled out',
  ]);
});

test('every reason has its counter', () => {
  assert.deepEqual(Object.keys(noDrops()), dropReasons);
});
