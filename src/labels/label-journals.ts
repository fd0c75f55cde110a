/**
 * The files that labels are written to: a journal for each day of predictions, a few of them open at a time.
 *
 *   <directory>/<day>/<name>-<journal>-<file>.rows
 *
 * Must not know what a label is.
 */
import { join } from 'node:path';
import { Journal } from './journal.js';

export interface LabelJournalsOptions {
  readonly directory: string;
  /** Of this life of the process: no other file begins like this. */
  readonly name: string;
}

const journalsMax = 8;

export class LabelJournals {
  readonly #options: LabelJournalsOptions;
  /** By day; the first to be opened is the first to be closed. */
  readonly #journals = new Map<string, Journal>();
  /** Journals so far. */
  #opened = 0;

  constructor(options: LabelJournalsOptions) {
    this.#options = options;
  }

  /** Resolves when they are on the disk. One call at a time. @throws what the file system says: then none of them counts */
  async append(day: string, payloads: readonly Uint8Array[]): Promise<void> {
    await this.#journalOf(day).append(payloads);
  }

  #journalOf(day: string): Journal {
    let journal = this.#journals.get(day);
    if (journal === undefined) {
      const [oldest] = this.#journals.keys();
      if (this.#journals.size >= journalsMax) this.#close(oldest!);
      const { directory, name } = this.#options;
      // A journal of the day that was closed before had other numbers.
      const file = `${name}-${++this.#opened}`;
      journal = new Journal((number) => join(directory, day, `${file}-${number}.rows`));
      this.#journals.set(day, journal);
    }
    return journal;
  }

  #close(day: string): void {
    void this.#journals.get(day)?.close();
    this.#journals.delete(day);
  }

  async close(): Promise<void> {
    for (const journal of this.#journals.values()) await journal.close();
  }
}
