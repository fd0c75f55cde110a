/** How requests of a stand-in share a batch: eight rows at most, no wait, nothing said of priorities. */
import type { BatchPolicy } from '../src/core/model.js';

export function batchPolicy(change: Partial<BatchPolicy> = {}): BatchPolicy {
  return {
    rowsMax: 8,
    isContract: false,
    preferredRows: [],
    delayUs: 0,
    queue: { sizeMax: 1000, timeoutMs: 0, timeoutAction: 'REJECT', allowTimeoutOverride: true },
    priorityLevels: 0,
    defaultPriority: 0,
    levels: {},
    ...change,
  };
}
