/**
 * One file on its way here: its bytes so far, and their hash.
 *
 *   <part>          the bytes          <part>.json     what a later process needs in order to go on with them
 *
 * Bytes that an earlier process left are hashed again before anything is added. Where no digest is known that will judge
 * them in the end, they count only within the same boot: after a loss of power a file may have the right length and the
 * wrong bytes.
 *
 * Must not know where bytes come from.
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, ftruncateSync, read, write } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { absent, createFile, reopenFile } from './disk.js';
import { bootId } from './lock.js';
import type { StoredFile } from './record.js';

const noteSchema = z.object({
  etag: z.string().min(1).max(1024),
  boot: z.string(),
  /** Of the whole file, once it is whole. */
  sha256: z.string().optional(),
});

type Note = z.infer<typeof noteSchema>;

/** A file below this is fetched again sooner than noted. */
const notedBytesMin = 1024 * 1024;
const readBytes = 1024 * 1024;

const readInto = promisify(read);
const writeFrom = promisify(write);

export class Part {
  readonly #path: string;
  readonly #descriptor: number;
  #hash: Hash = createHash('sha256');
  #bytes = 0;
  #note: Note | undefined;
  /** Some of the bytes are of an earlier process. */
  isInherited = false;

  private constructor(path: string, descriptor: number) {
    this.#path = path;
    this.#descriptor = descriptor;
  }

  /** @param isJudged its digest is known and will be compared */
  static async open(path: string, isJudged: boolean): Promise<Part> {
    const fresh = newFile(path);
    if (fresh !== undefined) return new Part(path, fresh);
    const left = await Part.#left(path, isJudged);
    if (left !== undefined) return left;
    await rm(path, { recursive: true, force: true });
    await rm(noteOf(path), { recursive: true, force: true });
    return new Part(path, createFile(path));
  }

  /** What an earlier process left, if it counts. */
  static async #left(path: string, isJudged: boolean): Promise<Part | undefined> {
    const descriptor = reopenFile(path);
    if (descriptor === undefined) return undefined;
    const note = await readNote(path);
    if (isJudged || note?.sha256 !== undefined || note?.boot === (await bootId())) {
      const part = new Part(path, descriptor);
      part.#note = note;
      await part.#inherit().catch((error) => {
        part.close();
        throw error;
      });
      // What had been finished, and noted, must still be that.
      if (isJudged || note?.sha256 === undefined || note.sha256 === part.sha256) return part;
    }
    closeSync(descriptor);
    return undefined;
  }

  async #inherit(): Promise<void> {
    const buffer = Buffer.allocUnsafe(readBytes);
    for (;;) {
      const { bytesRead } = await readInto(this.#descriptor, buffer, 0, buffer.length, this.#bytes);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#bytes += bytesRead;
    }
    this.isInherited = this.#bytes > 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get etag(): string | undefined {
    return this.#note?.etag;
  }

  /** It was whole when an earlier process left it. */
  get isWhole(): boolean {
    return this.#note?.sha256 !== undefined;
  }

  /** Of the bytes so far. */
  get sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  async append(chunk: Uint8Array): Promise<void> {
    let at = 0;
    while (at < chunk.length) {
      const { bytesWritten } = await writeFrom(this.#descriptor, chunk, at, chunk.length - at, this.#bytes + at);
      at += bytesWritten;
    }
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
  }

  /** Forgets the bytes so far. */
  async restart(): Promise<void> {
    ftruncateSync(this.#descriptor, 0);
    this.#hash = createHash('sha256');
    this.#bytes = 0;
    this.isInherited = false;
    this.#note = undefined;
    await rm(noteOf(this.#path), { force: true });
  }

  /** @param wholeBytes how large it will be, as far as anybody says */
  async tag(etag: string | undefined, wholeBytes: number | undefined): Promise<void> {
    if (etag === this.#note?.etag) return;
    if (etag === undefined || etag.length > 1024) this.#note = undefined;
    else {
      this.#note = { etag, boot: await bootId() };
      if ((wholeBytes ?? notedBytesMin) >= notedBytesMin) await writeNote(this.#path, this.#note);
    }
  }

  /** It is whole, and nobody but us will know whether it still is. */
  async finish(path: string): Promise<StoredFile> {
    const { sha256 } = this;
    if (this.#note !== undefined && this.#bytes >= notedBytesMin && this.#note.sha256 === undefined) {
      this.#note = { ...this.#note, sha256 };
      await writeNote(this.#path, this.#note);
    }
    return { path, bytes: this.#bytes, sha256 };
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** Undefined where there is something already. */
function newFile(path: string): number | undefined {
  try {
    return createFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return undefined;
  }
}

function noteOf(path: string): string {
  return `${path}.json`;
}

async function writeNote(path: string, note: Note): Promise<void> {
  const next = `${noteOf(path)}.new`;
  await rm(next, { force: true });
  await writeFile(next, JSON.stringify(note), { flag: 'wx', mode: 0o600 });
  await rename(next, noteOf(path));
}

async function readNote(path: string): Promise<Note | undefined> {
  try {
    return noteSchema.safeParse(JSON.parse((await readFile(noteOf(path), 'utf8').catch(absent)) ?? 'null')).data;
  } catch {
    return undefined;
  }
}
