import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { createLog, type Log, type LogOptions } from '../src/log.js';

interface Line {
  readonly [key: string]: unknown;
}

function openLog(options: Partial<LogOptions> = {}): { log: Log; lines: string[]; json: () => Line[] } {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const log = createLog({ level: 'info', format: 'json', name: 'control', now: () => 1000, write, ...options });
  return { log, lines, json: () => lines.map((line) => JSON.parse(line) as Line) };
}

test('an event is one JSON line with level, time, name and its fields', () => {
  const { log, lines, json } = openLog();
  log.info('model ready', { model: 'digits', version: '2', openMs: 41.5 });
  assert.equal(lines.length, 1);
  assert.ok(lines[0]!.endsWith('}\n'));
  assert.deepEqual(json()[0], {
    level: 'info',
    time: 1000,
    name: 'control',
    pid: process.pid,
    model: 'digits',
    version: '2',
    openMs: 41.5,
    msg: 'model ready',
  });
});

test('lines below the level are not written, and the level changes while running', () => {
  const { log, json } = openLog();
  log.debug('hidden');
  log.setLevel('debug');
  log.debug('shown');
  log.setLevel('error');
  log.warn('hidden');
  log.error('shown too');
  assert.deepEqual(
    json().map((line) => line.msg),
    ['shown', 'shown too'],
  );
});

test('a muted level writes nothing while the others go on', () => {
  const { log, json } = openLog();
  log.setMuted(['warn']);
  log.warn('hidden');
  log.info('shown');
  log.setMuted([]);
  log.warn('back');
  assert.deepEqual(
    json().map((line) => line.msg),
    ['shown', 'back'],
  );
});

test('the time is written in the form that was asked for', () => {
  const { log, json } = openLog({ now: () => Date.UTC(2026, 10, 21) });
  log.setTimeForm('ISO8601');
  log.info('a');
  log.setTimeForm('default');
  log.info('b');
  assert.deepEqual(
    json().map((line) => line.time),
    ['2026-11-21T00:00:00.000Z', 1795219200000],
  );
});

test('no field of any kind makes the log throw, and every line stays small JSON', () => {
  const { log, lines, json } = openLog();
  let deep: unknown = 'bottom';
  for (let i = 0; i < 100_000; i++) deep = { deep };
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const throwing = {
    get bad() {
      throw new Error('no');
    },
  };
  const hostile = new Proxy(
    {},
    {
      ownKeys() {
        throw new Error('no');
      },
    },
  );
  const values: unknown[] = [
    deep,
    cyclic,
    throwing,
    hostile,
    2n ** 70n,
    Number.NaN,
    -0,
    Symbol('s'),
    () => 1,
    undefined,
    null,
    new Date(Number.NaN),
    new Map([[1, 2]]),
    new Float32Array(1000),
    'x'.repeat(1_000_000),
    Array.from({ length: 100_000 }, (_, i) => i),
    {
      toJSON: () => {
        throw new Error('no');
      },
    },
    new Error('outer', { cause: new Error('inner') }),
    '\ud800 lone \0 nul',
  ];
  for (const [index, value] of values.entries()) log.info(`event ${index}`, { value });
  log.info('event top', throwing);
  log.info('event proxy', hostile);
  assert.equal(lines.length, values.length + 2);
  assert.equal(json().length, values.length + 2);
  for (const line of lines) {
    assert.ok(line.length < 20_000, `${line.length}`);
    assert.equal(line.indexOf('\n'), line.length - 1);
  }
  assert.equal(json()[4]!.value, (2n ** 70n).toString());
});

test('a field cannot take the place of what every line has', () => {
  const { log, json, lines } = openLog();
  log.info('event', { level: 'fatal', msg: 'other', time: 1, name: 'x', pid: 0 });
  assert.equal(json()[0]!.msg, 'event');
  assert.equal(json()[0]!.level, 'info');
  assert.equal(json()[0]!.level_, 'fatal');
  assert.equal(lines[0]!.match(/"msg":/g)!.length, 1);
});

test('an error is logged with its code and its cause', () => {
  const { log, json } = openLog();
  const cause = Object.assign(new Error('disk full'), { code: 'ENOSPC' });
  log.error('request failed', { error: new Error('internal error', { cause }) });
  const { error } = json()[0] as unknown as {
    error: { message: string; stack: string[]; cause: { message: string; code: string } };
  };
  assert.equal(error.message, 'internal error');
  assert.ok(error.stack.length > 0);
  assert.equal(error.cause.message, 'disk full');
  assert.equal(error.cause.code, 'ENOSPC');
});

test('an event name gives ten lines a second, and its next line says how many were left out', () => {
  let now = 0;
  const { log, json } = openLog({ now: () => now });
  for (let i = 0; i < 25; i++) log.warn('queue full', { i });
  log.warn('another event');
  assert.equal(json().filter((line) => line.msg === 'queue full').length, 10);
  assert.equal(json().length, 11);
  now = 999;
  log.warn('queue full');
  assert.equal(json().length, 11);
  now = 1000;
  log.warn('queue full');
  log.warn('queue full');
  assert.equal(json()[11]!.suppressed, 16);
  assert.equal(json()[12]!.suppressed, undefined);
});

test('what the limit still holds back is told before the end', () => {
  const { log, json } = openLog();
  for (let i = 0; i < 13; i++) log.info('busy');
  log.flush();
  assert.equal(json().length, 11);
  assert.deepEqual([json()[10]!.of, json()[10]!.suppressed], ['busy', 3]);
  log.flush();
  assert.equal(json().length, 11);
});

test('a clock that is set back does not silence an event', () => {
  let now = 1_000_000;
  const { log, json } = openLog({ now: () => now });
  for (let i = 0; i < 20; i++) log.info('busy');
  now = 0;
  log.info('busy');
  assert.equal(json().length, 11);
});

test('the pretty form is one line a person can read', () => {
  const { log, lines } = openLog({ format: 'pretty' });
  log.info('model ready', { model: 'digits', note: 'two words', list: [1, 2] });
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /INFO.*control model ready model=digits note="two words" list=\[1,2\]\n$/);
  assert.equal(lines[0]!.trimEnd().includes('\n'), false);
});

test('a process whose log reader goes away lives on and ends well', async () => {
  const place = new URL('../src/log.js', import.meta.url).href;
  const program = `
    import { createLog } from ${JSON.stringify(place)};
    const log = createLog({ level: 'info', format: 'json', name: 'x' });
    process.stdin.once('data', () => {
      for (let i = 0; i < 5000; i++) log.info('event ' + i, { text: 'x'.repeat(1000) });
      log.flush();
      process.stderr.write('alive');
      process.stdin.destroy();
    });
    log.info('started');
    process.stderr.write('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'pipe'] });
  await once(child.stderr, 'data');
  child.stdout.destroy();
  await once(child.stdout, 'close');
  child.stdin.write('go');
  const told: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => told.push(chunk));
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(Buffer.concat(told).toString(), 'alive');
  assert.equal(code, 0);
});

const stalled = `
  import { createLog } from ${JSON.stringify(new URL('../src/log.js', import.meta.url).href)};
  const log = createLog({ level: 'info', format: 'json', name: 'x' });
  for (let i = 0; i < 5000; i++) log.info('event ' + i, { text: 'x'.repeat(1000) });
  process.stderr.write('written');
  process.stdin.once('data', () => {
    log.info('reader is back');
    log.flush();
    process.exit(0);
  });`;

test('a log reader that stalls holds up neither the work nor the exit', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', stalled], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdout.pause();
  await once(child.stderr, 'data');
  child.stdin.write('exit');
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 0);
  child.stdout.destroy();
});

test('lines are lost only beyond the bound, and every lost one is counted', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', stalled], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdout.pause();
  await once(child.stderr, 'data');
  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    // Nearly all that was kept has come, so there is room again.
    if (size > 1_000_000 && size - chunk.length <= 1_000_000) child.stdin.write('exit');
  });
  child.stdout.resume();
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 0);
  const lines = Buffer.concat(chunks).toString().trimEnd().split('\n');
  const parsed = lines.map((line) => JSON.parse(line) as Line);
  const events = parsed.filter((line) => String(line.msg).startsWith('event ')).length;
  const { dropped } = parsed.find((line) => line.msg === 'log lines dropped') as { dropped: number };
  assert.ok(dropped > 1000);
  assert.equal(events + dropped, 5000);
  assert.equal(parsed.at(-1)!.msg, 'reader is back');
});

test('lines written before a flush are on stdout when the process exits', async () => {
  const place = new URL('../src/log.js', import.meta.url).href;
  const program = `
    import { createLog } from ${JSON.stringify(place)};
    const log = createLog({ level: 'info', format: 'auto', name: 'x' });
    for (let i = 0; i < 200; i++) log.info('event ' + i);
    log.flush();
    process.exit(3);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [code] = (await once(child, 'close')) as [number];
  const lines = Buffer.concat(chunks).toString().trimEnd().split('\n');
  assert.equal(code, 3);
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as Line).msg),
    Array.from({ length: 200 }, (_, i) => `event ${i}`),
  );
});
