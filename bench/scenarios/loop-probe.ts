/**
 * Loaded into a gateway process by the scenario `loop-lag`: node's own histogram of its event loop's delays, told on SIGUSR2
 * as a line of standard error, and begun anew.
 *
 * Must not know who asks.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** How often it looks; what node measures is how much later than that it came to look. */
const everyMs = 5;

if (isMainThread) {
  const delays = monitorEventLoopDelay({ resolution: everyMs });
  delays.enable();
  const lateMs = (ns: number) => Math.max(0, ns / 1e6 - everyMs);
  process.on('SIGUSR2', () => {
    const [p50, p99] = [delays.percentile(50), delays.percentile(99)].map(lateMs);
    process.stderr.write(`${JSON.stringify({ msg: 'loop.lag', pid: process.pid, p50, p99 })}\n`);
    delays.reset();
  });
}
