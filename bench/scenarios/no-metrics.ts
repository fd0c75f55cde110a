/**
 * Stands in for `src/observe/metrics` in a gateway that counts nothing, to which one that counts is compared.
 *
 * Must not know who compares them.
 */
import type { Metrics } from '../../src/observe/metrics.js';

export function createMetrics(): Metrics {
  return { observe: () => {}, snapshot: ({ families }) => ({ families: [...families], statistics: [] }) };
}
