import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSegment, segmentFiles } from '../src/predictions/segment-reader.js';
import { verifyLog } from '../src/predictions/verify.js';
import { archiveOf, folder } from './predictions-events.js';

const writer = fileURLToPath(new URL('./predictions-writer.js', import.meta.url));

/** Kills a writing process some time after its first event. @returns how many events were offered a second before */
async function killed(segments: string, incarnation: number, afterMs: number): Promise<number> {
  const child = spawn(process.execPath, [writer, segments, String(incarnation)], {
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
