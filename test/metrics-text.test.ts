import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetricsRoom } from '../src/admin/metrics.js';
import { formOf } from '../src/admin/metrics-text.js';
import { FamilyPacker, FamilyUnpacker } from '../src/core/packed-families.js';
import type { Family } from '../src/core/series.js';
import { emptyStatistics } from '../src/core/statistics.js';

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

test('the counts of all processes and of control are one text', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(3), depth(2)]);
  room.put('2.1', [requests(4), depth(5)]);
  const samples = parse(room.text([requests(100)]));
  assert.equal(samples.get(requestsKey), 107);
  assert.equal(samples.get('sluice_queue_depth{model="m"}'), 7);
});

test('a snapshot replaces the one before it', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(3)]);
  room.put('1.1', [requests(5)]);
  assert.equal(parse(room.text([])).get(requestsKey), 5);
});

test('a counter never goes down when processes end and others take their place', () => {
  const room = createMetricsRoom();
  let last = 0;
  for (let life = 1; life <= 5; life++) {
    for (const count of [1, 2, 7]) {
      room.put(`1.${life}`, [requests(count), sizes([count, 0, 0, 0], count), depth(9)]);
      const now = parse(room.text([])).get(requestsKey)!;
      assert.ok(now >= last, `${now} after ${last}`);
      last = now;
    }
    room.end(`1.${life}`);
    assert.equal(parse(room.text([])).get(requestsKey), last);
  }
  const samples = parse(room.text([]));
  assert.equal(samples.get(requestsKey), 35);
  assert.equal(samples.get('sluice_batch_size_count{model="m"}'), 35);
});

test('the gauges of a process end with it', () => {
  const room = createMetricsRoom();
  room.put('1.1', [depth(5)]);
  room.end('1.1');
  assert.equal(parse(room.text([])).has('sluice_queue_depth{model="m"}'), false);
});

test('a snapshot that arrives after the end of its process does not count twice', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(5)]);
  room.end('1.1');
  room.put('1.1', [requests(5)]);
  room.end('1.1');
  assert.equal(parse(room.text([])).get(requestsKey), 5);
});

test('buckets are cumulative, end with +Inf and agree with the count', () => {
  const room = createMetricsRoom();
  room.put('1.1', [sizes([1, 0, 2, 1], 20)]);
  room.put('2.1', [sizes([0, 3, 0, 0], 6)]);
  const samples = parse(room.text([]));
  const bucket = (le: string) => samples.get(`sluice_batch_size_bucket{model="m",le="${le}"}`);
  assert.deepEqual(['1', '2', '4', '+Inf'].map(bucket), [1, 4, 6, 7]);
  assert.equal(samples.get('sluice_batch_size_sum{model="m"}'), 26);
  assert.equal(samples.get('sluice_batch_size_count{model="m"}'), 7);
});

test('labels of any text stay within their quotes', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(1, { model: 'a"b\\c\nd} 9\nevil_total 1' })]);
  const text = room.text([]);
  parse(text);
  assert.doesNotMatch(text, /^evil_total/m);
});

test('a label value is cut where it would be a text of its own, and what is no UTF-8 becomes a sign for that', () => {
  const room = createMetricsRoom();
  const long = 'x'.repeat(1_000_000);
  room.put('1.1', [
    requests(1, { model: long }),
    requests(2, { model: `${long}y` }),
    requests(4, { model: 'a\ud800b' }),
  ]);
  const text = room.text([]);
  assert.equal(parse(text).get(`sluice_requests_total{model="${'x'.repeat(255)}…"}`), 3, 'no line stands there twice');
  assert.equal(parse(text).get('sluice_requests_total{model="a\ufffdb"}'), 4);
  assert.ok(text.isWellFormed());
  assert.ok(text.length < 2000, `${text.length}`);
});

test('100,000 label values leave as many series as are allowed, and the sum is right', () => {
  const room = createMetricsRoom({ seriesMax: 100 });
  const series = Array.from({ length: 100_000 }, (_, at) => ({ labels: { model: `"\n\\${at}` }, value: 1 }));
  room.put('1.1', [{ ...requests(0), series }]);
  const samples = [...parse(room.text([]))].filter(([name]) => name.startsWith('sluice_requests_total'));
  assert.equal(samples.length, 101);
  assert.equal(
    samples.reduce((sum, [, value]) => sum + value, 0),
    100_000,
  );
});

test('series beyond the cap are added up under _other, and no counter goes down on the way', () => {
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
  assert.equal(parse(room.text([])).has('sluice_requests_total{model="_other"}'), false);
  room.put('2.1', models(10, 1));
  const before = parse(room.text([]));
  assert.equal(before.get('sluice_requests_total{model="m2"}'), 2);
  assert.equal(before.get('sluice_requests_total{model="_other"}'), 7);
  room.end('1.1');
  room.end('2.1');
  room.put('3.1', models(10, 1));
  const after = parse(room.text([]));
  for (const [key, value] of before) assert.ok(after.get(key)! >= value, key);
  assert.equal(after.get('sluice_requests_total{model="_other"}'), 14);
});

test('the series of a version that was retired are dropped after ten minutes and make room', () => {
  let at = 0;
  const room = createMetricsRoom({ seriesMax: 1, now: () => at });
  room.put('1.1', [requests(5)]);
  room.retire({ model: 'm', version: '1' });
  at = 599_999;
  assert.equal(parse(room.text([])).get(requestsKey), 5);
  at = 600_000;
  assert.equal(parse(room.text([])).has(requestsKey), false);
  room.put('2.1', [requests(1, { model: 'm', version: '2' })]);
  const samples = parse(room.text([]));
  assert.equal(samples.has(requestsKey), false);
  assert.equal(samples.get('sluice_requests_total{model="m",version="2"}'), 1);
});

test('a retired version that is loaded again in time loses nothing', () => {
  let at = 0;
  const room = createMetricsRoom({ now: () => at });
  room.put('1.1', [requests(5)]);
  room.retire({ model: 'm', version: '1' });
  room.restore({ model: 'm', version: '1' });
  at = 10_000_000;
  assert.equal(parse(room.text([])).get(requestsKey), 5);
});

test('what a living process does not tell any more still counts, also when it begins again', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(5), depth(3)]);
  room.put('1.1', []);
  assert.equal(parse(room.text([])).get(requestsKey), 5);
  assert.equal(parse(room.text([])).has('sluice_queue_depth{model="m"}'), false);
  room.put('1.1', [requests(2)]);
  assert.equal(parse(room.text([])).get(requestsKey), 7);
});

test('a family that a process tells in two parts is counted once, however often it is told', () => {
  const room = createMetricsRoom();
  const parts = (count: number) => [requests(count, { thread: 'main' }), requests(10 * count, { thread: 'observer' })];
  for (const count of [1, 2, 3, 4]) room.put('1.1', parts(count));
  const samples = () => parse(room.text([]));
  assert.equal(samples().get('sluice_requests_total{thread="main"}'), 4);
  assert.equal(samples().get('sluice_requests_total{thread="observer"}'), 40);
  room.put('1.1', parts(5).slice(1));
  assert.equal(samples().get('sluice_requests_total{thread="main"}'), 4, 'what is not told any more still counts');
  room.end('1.1');
  assert.equal(samples().get('sluice_requests_total{thread="observer"}'), 50);
});

test('series of equal labels within one process add up, in whatever order the labels stand', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(1), requests(2, { version: '1', model: 'm' })]);
  assert.equal(parse(room.text([])).get(requestsKey), 3);
});

test('families of one name and two shapes are refused', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(1)]);
  assert.throws(() => room.text([{ ...requests(1), type: 'gauge' }]), /two types/);
});

test('series that found no room are counted by family', () => {
  const room = createMetricsRoom({ seriesMax: 1 });
  room.put('1.1', [requests(1), depth(1)]);
  const key = 'sluice_metrics_overflow_total{family="sluice_queue_depth"}';
  assert.equal(parse(room.text([])).get(key), 1);
  assert.equal(parse(room.text([])).get(key), 2);
});

test('OpenMetrics is given to those who want it most, the older text to all others', () => {
  const open = 'application/openmetrics-text;version=1.0.0';
  assert.equal(formOf(`${open},text/plain;version=0.0.4;q=0.5,*/*;q=0.1`), 'openmetrics');
  assert.equal(formOf(`text/plain;q=0.9, ${open};q=0.5`), 'prometheus');
  for (const accept of [undefined, '', '*/*', 'text/html', `${open};q=0`, `${open};q=x`])
    assert.equal(formOf(accept), 'prometheus', accept);
});

test('OpenMetrics names a counter without _total, writes bounds as floats and ends with EOF', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(1), sizes([1, 0, 0, 0], 1)]);
  const lines = room.text([], { form: 'openmetrics' }).split('\n');
  assert.ok(lines.includes('# TYPE sluice_requests counter'));
  assert.ok(lines.includes(`${requestsKey} 1`));
  assert.ok(lines.includes('sluice_batch_size_bucket{model="m",le="1.0"} 1'));
  assert.deepEqual(lines.slice(-2), ['# EOF', '']);
});

test('text of somebody else stands before the end, with the heads of its form', () => {
  const more =
    '# HELP c_total C.\n# TYPE c_total counter\nc_total 1\n\n# HELP g_total G.\n# TYPE g_total gauge\ng_total 2\n';
  const room = createMetricsRoom();
  assert.ok(room.text([], { more }).endsWith(more));
  const open = room.text([], { more, form: 'openmetrics' });
  assert.ok(
    open.endsWith(
      '# HELP c C.\n# TYPE c counter\nc_total 1\n# HELP g_total G.\n# TYPE g_total gauge\ng_total 2\n# EOF\n',
    ),
  );
});

test("Triton's names carry the same counts, only when asked for and only of versions that are served", () => {
  const room = createMetricsRoom();
  const id = { model: 'm', version: '1' };
  const request = (code: string, protocol: string, value: number) => ({ labels: { ...id, protocol, code }, value });
  const series = [
    request('OK', 'http', 9),
    request('INTERNAL', 'http', 1),
    request('INTERNAL', 'grpc', 2),
    request('CANCELLED', 'http', 4),
    { ...request('INTERNAL', 'http', 7), labels: { model: 'm', version: '9', code: 'INTERNAL' } },
  ];
  room.put('1.1', [{ ...requests(0), series }]);
  const aliased = [
    { ...emptyStatistics('m', '1'), success: { count: 9, ns: 12_345_678n }, inferenceCount: 30, executionCount: 4 },
  ];
  const samples = parse(room.text([], { aliased }));
  const value = (name: string, more = '') => samples.get(`nv_inference_${name}{model="m",version="1"${more}}`);
  assert.equal(value('request_success'), 9);
  assert.equal(value('request_duration_us'), 12_345);
  assert.equal(value('count'), 30);
  assert.equal(value('exec_count'), 4);
  assert.equal(value('request_failure', ',reason="BACKEND"'), 3);
  assert.equal(value('request_failure', ',reason="CANCELED"'), 4);
  assert.doesNotMatch(room.text([]), /nv_inference/);
  assert.match(room.text([], { aliased, form: 'openmetrics' }), /^# TYPE nv_inference_count unknown$/m);
});

test('families that were packed for the way are the same afterwards', () => {
  const families = [requests(3), depth(0.5), sizes([1, 0, 2, 1], 20), { ...requests(0), name: 'empty', series: [] }];
  assert.deepEqual(new FamilyUnpacker().unpack(structuredClone(new FamilyPacker().pack(families))), families);
});

test('the number of series of each family is told', () => {
  const room = createMetricsRoom();
  room.put('1.1', [requests(1), depth(1)]);
  assert.equal(parse(room.text([])).get('sluice_metrics_series{family="sluice_requests_total"}'), 1);
});
