/** Settings that change while serving: written down before they count, and then followed by every log there is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SettingsDesk, type WriteDown } from '../src/control/settings-desk.js';
import type { LiveSettings } from '../src/ipc.js';
import { createLog, type LogLevel, setManner } from '../src/log.js';

function deskOf(level: LogLevel = 'info') {
  const steps: unknown[] = [];
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const log = createLog({ level, format: 'json', name: 'control', now: () => 0, write });
  const gateway = createLog({ level, format: 'json', name: 'gateway-1', now: () => 0, write });
  const desk = new SettingsDesk({
    config: {
      log: { level, format: 'json', access: 0 },
      tracing: { endpoint: '', sample: 0.1 },
      gateway: { processes: 1 },
    } as never,
    log,
    hasModel: (model) => model === 'm',
    send: (settings: LiveSettings) => {
      setManner(gateway, settings);
      steps.push('made');
    },
  });
  const written: WriteDown = async (subject, detail) => void steps.push([subject, detail]);
  /** The levels that come through, and the form of the time. */
  const said = () => {
    lines.length = 0;
    for (const one of [log, gateway])
      for (const at of ['debug', 'info', 'warn', 'error'] as const) one[at](`${at} ${steps.length}`);
    return lines.map((line) => JSON.parse(line)).map(({ name, level: at, time }) => `${name} ${at} ${time}`);
  };
  return { desk, steps, written, said };
}

const both = (...levels: readonly string[]) =>
  ['control', 'gateway-1'].flatMap((name) => levels.map((level) => `${name} ${level} 0`));

test('a change is written down, then made; what only asks is neither', async () => {
  const { desk, steps, written } = deskOf();
  await desk.logging(undefined, written);
  await desk.trace('', undefined, written);
  assert.deepEqual(steps, []);
  await desk.logging({ log_verbose_level: 1 }, written);
  await desk.trace('m', { trace_rate: '5' }, written);
  await desk.trace('', { trace_level: ['TIMESTAMPS'] }, written);
  assert.deepEqual(steps, [
    ['server', { kind: 'log', to: { log_verbose_level: 1 } }],
    'made',
    ['m', { kind: 'trace', to: { trace_rate: '5' } }],
    'made',
    ['server', { kind: 'trace', to: { trace_level: ['TIMESTAMPS'] } }],
    'made',
  ]);
});

test('a change that is wrong is not written down, and one that cannot be written down is not made', async () => {
  const { desk, steps, written, said } = deskOf();
  await assert.rejects(desk.logging({ log_info: 'no' }, written), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(desk.trace('', { trace_rate: '0' }, written), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(desk.trace('gone', { trace_rate: '5' }, written), { code: 'NOT_FOUND' });
  assert.deepEqual(steps, []);
  const full: WriteDown = () => Promise.reject(new Error('the disk is full'));
  await assert.rejects(desk.logging({ log_info: false }, full), /full/);
  assert.deepEqual(said(), both('info', 'warn', 'error'));
});

test('levels are muted one by one, here and in every process, and the time takes its form', async () => {
  const { desk, written, said } = deskOf();
  await desk.logging({ log_info: false, log_error: false }, written);
  assert.deepEqual(said(), both('warn'));
  await desk.logging({ log_info: true, log_warning: false, log_error: true, log_verbose_level: 2 }, written);
  assert.deepEqual(said(), both('debug', 'info', 'error'));
  await desk.logging({ log_warning: true, log_verbose_level: 0, log_format: 'ISO8601' }, written);
  assert.match(said()[0]!, /^control info 1970-01-01T00:00:00\.000Z$/);
});

test('a log that is quiet by configuration stays so when something else changes', async () => {
  const { desk, written, said } = deskOf('warn');
  await desk.logging({ log_format: 'default' }, written);
  assert.deepEqual(said(), both('warn', 'error'));
  desk.follow('error');
  assert.deepEqual(said(), both('error'));
  desk.follow('debug');
  assert.deepEqual(said(), both('debug', 'info', 'warn', 'error'));
  assert.equal(((await desk.logging(undefined, written)) as { log_verbose_level: number }).log_verbose_level, 1);
});
