/**
 * How late this thread's event loop is: a timer that should fire every `everyMs` and the time by which it does not.
 *
 * Must not know what keeps the loop.
 */
import { type Family, type Series, secondsBuckets } from '../core/series.js';
import { Tally } from '../core/tally.js';

/** @returns the histogram so far; the timer never keeps the process alive */
export function watchLoop(thread: string, everyMs: number, now: () => number): () => Family {
  const lag = new Tally(secondsBuckets);
  let dueAt = now() + everyMs;
  setInterval(() => {
    const at = now();
    lag.add(Math.max(0, at - dueAt) / 1000);
    dueAt = at + everyMs;
  }, everyMs).unref();
  return () => loopLagFamily(lag.series({ thread }));
}

export function loopLagFamily(series: Series): Family {
  return {
    name: 'sluice_event_loop_lag_seconds',
    help: 'How late the event loop answers a timer.',
    type: 'histogram',
    buckets: secondsBuckets,
    series: [series],
  };
}
