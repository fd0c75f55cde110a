/**
 * The loop of both floors of the runtime: one thread that asks for the next run when it has the last one's answer.
 *
 * Must not know what runs.
 */
import { quantile } from '../suite/statistics.js';

const warmUpMs = 300;

/** Values in [−1, 1), so that nothing overflows, the same in each run. */
export function rowsOf(shape: readonly number[]): Float32Array {
  const length = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length }, (_, index) => ((index * 37) % 200) / 100 - 1);
}

/** Warms up, runs for so long and prints one line: `RESULT <runs> <microseconds> <p50 µs> <p99 µs> <cpu µs> <rss bytes>`. */
export async function printLoop(seconds: number, run: () => unknown): Promise<void> {
  const times: number[] = [];
  const loop = async (forMs: number) => {
    times.length = 0;
    const endAt = performance.now() + forMs;
    for (let at = performance.now(); at < endAt; ) {
      const answer = run();
      if (answer instanceof Promise) await answer;
      const now = performance.now();
      times.push(now - at);
      at = now;
    }
  };
  await loop(warmUpMs);
  const { user, system } = process.cpuUsage();
  const startedAt = performance.now();
  await loop(seconds * 1000);
  const us = (performance.now() - startedAt) * 1000;
  const after = process.cpuUsage();
  const sorted = Float64Array.from(times).sort();
  const p50Us = quantile(sorted, 0.5) * 1000;
  const p99Us = quantile(sorted, 0.99) * 1000;
  const cpuUs = after.user + after.system - user - system;
  const figures = [sorted.length, us, p50Us, p99Us, cpuUs, process.memoryUsage.rss()];
  console.log(`RESULT ${figures.map(Math.round).join(' ')}`);
}
