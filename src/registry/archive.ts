/**
 * Takes files out of a tar, which may be compressed: plain files and directories inside the target, nothing else.
 *
 *   chunks ─▶ (inflated, counted) ─▶ tar-stream ─▶ entry: judged ─▶ written, hashed
 *
 * Everything about an entry is judged before its first byte is written: kind, name, size, and what came before under the
 * same name, also in other letters. Whatever goes wrong, what was written is taken away again. Owners, modes and times are
 * not taken over. The bytes are read to their end, so that whoever gives them may judge them there.
 *
 * Must not know models, or where the bytes come from.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { extract, type Header } from 'tar-stream';
import { ArchiveTree } from './archive-tree.js';
import { type ArchiveKind, inflated } from './inflate.js';
import { Refusal } from './refusal.js';

export interface ArchiveLimits {
  /** Of all files together. */
  readonly bytesMax: number;
  /** Files and directories, those that are only part of a path included. */
  readonly entriesMax: number;
  /** Unpacked bytes for one packed byte, looked at beyond 64 MiB. */
  readonly ratioMax: number;
  /** Long names and attributes in front of one entry. */
  readonly metadataBytesMax: number;
}

export interface UnpackedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

const blockBytes = 512;
const sliceBytes = 64 * 1024;
/** Records of attributes of one entry; real ones have a handful. */
const attributesMax = 256;

type Entries = ReturnType<typeof extract>;

/**
 * Unpacks into an existing directory, where nothing that is there already is touched or followed.
 * @throws Refusal `archive` or `traversal` naming the entry; errors of `chunks` and of the disk as they are
 */
export async function unpack(
  chunks: AsyncIterable<Uint8Array>,
  kind: ArchiveKind,
  directory: string,
  limits: ArchiveLimits,
): Promise<readonly UnpackedFile[]> {
  const tree = new ArchiveTree(directory, limits.entriesMax);
  try {
    return await new Unpacking(directory, limits, tree).run(inflated(chunks, kind, limits.ratioMax));
  } catch (error) {
    await tree.remove();
    throw error;
  }
}

/** One archive under way. */
class Unpacking {
  readonly #directory: string;
  readonly #limits: ArchiveLimits;
  readonly #tree: ArchiveTree;
  readonly #files: UnpackedFile[] = [];
  #bytes = 0;
  #fault: unknown;
  /** Position in the tar up to which every byte belongs to an entry that was judged. */
  #judgedTo = 0;

  constructor(directory: string, limits: ArchiveLimits, tree: ArchiveTree) {
    this.#directory = directory;
    this.#limits = limits;
    this.#tree = tree;
  }

  async run(tar: AsyncIterable<Uint8Array>): Promise<readonly UnpackedFile[]> {
    const entries = extract();
    const closed = new Promise<void>((resolve) => entries.on('close', resolve));
    // What the parser says first is the reason; whoever reads an entry just then only hears that it ended.
    entries.on('error', (error: Error) => this.#fail(refused(`it is not a whole tar: ${error.message}`, error)));
    const fed = this.#feed(tar, entries);
    try {
      for await (const entry of entries) {
        this.#judge(entry.header, entry.offset);
        await this.#take(entry.header, entry as AsyncIterable<Uint8Array>);
      }
      await fed;
      if (this.#fault !== undefined) throw this.#fault;
    } catch (error) {
      entries.destroy(null);
      await closed;
      throw error instanceof Refusal ? error : (this.#fault ?? error);
    }
    return this.#files;
  }

  #fail(error: unknown): void {
    this.#fault ??= error;
  }

  /** Gives the bytes to the parser, no faster than it takes them; a fault of theirs ends the parser. */
  async #feed(tar: AsyncIterable<Uint8Array>, entries: Entries): Promise<void> {
    let wake = () => {};
    entries.on('drain', () => wake());
    entries.on('close', () => wake());
    let fedBytes = 0;
    try {
      for await (const chunk of tar) {
        for (let at = 0; at < chunk.length && !entries.destroying; at += sliceBytes) {
          const slice = chunk.subarray(at, at + sliceBytes);
          const drained = new Promise<void>((resolve) => {
            wake = resolve;
          });
          if (!entries.write(slice)) await drained;
          fedBytes += slice.length;
          this.#checkIdle(fedBytes);
        }
        if (entries.destroying) return;
      }
      entries.end(null);
    } catch (error) {
      this.#fail(error);
      entries.destroy(error as Error);
    }
  }

  /** Without this, attributes that no entry follows could be sent for ever. */
  #checkIdle(fedBytes: number): void {
    if (fedBytes - this.#judgedTo <= this.#limits.metadataBytesMax + 2 * sliceBytes) return;
    throw refused(`it goes on for more than ${this.#limits.metadataBytesMax} bytes without an entry`);
  }

  #judge(header: Header, offset: number): void {
    const { name, size } = header;
    const { bytesMax, metadataBytesMax } = this.#limits;
    const metadataBytes = offset - this.#judgedTo;
    if (metadataBytes > metadataBytesMax) {
      throw refused(`${quoted(name)} comes after ${metadataBytes} bytes of metadata, at most ${metadataBytesMax}`);
    }
    if (Object.keys(header.pax ?? {}).length > attributesMax) {
      throw refused(`${quoted(name)} has more than ${attributesMax} attributes`);
    }
    if (header.type !== 'file' && header.type !== 'directory') {
      throw refused(`${quoted(name)} is a ${header.type ?? 'thing of unknown kind'}, expected a file or directory`);
    }
    if (header.type === 'directory' && size !== 0) throw refused(`${quoted(name)} is a directory of ${size} bytes`);
    if (!Number.isSafeInteger(size)) throw refused(`${quoted(name)} has no readable size`);
    this.#bytes += size;
    if (this.#bytes > bytesMax) {
      throw refused(`with ${quoted(name)} it unpacks to ${this.#bytes} bytes, at most ${bytesMax}`);
    }
    this.#judgedTo = offset + blockBytes + Math.ceil(size / blockBytes) * blockBytes;
  }

  async #take({ name, type }: Header, content: AsyncIterable<Uint8Array>): Promise<void> {
    if (type === 'directory') {
      await this.#tree.directory(name);
      for await (const _ of content);
      return;
    }
    const path = await this.#tree.file(name);
    this.#files.push({ path, ...(await this.#write(path, content)) });
  }

  async #write(path: string, content: AsyncIterable<Uint8Array>): Promise<{ bytes: number; sha256: string }> {
    const file = await created(join(this.#directory, path), path);
    this.#tree.wrote(path);
    try {
      const hash = createHash('sha256');
      let bytes = 0;
      for await (const chunk of content) {
        hash.update(chunk);
        await file.writeFile(chunk);
        bytes += chunk.length;
      }
      return { bytes, sha256: hash.digest('hex') };
    } finally {
      await file.close();
    }
  }
}

async function created(place: string, path: string): Promise<FileHandle> {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  try {
    return await open(place, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw refused(`${quoted(path)} is there already`);
    throw error;
  }
}

function refused(reason: string, cause?: Error): Refusal {
  return new Refusal('archive', `archive: ${reason}`, { cause });
}

/** A name from outside, fit for a message. */
function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 200));
}
