/**
 * PART OF THE ROOT: by how much the process grew while each version was opened, which is the nearest to its memory that can be
 * had: the runtime does not tell, and what is allocated later belongs to nobody.
 *
 *   rss ──┬── first opens ──┬── a second opens beside it ──┬──▶        what is grown between two marks is shared by those
 *                                                                      that were opening meanwhile
 *
 * Must not know how a version is opened.
 */

interface Opening {
  bytes: number;
}

export class VersionMemory {
  readonly #rss: () => number;
  readonly #opening = new Set<Opening>();
  readonly #bytes = new Map<string, number>();
  #last = 0;

  constructor(rss: () => number) {
    this.#rss = rss;
  }

  /** @param name of a version that opens now. @returns what is to be called when it is open, or never */
  begin(name: string): () => void {
    this.#share();
    const opening: Opening = { bytes: 0 };
    this.#opening.add(opening);
    return () => {
      this.#share();
      this.#opening.delete(opening);
      this.#bytes.set(name, Math.max(0, Math.round(opening.bytes)));
    };
  }

  #share(): void {
    const rss = this.#rss();
    for (const opening of this.#opening) opening.bytes += (rss - this.#last) / this.#opening.size;
    this.#last = rss;
  }

  of(name: string): number {
    return this.#bytes.get(name) ?? 0;
  }

  forget(name: string): void {
    this.#bytes.delete(name);
  }
}
