import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gapsOf, seededRandom } from '../bench/chance.js';
import { MessageFrames } from '../bench/grpc-frames.js';
import { Histogram, mergeHistograms } from '../bench/histogram.js';
import { HttpReply } from '../bench/http-reply.js';
import { parseOptions } from '../bench/options.js';
import { parseUsage, serverFigures } from '../bench/server-side.js';
import { parseSlo, type SearchOptions, searchRate } from '../bench/slo.js';
import { promiseVerdict, verdictOf } from '../bench/stability.js';

const window = (rps: number, latencyUs = 1000) => ({ rps, latencyUs });

test('three windows within ten percent of their mean are steady, whatever came before', () => {
  assert.equal(verdictOf([window(100), window(109), window(95)]), 'steady');
  assert.equal(verdictOf([window(10), window(100), window(100), window(100)]), 'steady');
});

test('fewer than three windows, or three that differ, ask for another', () => {
  assert.equal(verdictOf([window(100), window(100)]), 'go on');
  assert.equal(verdictOf([window(100), window(100), window(125)]), 'go on');
  assert.equal(verdictOf([window(100, 1000), window(100, 1000), window(100, 1400)]), 'go on');
});

test('the tenth window that does not agree makes the row unstable', () => {
  const rising = Array.from({ length: 10 }, (_, at) => window(100, 1000 * 1.3 ** at));
  assert.equal(verdictOf(rising.slice(0, 9)), 'go on');
  assert.equal(verdictOf(rising), 'unstable');
});

test('windows without a success never agree', () => {
  const empty = Array.from({ length: 10 }, () => window(0, 0));
  assert.equal(verdictOf(empty), 'unstable');
});

test('a promise is kept by three windows that keep it, however far they stay below it', () => {
  assert.equal(promiseVerdict([window(100, 2000), window(100, 4900), window(105, 1000)], 5000), 'steady');
  assert.equal(promiseVerdict([window(100, 2000), window(100, 5100), window(100, 1000)], 5000), 'go on');
  assert.equal(promiseVerdict([window(100, 9000), window(100, 20_000), window(100, 40_000)], 5000), 'unstable');
  const wavering = Array.from({ length: 10 }, (_, at) => window(100, at % 2 === 0 ? 1000 : 9000));
  assert.equal(promiseVerdict(wavering.slice(0, 9), 5000), 'go on');
  assert.equal(promiseVerdict(wavering, 5000), 'unstable');
});

test('arrivals by chance may differ by what chance makes of them', () => {
  const windows = [window(100), window(115), window(88)];
  assert.equal(verdictOf(windows), 'go on');
  assert.equal(verdictOf(windows, 0.1), 'steady');
});

const search: SearchOptions = { startRate: 500, precision: 0.05, probesMax: 20, rateMin: 1, rateMax: 1_000_000 };

for (const capacity of [3, 40, 730, 501, 25_000]) {
  test(`the search finds the highest rate below ${capacity} that keeps the promise, to five percent`, async () => {
    const probes: number[] = [];
    const found = await searchRate(async (rate) => {
      probes.push(rate);
      return rate <= capacity;
    }, search);
    assert.ok(found !== undefined && found <= capacity, String(found));
    assert.ok(capacity - found <= Math.max(1, found * 0.05), `${found} of ${capacity}`);
    assert.ok(probes.includes(found), 'it was measured');
    assert.ok(probes.length <= 20);
  });
}

test('a promise that no rate keeps has no rate, one that every rate keeps has the limit', async () => {
  assert.equal(await searchRate(async () => false, search), undefined);
  assert.equal(await searchRate(async () => true, { ...search, rateMax: 5000 }), 5000);
});

test('the search ends when it is told to', async () => {
  let probes = 0;
  const found = await searchRate(async () => ++probes > 0, { ...search, isOver: () => probes === 2 });
  assert.deepEqual([found, probes], [1000, 2]);
});

test('a promise is read with its unit', () => {
  assert.deepEqual(parseSlo('p99=5ms'), { percent: 99, limitUs: 5000 });
  assert.deepEqual(parseSlo('p99.9=800us'), { percent: 99.9, limitUs: 800 });
  assert.deepEqual(parseSlo('p50=0.2s'), { percent: 50, limitUs: 200_000 });
  for (const wrong of ['p99', 'p99=5', 'p100=5ms', '99=5ms', 'p0=1ms', 'p99=0ms', '']) {
    assert.throws(() => parseSlo(wrong), { exitCode: 2 }, wrong);
  }
});

test('percentiles are right to a thousandth, for small and large latencies', () => {
  for (const scale of [1, 37, 4001, 60_000]) {
    const histogram = new Histogram();
    for (let value = 1; value <= 1000; value++) histogram.record(value * scale);
    for (const percent of [1, 50, 90, 99, 99.9, 100]) {
      const exactly = percent * 10 * scale;
      const got = histogram.percentileUs(percent);
      assert.ok(got >= exactly && got <= exactly * 1.001 + 1, `p${percent} ${got} for ${exactly}`);
    }
    assert.equal(histogram.maxUs, 1000 * scale);
  }
});

test('merged histograms are the histogram of both', () => {
  const random = seededRandom(7);
  const [a, b, both] = [new Histogram(), new Histogram(), new Histogram()];
  for (let at = 0; at < 5000; at++) {
    const value = random() ** 4 * 1e7;
    (at % 3 === 0 ? a : b).record(value);
    both.record(value);
  }
  const merged = mergeHistograms([a, b]);
  for (const percent of [1, 25, 50, 99, 99.99]) assert.equal(merged.percentileUs(percent), both.percentileUs(percent));
  assert.deepEqual([merged.count, merged.maxUs, merged.sumUs], [both.count, both.maxUs, both.sumUs]);
});

test('an empty histogram and one beyond its range do no harm', () => {
  const histogram = new Histogram();
  assert.equal(histogram.percentileUs(99), 0);
  histogram.record(-5);
  histogram.record(1e12);
  assert.equal(histogram.percentileUs(1), 0);
  assert.equal(histogram.percentileUs(100), 2 ** 32 - 1);
});

test('Poisson arrivals have the rate asked for and the spread of chance; the same seed gives the same', () => {
  const gap = gapsOf('poisson', 1000, seededRandom(3));
  const gaps = Array.from({ length: 20_000 }, gap);
  const mean = gaps.reduce((sum, value) => sum + value, 0) / gaps.length;
  const variance = gaps.reduce((sum, value) => sum + (value - mean) ** 2, 0) / gaps.length;
  assert.ok(Math.abs(mean - 1) < 0.03, String(mean));
  // An exponential distribution has a deviation equal to its mean.
  assert.ok(Math.abs(Math.sqrt(variance) - 1) < 0.05, String(variance));
  const again = gapsOf('poisson', 1000, seededRandom(3));
  assert.deepEqual(gaps.slice(0, 10), Array.from({ length: 10 }, again));
});

const replies: readonly (readonly [string, string, number])[] = [
  ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 200],
  ['without a body', 'HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n', 429],
  [
    'in chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n3;x=1\r\nabc\r\n0\r\n\r\n',
    200,
  ],
  ['in chunks with trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\na: b\r\n\r\n', 200],
  ['after a continue', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 200],
];

for (const [name, text, status] of replies) {
  test(`a reply ${name} ends where it ends, however it is cut`, () => {
    const bytes = Buffer.from(text);
    for (let cut = 0; cut < bytes.length; cut++) {
      const reply = new HttpReply();
      if (cut > 0) assert.equal(reply.take(bytes.subarray(0, cut)), false, `at ${cut}`);
      assert.equal(reply.take(bytes.subarray(cut)), true, `at ${cut}`);
      assert.equal(reply.status, status);
    }
    const reply = new HttpReply();
    const each = Array.from(bytes, (_, at) => reply.take(bytes.subarray(at, at + 1)));
    assert.deepEqual(each.indexOf(true), bytes.length - 1);
  });
}

test('what is not HTTP is refused', () => {
  assert.throws(() => new HttpReply().take(Buffer.from('SSH-2.0-OpenSSH\r\n\r\n')));
});

test('messages of a stream are counted however they are cut, and an error is seen', () => {
  const good = Buffer.from([0, 0, 0, 0, 3, 0x12, 1, 7]);
  const bad = Buffer.from([0, 0, 0, 0, 4, 0x0a, 2, 104, 105]);
  const empty = Buffer.from([0, 0, 0, 0, 0]);
  const bytes = Buffer.concat([good, empty, bad]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const frames = new MessageFrames();
    assert.equal(frames.take(bytes.subarray(0, cut)) + frames.take(bytes.subarray(cut)), 3, `at ${cut}`);
    assert.equal(frames.isError, true);
  }
  const frames = new MessageFrames();
  frames.take(good);
  assert.equal(frames.isError, false);
});

test('wrong options are one line each', () => {
  const wrong: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{}, /^--model: expected/],
    [{ model: 'm', protocol: 'ftp' }, /^--protocol: expected one of/],
    [{ model: 'm', mode: 'open' }, /^--mode open: expected --rate/],
    [{ model: 'm', mode: 'closed', rate: '5' }, /^--rate: a closed loop has no rate/],
    [{ model: 'm', mode: 'closed', slo: 'p99=5ms' }, /^--slo: a rate can only/],
    [{ model: 'm', rate: '5', slo: 'p99=5ms' }, /^--rate: --slo searches/],
    [{ model: 'm', connections: '0' }, /^--connections: expected a number from 1 to 4096, got 0/],
    [{ model: 'm', connections: '1,x' }, /^--connections: expected a number/],
    [{ model: 'm', rate: '5', connections: '1,2' }, /^--connections: in open mode expected one number/],
    [{ model: 'm', duration: '1e9' }, /^--duration: expected a number/],
    [{ model: 'm', arrivals: 'poisson' }, /^--arrivals: only an open loop/],
  ];
  for (const [typed, message] of wrong) assert.throws(() => parseOptions(undefined, typed), { exitCode: 2, message });
  assert.throws(() => parseOptions('http://x/y', { model: 'm' }), {
    exitCode: 2,
    message: /^URL: expected an address without/,
  });
  assert.throws(() => parseOptions('ftp://x', { model: 'm' }), {
    exitCode: 2,
    message: /^URL: expected an address like/,
  });
});

test('a rate or a promise makes the loop open, and gRPC has its own port', () => {
  assert.equal(parseOptions(undefined, { model: 'm' }).mode, 'closed');
  assert.equal(parseOptions(undefined, { model: 'm', rate: '5' }).mode, 'open');
  assert.equal(parseOptions(undefined, { model: 'm', slo: 'p99=5ms' }).mode, 'open');
  assert.equal(parseOptions(undefined, { model: 'm' }).url, 'http://127.0.0.1:8000');
  assert.equal(parseOptions(undefined, { model: 'm', protocol: 'grpc' }).url, 'http://127.0.0.1:8001');
  assert.equal(parseOptions('grpc://host:9000', { model: 'm', protocol: 'grpc' }).url, 'http://host:9000');
  assert.equal(parseOptions('host:9000', { model: 'm' }).url, 'http://host:9000');
});

test('the cost of a request is the difference of counters, and unknown where there is none', () => {
  const counts = { requests: 100, queueNs: 1e6, computeNs: 5e6, rows: 200, runs: 50 };
  const after = { requests: 200, queueNs: 3e6, computeNs: 9e6, rows: 600, runs: 150 };
  const figures = serverFigures(
    { counts, usage: { cpuSeconds: 1, rssBytes: 5 } },
    { counts: after, usage: { cpuSeconds: 1.5, rssBytes: 7 } },
    1000,
  );
  assert.deepEqual(figures, { queueUs: 20, computeUs: 40, batchRows: 4, cpuUs: 500, rssBytes: 7 });
  const none = serverFigures({ counts: undefined, usage: undefined }, { counts: after, usage: undefined }, 1000);
  assert.deepEqual(Object.values(none), [undefined, undefined, undefined, undefined, undefined]);
});

test('processor and memory are sums over the processes of the metrics', () => {
  const text = `# TYPE sluice_process_cpu_seconds_total counter
sluice_process_cpu_seconds_total{process="gateway-1"} 0.5
sluice_process_cpu_seconds_total{process="gateway-2"} 1.25e0
sluice_process_resident_memory_bytes{process="gateway-1"} 100
sluice_process_resident_memory_bytes{process="gateway-2"} 23
`;
  assert.deepEqual(parseUsage(text), { cpuSeconds: 1.75, rssBytes: 123 });
  assert.equal(parseUsage('up 1\n'), undefined);
});
