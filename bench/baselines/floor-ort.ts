/**
 * Floor `floor-ort`: the runtime in a bare loop on one thread, with nothing to read, copy or answer.
 *
 *   node floor-ort.js <model.onnx> <rows> <seconds> <shape of a row>
 *
 * Prints one line: `RESULT <runs> <microseconds> <p50 µs> <p99 µs> <cpu µs> <rss bytes>`.
 */
import type { Tensor } from '../../src/core/tensor.js';
import { openSession } from '../../src/engine/session.js';
import { sessionPolicy } from '../suite/session-policy.js';
import { quantile } from '../suite/statistics.js';

const [file = '', rows = '1', seconds = '1', rowShape = '1'] = process.argv.slice(2);
const session = await openSession(file, sessionPolicy);
const shape = rowShape.split(',').map(Number);
shape[0] = Number(rows);
const data = Float32Array.from(
  { length: shape.reduce((a, b) => a * b, 1) },
  (_, index) => ((index * 37) % 200) / 100 - 1,
);
const { name, datatype } = session.inputs[0]!;
const inputs: Tensor[] = [{ name, datatype, shape, data }];

const times: number[] = [];
function loop(forMs: number): void {
  times.length = 0;
  const endAt = performance.now() + forMs;
  for (let at = performance.now(); at < endAt; ) {
    session.run(inputs);
    const now = performance.now();
    times.push(now - at);
    at = now;
  }
}

loop(300);
const { user, system } = process.cpuUsage();
const startedAt = performance.now();
loop(Number(seconds) * 1000);
const us = (performance.now() - startedAt) * 1000;
const after = process.cpuUsage();
const sorted = Float64Array.from(times).sort();
const cpuUs = after.user + after.system - user - system;
const figures = [
  sorted.length,
  us,
  quantile(sorted, 0.5) * 1000,
  quantile(sorted, 0.99) * 1000,
  cpuUs,
  process.memoryUsage.rss(),
];
console.log(`RESULT ${figures.map(Math.round).join(' ')}`);
