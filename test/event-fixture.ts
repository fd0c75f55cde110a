/** The event of an answered request, for tests of what is made of events. */
import type { InferenceEvent } from '../src/core/events.js';

export function eventWith(change: Partial<InferenceEvent> = {}): InferenceEvent {
  return {
    kind: 'inference',
    version: { model: 'm', version: '3' },
    model: 'm',
    protocol: 'http',
    requestId: 'r-1',
    code: 'OK',
    reason: undefined,
    rows: 2,
    durationMs: 10,
    timing: { queueMs: 2, inputMs: 1, inferMs: 3, outputMs: 0.5, batchRows: 8 },
    ...change,
  };
}

/** What a route decided for it. */
export const assignment = {
  experiment: 'spring',
  phase: 1,
  variant: 'b',
  assigned: 'b',
  reason: 'weight',
  isSticky: true,
  keyHash: 7,
} as const;
