/**
 * PART OF THE ROOT: by how much the process grew while each version was opened, which is the nearest to its memory that can be
 * had: the runtime does not tell, and what is allocated later belongs to nobody.
 *
 *   rss ──┬── first opens ──┬── a second opens beside it ──┬──▶        what is grown between two marks is shared by those
 *                                                                      that were opening meanwhile
 *
 * The system is asked off the loop: whoever asks waits while another changes the memory of the process, 11 ms were seen.
 *
 * Must not know how a version is opened.
 */
import { readFile } from 'node:fs/promises';

interface Opening {
  bytes: number;
}

export class VersionMemory {
  readonly #opening = new Set<Opening>();
  readonly #bytes = new Map<string, number>();
  #last = 0;
  /** Marks are set one after the other. */
  #marked: Promise<void> = Promise.resolve();

  /** @param name of a version that may open when this resolves, with what is to be called when it is open, or never */
  async begin(name: string): Promise<() => Promise<void>> {
    const opening: Opening = { bytes: 0 };
    await this.#mark(() => this.#opening.add(opening));
    return () =>
      this.#mark(() => {
        this.#opening.delete(opening);
        this.#bytes.set(name, Math.max(0, Math.round(opening.bytes)));
      });
  }

  #mark(change: () => void): Promise<void> {
    this.#marked = this.#marked.then(async () => {
      const rss = await residentBytes();
      for (const opening of this.#opening) opening.bytes += (rss - this.#last) / this.#opening.size;
      this.#last = rss;
      change();
    });
    return this.#marked;
  }

  of(name: string): number {
    return this.#bytes.get(name) ?? 0;
  }

  forget(name: string): void {
    this.#bytes.delete(name);
  }
}

/** 0 where the system does not tell. */
async function residentBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kib === undefined ? 0 : Number(kib) * 1024;
}
