/**
 * A file that only grows: what was written counts when it is synced, and what a failure left behind is cut off again.
 *
 *   append(bytes) ─▶ write ─▶ sync ─▶ they count
 *                      └───────┴─ failed ─▶ cut back to what counted; if that fails too, before the next
 *
 * Must not know what is written, or where: it is given an open file and a way to look at the place of it.
 */

/** What tells one file from another, and whether somebody else has written to it. */
interface Place {
  readonly ino: number;
  readonly size: number;
}

/** The part of node's file handle that is needed. */
interface OpenFile {
  write(bytes: Uint8Array, from: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>;
  truncate(bytes: number): Promise<void>;
  sync(): Promise<void>;
  stat(): Place | Promise<Place>;
  close(): Promise<void>;
}

interface AppendedFileOptions {
  /** What is at its path now. */
  readonly place: () => Place | Promise<Place>;
  /** What of it counts. */
  readonly bytes: number;
  /** It may hold more than that. */
  readonly isTorn: boolean;
}

export class AppendedFile {
  readonly #file: OpenFile;
  readonly #place: () => Place | Promise<Place>;
  #bytes: number;
  /** It may hold more than `#bytes`. */
  #isTorn: boolean;

  constructor(file: OpenFile, { place, bytes, isTorn }: AppendedFileOptions) {
    this.#file = file;
    this.#place = place;
    this.#bytes = bytes;
    this.#isTorn = isTorn;
  }

  /** Those that count. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Nobody else has written, moved or removed it: two writers would each undo what the other has noted. */
  async isAsLeft(): Promise<boolean> {
    if (this.#isTorn) await this.cutBack();
    const ours = await this.#file.stat();
    const there = await this.#place();
    return there.ino === ours.ino && there.size === this.#bytes;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#isTorn = true;
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await this.#file.write(bytes, done, bytes.length - done, this.#bytes + done)).bytesWritten;
      }
      await this.#file.sync();
    } catch (error) {
      await this.cutBack().catch(() => {});
      throw error;
    }
    this.#isTorn = false;
    this.#bytes += bytes.length;
  }

  /** Removes what does not count. */
  async cutBack(): Promise<void> {
    await this.#file.truncate(this.#bytes);
    await this.#file.sync();
    this.#isTorn = false;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
