/**
 * Appends records to files of one process and has them on the disk before it says so.
 *
 * After an error a file is left as it is, and the next records begin another one: what is half written ends a file.
 *
 * Must not know what is in a record.
 */
import { mkdirSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { framed } from './frames.js';

export class Journal {
  readonly #pathOf: (number: number) => string;
  #number = 0;
  #file: FileHandle | undefined;
  bytes = 0;

  /** @param pathOf the path of the n-th file, which nobody else writes */
  constructor(pathOf: (number: number) => string) {
    this.#pathOf = pathOf;
  }

  /** One call at a time. @throws what the file system says: then none of them counts */
  async append(payloads: readonly Uint8Array[]): Promise<void> {
    const bytes = framed(payloads);
    const file = this.#file ?? (await this.#open());
    try {
      for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
      await file.datasync();
      this.bytes += bytes.length;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #open(): Promise<FileHandle> {
    const path = this.#pathOf(++this.#number);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#file = await open(path, 'wx', 0o600);
    return this.#file;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.bytes = 0;
    await file?.close().catch(() => {});
  }
}
