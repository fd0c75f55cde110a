/**
 * How long it takes until a version, or the whole process, has answered the last request it had.
 *
 * Must not know what is drained for what.
 */
import { type Family, secondsBuckets } from '../core/series.js';
import { Tally } from '../core/tally.js';

export class Drains {
  readonly #now: () => number;
  readonly #seconds = { version: new Tally(secondsBuckets), process: new Tally(secondsBuckets) };

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns to be called when it is over */
  begin(what: 'version' | 'process'): () => void {
    const startedAt = this.#now();
    return () => this.#seconds[what].add((this.#now() - startedAt) / 1000);
  }

  family(): Family {
    return {
      name: 'sluice_drain_seconds',
      help: 'From the end of new requests to the last answer, of a version and of a process.',
      type: 'histogram',
      buckets: secondsBuckets,
      series: Object.entries(this.#seconds).map(([what, seconds]) => seconds.series({ what })),
    };
  }
}
