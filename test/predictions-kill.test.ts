import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, truncateSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { segmentHeaderBytes } from '../src/predictions/segment.js';
import { openSegment, recoverSegments, segmentFiles } from '../src/predictions/segment-reader.js';
import { verifyLog } from '../src/predictions/verify.js';
import { archiveOf, folder } from './predictions-events.js';

/** The same numbers in every run. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const writer = fileURLToPath(new URL('./predictions-writer.js', import.meta.url));

/** Kills a writing process some time after its first event. @returns how many events were offered a second before */
async function killed(segments: string, incarnation: number, afterMs: number, ...how: string[]): Promise<number> {
  const child = spawn(process.execPath, [writer, segments, String(incarnation), ...how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: { atMs: number; offered: number }[] = [];
  child.stdout.on('data', (text: Buffer) => {
    const last = text.toString().trim().split('\n').at(-1);
    said.push({ atMs: performance.now(), offered: Number(last) });
  });
  await once(child.stdout, 'data');
  const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
  await once(child, 'exit');
  clearTimeout(timer);
  const endMs = performance.now();
  return Math.max(0, ...said.filter(({ atMs }) => atMs < endMs - 1000).map(({ offered }) => offered));
}

test('kill -9 costs the last second at most: what is kept is whole, without gap or repetition, also as Parquet', async (context) => {
  const directory = folder(context);
  const segments = join(directory, 'segments');
  mkdirSync(segments);
  const sure: number[] = [];
  for (const [i, afterMs] of [30, 137, 411, 900, 1503, 1811].entries()) {
    sure.push(await killed(segments, i + 1, afterMs));
  }
  // One that was killed while it began has written no head.
  const before = segmentFiles(segments).map((file) => openSegment(file)?.events.length ?? 0);
  const archive = archiveOf(context, directory);
  await archive.convert();
  assert.deepEqual(segmentFiles(segments), []);
  const { problems, incarnations } = verifyLog(join(directory, 'archive'), segments);
  assert.deepEqual(problems, []);
  for (const { origin, kept, dropped, last } of incarnations) {
    const index = Number(origin.slice('g1-'.length)) - 1;
    assert.equal(kept + dropped, last);
    assert.ok(last >= sure[index]!, `${origin}: ${last} of ${sure[index]} events that are older than a second`);
  }
  assert.ok(sure.some((count) => count > 0));
  const kept = before.reduce((sum, events) => sum + events, 0);
  const sql = 'select count(*), count(distinct request_id), count(distinct (incarnation, seq)) from predictions';
  assert.deepEqual((await archive.query({ sql })).rows, [[kept, kept, kept]]);
});

/** What is written and not synced is lost with the power: any number of bytes at the end of a file that is open. */
function tear(path: string, share: number): void {
  const { size } = statSync(path);
  truncateSync(path, Math.max(segmentHeaderBytes, Math.floor(size * share)));
}

const kills = 200;
/** A machine that is too slow for all of them within this time does as many as it can, and so many at least. */
const killsMs = 60_000;
const killsLeast = 50;
const atOnce = 4;

test('200 kills at random points, in bursts that overflow and in files that change: every number is kept or counted as dropped, once', async (context) => {
  const directory = folder(context);
  const segments = join(directory, 'segments');
  mkdirSync(segments);
  const random = chance(20_261_121);
  const moments = Array.from({ length: kills }, () => random() * 120);
  const startedAt = performance.now();
  let done = 0;
  const lane = async () => {
    while (done < killsLeast || (done < kills && performance.now() - startedAt < killsMs)) {
      const incarnation = ++done;
      await killed(segments, incarnation, moments[incarnation - 1]!, 'bursts');
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  context.diagnostic(`${done} kills`);
  const open = segmentFiles(segments).filter(({ isOpen }) => isOpen);
  assert.ok(open.length > done / 2, `${open.length} of ${done} were killed while a file was open`);
  for (const { path } of open) if (random() < 0.5) tear(path, 1 - random() ** 3);
  const torn = open.filter((file) => (openSegment(file)?.tornBytes ?? 0) > 0);
  assert.ok(torn.length > 0);
  const whole = torn.map((file) => openSegment(file)!.events.map(({ seq }) => seq));
  recoverSegments(segments, () => false);
  for (const [i, file] of torn.entries()) {
    const path = file.path.replace(/open$/, 'seg');
    const cut = openSegment({ path, name: basename(path) })!;
    assert.deepEqual([cut.tornBytes, cut.events.map(({ seq }) => seq)], [0, whole[i]]);
  }
  const { problems, incarnations } = verifyLog(join(directory, 'archive'), segments);
  assert.deepEqual(problems, []);
  for (const { kept, dropped, last } of incarnations) assert.equal(kept + dropped, last);
  const sum = (key: 'kept' | 'dropped') => incarnations.reduce((total, one) => total + one[key], 0);
  assert.ok(sum('kept') > 0);
  assert.ok(sum('dropped') > 0, 'no burst was too large: the test does not see markers');
});
