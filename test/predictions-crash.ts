/**
 * A tap that ends its thread.
 *
 * Must not know what is tested.
 */
import type { Tap } from '../src/predictions/intake.js';

export function openTap(): Tap {
  return {
    event() {
      throw new Error('the tap is broken');
    },
  };
}
