/**
 * PART OF THE ROOT: sources that have not answered for a while, each said once for each time that it is down.
 *
 * Must not know who is told.
 */
import type { SourceState } from '../core/listing.js';

export interface StaleSourcesOptions {
  readonly states: () => readonly SourceState[];
  readonly stale: (source: SourceState) => void;
}

const everyMs = 30_000;
/** One look may fall into a restart; two in a row do not. */
const looksMin = 2;

export class StaleSources {
  readonly #options: StaleSourcesOptions;
  readonly #downFor = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: StaleSourcesOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.look(), everyMs).unref();
  }

  look(): void {
    for (const source of this.#options.states()) {
      const looks = source.isUp ? 0 : (this.#downFor.get(source.name) ?? 0) + 1;
      this.#downFor.set(source.name, looks);
      if (looks === looksMin) this.#options.stale(source);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
