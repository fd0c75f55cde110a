/**
 * A tap that reports every event's first input.
 *
 * Must not know what is tested.
 */
import type { Tap } from '../src/predictions/intake.js';

export function openTap(report: (value: unknown) => void): Tap {
  return {
    event({ requestId }, { model }, tensors) {
      report({ model, requestId, x: Array.from((tensors?.inputs[0]?.data ?? []) as Float32Array) });
    },
  };
}
