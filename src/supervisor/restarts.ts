/**
 * When a process that has ended is started again: at once after the first failure in a while, then after 250, 500 ms … up to
 * 30 s while it keeps failing.
 *
 * Must not know processes.
 */

const delayFirstMs = 250;
const delayMostMs = 30_000;
/** A process that lived for longer has not failed to start. */
const healthyMs = 60_000;

export class Restarts {
  readonly #random: () => number;
  /** By the number of the process: how often it has failed in a row. */
  readonly #failures = new Map<number, number>();

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The process has ended after `livedMs`. @returns how long to wait; ±20 %, so that several do not start together */
  delayMs(process: number, livedMs: number): number {
    const failures = livedMs > healthyMs ? 0 : (this.#failures.get(process) ?? 0);
    this.#failures.set(process, failures + 1);
    if (failures === 0) return 0;
    return Math.min(delayFirstMs * 2 ** (failures - 1), delayMostMs) * (0.8 + 0.4 * this.#random());
  }
}
