import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InferenceEvent } from '../src/core/events.js';
import { requestShare } from '../src/core/request-share.js';
import { Trace } from '../src/core/trace.js';
import { createLog } from '../src/log.js';
import { type AccessLine, createAccessLog } from '../src/observe/access-log.js';
import { assignment, eventWith } from './event-fixture.js';

function linesOf(share: number, events: readonly InferenceEvent[]): AccessLine[] {
  const lines: AccessLine[] = [];
  const observe = createAccessLog(share, (line) => void lines.push(line));
  for (const event of events) observe(event);
  return lines;
}

test('a line says who answered, why, how it ended and where the time went', () => {
  const trace = new Trace({ traceId: 'a'.repeat(32), parentId: '', state: '', isSampled: false, receivedAt: 0 });
  assert.deepEqual(linesOf(1, [eventWith({ assignment, trace, durationMs: 10.123456 })]), [
    {
      requestId: 'r-1',
      traceId: 'a'.repeat(32),
      model: 'm',
      version: '3',
      experiment: 'spring',
      variant: 'b',
      routeReason: 'weight',
      protocol: 'http',
      code: 'OK',
      durationMs: 10.123,
      rows: 2,
      queueMs: 2,
      inputMs: 1,
      inferMs: 3,
      outputMs: 0.5,
      batchRows: 8,
    },
  ]);
});

test('a refused request has a line, too, without what it never had', () => {
  const refused = eventWith({ version: undefined, model: '_other', code: 'NOT_FOUND', timing: undefined, rows: 0 });
  assert.deepEqual(linesOf(1, [refused]), [
    { requestId: 'r-1', model: '_other', protocol: 'http', code: 'NOT_FOUND', durationMs: 10, rows: 0 },
  ]);
  const full = eventWith({ code: 'RESOURCE_EXHAUSTED', reason: 'queue_full', timing: undefined });
  assert.equal(linesOf(1, [full])[0]!.reason, 'queue_full');
});

test('the request id decides who has a line, by the number that decides about its row and its trace', () => {
  const events = Array.from({ length: 2000 }, (_, index) => eventWith({ requestId: `request-${index}` }));
  const kept = linesOf(0.25, events).map(({ requestId }) => requestId);
  assert.deepEqual(
    kept,
    events.map(({ requestId }) => requestId).filter((id) => requestShare(id) < 0.25),
  );
  assert.ok(kept.length > 420 && kept.length < 580, `${kept.length}`);
});

test('what callers choose is cut', () => {
  assert.equal(String(linesOf(1, [eventWith({ requestId: 'x'.repeat(10_000) })])[0]!.requestId).length, 128);
});

test('records are not limited to ten lines a second, keep to the level, and are told apart by their event', () => {
  const lines: string[] = [];
  const log = createLog({
    level: 'info',
    format: 'json',
    name: 'gateway-1',
    now: () => 1000,
    write: (line) => void lines.push(line),
  });
  for (let i = 0; i < 100; i++) log.record('access', { requestId: `r${i}` });
  assert.equal(lines.length, 100);
  assert.deepEqual(JSON.parse(lines[99]!), {
    level: 'info',
    time: 1000,
    name: 'gateway-1',
    pid: process.pid,
    requestId: 'r99',
    msg: 'access',
  });
  log.setLevel('warn');
  log.record('access', {});
  log.setLevel('info');
  log.setMuted(['info']);
  log.record('access', {});
  assert.equal(lines.length, 100);
});
