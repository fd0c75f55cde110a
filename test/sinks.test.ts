/** How finished files of the log get to a sink: in order, at least once, and every row accounted for. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import type { Row } from '../src/predictions/rows.js';
import { type Message, type RowSender, RowsRefused, rowSink } from '../src/predictions/sinks/row-sink.js';
import type { Delivery, FinishedFile } from '../src/predictions/sinks/sink.js';
import { folder, startUs } from './predictions-events.js';
import { finish, loggedRows, runOf } from './sinks-fixture.js';

const none = { expired: 0, erased: 0, refused: 0, too_large: 0 };
const whole = ({ rows }: FinishedFile, { taken }: Delivery) => taken({ rows });

test('a sink gets every file once, the oldest first, also over a restart', async (context) => {
  const root = folder(context);
  const got: string[] = [];
  const take = (file: FinishedFile, delivery: Delivery) => {
    got.push(`${file.model}/${file.name}`);
    return whole(file, delivery);
  };
  finish(root, 'a', '1', startUs);
  finish(root, 'a', '2', startUs + 2);
  finish(root, 'b', '1', startUs + 1);
  await runOf(root, take).run.wake();
  finish(root, 'a', '3');
  const { run } = runOf(root, take);
  await run.wake();
  await run.wake();
  assert.deepEqual(got, ['a/1', 'b/1', 'a/2', 'a/3']);
  assert.deepEqual(run.stats(), { files: 1, sent: 3, dropped: none, failures: 0, isFailing: false, lagMs: 0 });
});

test('a sink that is away is asked again later each time, and goes on where it stopped', async (context) => {
  const root = folder(context);
  finish(root, 'a', '1');
  finish(root, 'a', '2');
  const last = { ts: '2026-03-01 10:00:00', seq: 2, item: 0 };
  const got: unknown[] = [];
  let isAway = true;
  const { run, rests, told } = runOf(root, async ({ name }, { after, taken }) => {
    got.push([name, after]);
    if (after === undefined) await taken({ rows: 2, last });
    if (isAway) throw new Error('away');
    await taken({ rows: 1 });
  });
  await run.wake();
  await run.wake();
  assert.equal(got.length, 1, 'it rests');
  for (const delayMs of [1000, 2000, 4000, 5000]) {
    assert.equal(rests.at(-1)?.delayMs, delayMs);
    rests.at(-1)!.end();
    await run.wake();
  }
  const { lagMs, ...stats } = run.stats();
  assert.deepEqual(stats, { files: 0, sent: 2, dropped: none, failures: 5, isFailing: true });
  assert.equal(lagMs, 60_000);
  isAway = false;
  rests.at(-1)!.end();
  await run.wake();
  assert.deepEqual(got.slice(-2), [
    ['1', last],
    ['2', undefined],
  ]);
  assert.deepEqual(run.stats(), { files: 2, sent: 6, dropped: none, failures: 5, isFailing: false, lagMs: 0 });
  assert.deepEqual(told, ['away', 'recovered']);
});

test('rows of a file that was deleted before its turn are dropped as expired, those sent before it count as sent', async (context) => {
  const root = folder(context);
  finish(root, 'a', '1');
  finish(root, 'a', '2');
  const { run, rests } = runOf(root, async ({ name, rows }, { taken }) => {
    if (name === '2') return taken({ rows });
    await taken({ rows: 1, last: { ts: '', seq: 1, item: 0 } });
    throw new Error('away');
  });
  await run.wake();
  rmSync(join(root, 'log/model=a/1'));
  rests[0]!.end();
  await run.wake();
  const { sent, dropped, files } = run.stats();
  assert.deepEqual([sent, dropped, files], [4, { ...none, expired: 2 }, 1]);
});

test('a line that a crash cut off hides no file behind it, and one without an end is not read yet', async (context) => {
  const root = folder(context);
  const manifest = join(root, 'log/model=a/_manifest.jsonl');
  finish(root, 'a', '1');
  appendFileSync(manifest, '{"file":"lost","ro');
  finish(root, 'a', '2');
  appendFileSync(manifest, 'no line at all\n{"file":"3","rows":3');
  const got: string[] = [];
  const { run } = runOf(root, (file, delivery) => {
    got.push(file.name);
    return whole(file, delivery);
  });
  await run.wake();
  assert.deepEqual(got, ['1', '2']);
  writeFileSync(join(root, 'log/model=a/3'), '');
  appendFileSync(manifest, ',"min_ts":1}\n');
  await run.wake();
  assert.deepEqual(got, ['1', '2', '3']);
});

test('with a cursor that cannot be read everything is sent again, and it is said why', async (context) => {
  const root = folder(context);
  finish(root, 'a', '1');
  await runOf(root, whole).run.wake();
  const path = join(root, 'cursors', 'test.json');
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).a.rows, 0);
  const damaged = { '': /JSON/, '{"a":': /JSON/, '{"a":{"offset":"x","rows":0}}': /1 models have no position/ };
  for (const [text, reason] of Object.entries(damaged)) {
    writeFileSync(path, text);
    const { run, told } = runOf(root, whole);
    await run.wake();
    assert.equal(run.stats().sent, 3, text);
    assert.match(told.join(), reason, text);
  }
  rmSync(path);
  const { run, told } = runOf(root, whole);
  await run.wake();
  assert.deepEqual([run.stats().sent, told], [3, []]);
});

test('a run that is closed gives up what hangs, and is asked nothing more', async (context) => {
  const root = folder(context);
  finish(root, 'a', '1');
  let asked = 0;
  let begun = () => {};
  const beginning = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const { run, rests } = runOf(
    root,
    (_file, { signal }) => {
      asked++;
      begun();
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('given up'))));
    },
    20,
  );
  const running = run.wake();
  await beginning;
  await run.close();
  await running;
  await run.wake();
  assert.deepEqual([asked, rests.length, run.stats().sent], [1, 0, 0]);
});

/** Takes rows of a log as their request ids, as long as `answer` has nothing against it. */
function listener(answer: (ids: readonly string[]) => void = () => {}) {
  const batches: string[][] = [];
  const sender: RowSender = {
    messageOf: (row) => ({ id: String(row.request_id), model: String(row.model), body: 'x'.repeat(10) }),
    send: async (messages: readonly Message[]) => {
      const ids = messages.map(({ id }) => id);
      answer(ids);
      batches.push(ids);
    },
    close: async () => {},
  };
  return { sender, batches };
}

const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `r-${from + i}`);

test('rows leave in batches of so many rows and bytes, in the order in which they came', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 25, files: 2 });
  const read = archive.read.bind(archive);
  for (const [limits, sizes] of [
    [{ rowsPerSend: 10, bytesPerSend: 1000 }, [10, 3, 10, 2]],
    [{ rowsPerSend: 10, bytesPerSend: 45 }, [4, 4, 4, 1, 4, 4, 4]],
    [{ rowsPerSend: 10, bytesPerSend: 5 }, new Array(25).fill(1)],
  ] as const) {
    const { sender, batches } = listener();
    rmSync(join(root, 'cursors'), { recursive: true, force: true });
    const { run } = runOf(root, rowSink({ sender, ...limits, read }));
    await run.wake();
    assert.deepEqual(
      batches.map(({ length }) => length),
      sizes,
    );
    const even = names(0, 25).filter((_, i) => i % 2 === 0);
    assert.deepEqual(batches.flat(), [...even, ...names(0, 25).filter((_, i) => i % 2 === 1)]);
    assert.equal(run.stats().sent, 25);
  }
});

test('a row that its receiver never takes is dropped, its neighbours are sent', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 20 });
  const { sender, batches } = listener((ids) => {
    if (ids.includes('r-3') || ids.includes('r-17')) throw new RowsRefused('refused');
    if (ids.includes('r-4')) throw new RowsRefused('too_large');
  });
  const sink = rowSink({ sender, rowsPerSend: 8, bytesPerSend: 1000, read: archive.read.bind(archive) });
  const { run } = runOf(root, sink);
  await run.wake();
  assert.deepEqual(
    batches.flat(),
    names(0, 20).filter((id) => !['r-3', 'r-4', 'r-17'].includes(id)),
  );
  const { sent, dropped, isFailing } = run.stats();
  assert.deepEqual([sent, dropped, isFailing], [17, { ...none, refused: 2, too_large: 1 }, false]);
});

test('rows erased while a sink was away are counted, and none behind them is passed over', async (context) => {
  const directory = folder(context);
  const { archive, root } = await loggedRows(context, directory, { requests: 9 });
  let isAway = false;
  const { sender, batches } = listener(() => {
    if (isAway) throw new Error('away');
  });
  /** As a file written anew without these: they are not read any more. */
  let erased: readonly string[] = [];
  const sink = rowSink({
    sender,
    rowsPerSend: 3,
    bytesPerSend: 1000,
    read: async (...asked) => {
      const rows: readonly Row[] = await archive.read(...asked);
      return rows.filter(({ request_id }) => !erased.includes(String(request_id)));
    },
  });
  const first = runOf(root, {
    ...sink,
    deliver: (file, delivery) =>
      sink.deliver(file, {
        ...delivery,
        taken: async (step) => {
          await delivery.taken(step);
          isAway = true;
        },
      }),
  });
  await first.run.wake();
  assert.deepEqual(batches.flat(), names(0, 3));
  [isAway, erased] = [false, ['r-0', 'r-1', 'r-5']];
  const { run } = runOf(root, sink);
  await run.wake();
  assert.deepEqual(batches.flat().slice(3), ['r-3', 'r-4', 'r-6', 'r-7', 'r-8']);
  assert.deepEqual(run.stats().dropped, { ...none, erased: 1 });
});

test('rows too large to be read a thousand at once are read fewer at a time', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 20 });
  const asked: number[] = [];
  const { sender, batches } = listener();
  const sink = rowSink({
    sender,
    rowsPerSend: 100,
    bytesPerSend: 1000,
    read: (path, after, rowsMax) => {
      asked.push(rowsMax);
      if (rowsMax > 16) throw new GatewayError('RESOURCE_EXHAUSTED', 'more memory than it may have');
      return archive.read(path, after, rowsMax);
    },
  });
  await runOf(root, sink).run.wake();
  assert.deepEqual(asked.slice(0, 4), [1000, 125, 16, 1000]);
  assert.deepEqual(batches.flat(), names(0, 20));
});

test('items of one request that a page ends between are neither lost nor sent twice', async (context) => {
  const { archive, root } = await loggedRows(context, folder(context), { requests: 3, items: 10 });
  const { sender, batches } = listener();
  const sink = rowSink({
    sender: {
      ...sender,
      messageOf: (row) => ({ ...sender.messageOf(row), id: `${row.request_id}.${row.item_index}` }),
    },
    rowsPerSend: 100,
    bytesPerSend: 10_000,
    read: (path, after) => archive.read(path, after, 4),
  });
  const { run } = runOf(root, sink);
  await run.wake();
  const items = Array.from({ length: 30 }, (_, i) => `r-${Math.floor(i / 10)}.${i % 10}`);
  assert.deepEqual(batches.flat(), items);
  assert.equal(run.stats().sent, 30);
});
