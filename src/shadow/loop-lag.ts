/**
 * How late the event loop has been lately: the p99 of the last two seconds, by which shadows give way.
 *
 * Must not know who gives way.
 */

const everyMs = 20;
const samples = 100;
/** The second longest of a hundred. */
const p99At = samples - 2;

/** @returns the p99 in milliseconds; the timer never keeps the process alive */
export function watchRecentLag(now: () => number): () => number {
  const lags = new Float64Array(samples);
  const sorted = new Float64Array(samples);
  let at = 0;
  let p99 = 0;
  let dueAt = now() + everyMs;
  setInterval(() => {
    const time = now();
    lags[at] = Math.max(0, time - dueAt);
    at = (at + 1) % samples;
    dueAt = time + everyMs;
    sorted.set(lags);
    p99 = sorted.sort()[p99At]!;
  }, everyMs).unref();
  return () => p99;
}
