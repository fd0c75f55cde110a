import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetricsRoom } from '../src/admin/metrics.js';
import type { Family } from '../src/core/series.js';

function requests(count: number, labels: Record<string, string> = { model: 'm', version: '1' }): Family {
  return { name: 'sluice_requests_total', help: 'Requests.', type: 'counter', series: [{ labels, value: count }] };
}

function depth(value: number): Family {
  return { name: 'sluice_queue_depth', help: 'Waiting.', type: 'gauge', series: [{ labels: { model: 'm' }, value }] };
}

function sizes(counts: number[], sum: number): Family {
  const value = counts.reduce((total, count) => total + count, 0);
  return {
    name: 'sluice_batch_size',
    help: 'Rows.',
    type: 'histogram',
    buckets: [1, 2, 4],
    series: [{ labels: { model: 'm' }, value, counts, sum }],
  };
}

/** The text as a parser of the format reads it: every line is known, every sample stands under its own TYPE. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  let family = '';
  assert.ok(text.endsWith('\n'));
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      family = type[1]!;
      continue;
    }
    const sample =
      /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$/.exec(line);
    assert.ok(sample, `not a line of the format: ${line}`);
    assert.ok(sample[1] === family || /^_(bucket|sum|count)$/.test(sample[1]!.slice(family.length)), line);
    const key = `${sample[1]}${sample[2] ?? ''}`;
    assert.ok(!samples.has(key), `twice: ${key}`);
    samples.set(key, sample[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(sample[3]));
  }
  return samples;
}

const requestsKey = 'sluice_requests_total{model="m",version="1"}';

test('the counts of all processes and of control are one text', async () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(3), depth(2)]);
  room.put('2.1', [requests(4), depth(5)]);
  const samples = parse(await room.text([requests(100)]));
  assert.equal(samples.get(requestsKey), 107);
  assert.equal(samples.get('sluice_queue_depth{model="m"}'), 7);
});

test('a snapshot replaces the one before it', async () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(3)]);
  room.put('1.1', [requests(5)]);
  assert.equal(parse(await room.text([])).get(requestsKey), 5);
});

test('a counter never goes down when processes end and others take their place', async () => {
  const room = createMetricsRoom();
  let last = 0;
  for (let life = 1; life <= 5; life++) {
    for (const count of [1, 2, 7]) {
      room.put(`1.${life}`, [requests(count), sizes([count, 0, 0, 0], count), depth(9)]);
      const now = parse(await room.text([])).get(requestsKey)!;
      assert.ok(now >= last, `${now} after ${last}`);
      last = now;
    }
    room.end(`1.${life}`);
    assert.equal(parse(await room.text([])).get(requestsKey), last);
  }
  const samples = parse(await room.text([]));
  assert.equal(samples.get(requestsKey), 35);
  assert.equal(samples.get('sluice_batch_size_count{model="m"}'), 35);
});

test('the gauges of a process end with it', async () => {
  const room = createMetricsRoom();
  room.put('1.1', [depth(5)]);
  room.end('1.1');
  assert.equal(parse(await room.text([])).has('sluice_queue_depth{model="m"}'), false);
});

test('a snapshot that arrives after the end of its process does not count twice', async () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(5)]);
  room.end('1.1');
  room.put('1.1', [requests(5)]);
  room.end('1.1');
  assert.equal(parse(await room.text([])).get(requestsKey), 5);
});

test('buckets are cumulative, end with +Inf and agree with the count', async () => {
  const room = createMetricsRoom();
  room.put('1.1', [sizes([1, 0, 2, 1], 20)]);
  room.put('2.1', [sizes([0, 3, 0, 0], 6)]);
  const samples = parse(await room.text([]));
  const bucket = (le: string) => samples.get(`sluice_batch_size_bucket{model="m",le="${le}"}`);
  assert.deepEqual(['1', '2', '4', '+Inf'].map(bucket), [1, 4, 6, 7]);
  assert.equal(samples.get('sluice_batch_size_sum{model="m"}'), 26);
  assert.equal(samples.get('sluice_batch_size_count{model="m"}'), 7);
});

test('labels of any text stay within their quotes', async () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(1, { model: 'a"b\\c\nd} 9\nevil_total 1' })]);
  const text = await room.text([]);
  parse(text);
  assert.doesNotMatch(text, /^evil_total/m);
});

test('series beyond the cap are added up under _other, and no counter goes down on the way', async () => {
  const room = createMetricsRoom({ seriesMax: 3 });
  const models = (count: number, value: number): Family[] => [
    {
      name: 'sluice_requests_total',
      help: 'Requests.',
      type: 'counter',
      series: Array.from({ length: count }, (_, index) => ({ labels: { model: `m${index}` }, value })),
    },
  ];
  room.put('1.1', models(3, 1));
  assert.equal(parse(await room.text([])).has('sluice_requests_total{model="_other"}'), false);
  room.put('2.1', models(10, 1));
  const before = parse(await room.text([]));
  assert.equal(before.get('sluice_requests_total{model="m2"}'), 2);
  assert.equal(before.get('sluice_requests_total{model="_other"}'), 7);
  room.end('1.1');
  room.end('2.1');
  room.put('3.1', models(10, 1));
  const after = parse(await room.text([]));
  for (const [key, value] of before) assert.ok(after.get(key)! >= value, key);
  assert.equal(after.get('sluice_requests_total{model="_other"}'), 14);
});

test('a version that is gone for good can be forgotten and makes room', async () => {
  const room = createMetricsRoom({ seriesMax: 1 });
  room.put('1.1', [requests(5)]);
  await room.text([]);
  room.end('1.1');
  room.forget('m', '1');
  room.put('2.1', [requests(1, { model: 'm', version: '2' })]);
  const samples = parse(await room.text([]));
  assert.equal(samples.has(requestsKey), false);
  assert.equal(samples.get('sluice_requests_total{model="m",version="2"}'), 1);
});

test('the number of series of each family is told', async () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(1), depth(1)]);
  assert.equal(parse(await room.text([])).get('sluice_metrics_series{family="sluice_requests_total"}'), 1);
});
