/**
 * A tap that holds up its thread for two seconds at the first event.
 *
 * Must not know what is tested.
 */
import type { Tap } from '../src/predictions/intake.js';

export function openTap(report: (value: unknown) => void): Tap {
  let isFirst = true;
  return {
    event() {
      if (!isFirst) return;
      isFirst = false;
      report('stalled');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
    },
  };
}
