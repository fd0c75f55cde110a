/**
 * A sum of durations that stays exact.
 *
 * Must not know what took so long.
 */
import type { DurationSum } from '../core/statistics.js';

/** Nanoseconds from here on are carried into the exact part: far below 2^53, so no addition rounds. */
const carryNs = 2 ** 50;

export class DurationTotal {
  #count = 0;
  #ns = 0;
  #carriedNs = 0n;

  add(durationMs: number): void {
    this.#count++;
    this.#ns += Math.round(durationMs * 1e6);
    if (this.#ns >= carryNs) {
      this.#carriedNs += BigInt(this.#ns);
      this.#ns = 0;
    }
  }

  sum(): DurationSum {
    return { count: this.#count, ns: this.#carriedNs + BigInt(this.#ns) };
  }
}
