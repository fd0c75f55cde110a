/** A source in memory for the tests of the store, and a store to put its versions in. Its faults are set by the file. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GatewayError } from '../src/core/errors.js';
import { type Artifact, type ArtifactFile, type FileStream, noFacts, type Source } from '../src/registry/source.js';
import { removeTree } from '../src/registry/store/disk.js';
import { Store, type StoreOptions, storeDefaults } from '../src/registry/store/store.js';

export const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex');

export interface FakeFile {
  readonly content: string | Uint8Array;
  readonly etag?: string;
  /** What the source states; `right` is the truth. */
  readonly bytes?: number | 'right';
  readonly sha256?: string;
  readonly archive?: 'tar' | 'tar+gzip';
  /** Where each stream breaks, the first first; those after it are whole. */
  readonly breaks?: readonly number[];
  /** A break is an end that looks like any other. */
  readonly endsQuietly?: boolean;
  /** Whatever is asked for, it starts over. */
  readonly startsOver?: boolean;
  /** Told at every chunk; a stream waits for it. */
  readonly onChunk?: (from: number) => void | Promise<void>;
}

export interface FakeSource extends Source {
  /** Every `open`: `path@offset`. */
  readonly opened: readonly string[];
}

export type FakeFiles = Readonly<Record<string, FakeFile | string>>;

const fileOf = (file: FakeFile | string): FakeFile => (typeof file === 'string' ? { content: file } : file);
const chunkBytes = 64 * 1024;

export function fakeSource(files: FakeFiles, changes: Partial<Pick<Source, 'name' | 'type'>> = {}): FakeSource {
  const opened: string[] = [];
  const timesOpened = new Map<string, number>();
  return {
    name: 'fake',
    type: 'http',
    ...changes,
    opened,
    list: async () => undefined,
    resolve: () => Promise.reject(new GatewayError('NOT_FOUND', 'not asked for here')),
    close: async () => {},
    async open(file, from, signal): Promise<FileStream> {
      const fake = fileOf(files[file.path]!);
      const bytes = Buffer.from(fake.content);
      const isSame = from.etag !== undefined && from.etag === fake.etag && fake.startsOver !== true;
      const offset = isSame ? from.offset : 0;
      const times = timesOpened.get(file.path) ?? 0;
      timesOpened.set(file.path, times + 1);
      opened.push(`${file.path}@${from.offset}`);
      const end = fake.breaks?.[times];
      async function* chunks(): AsyncGenerator<Uint8Array> {
        for (let at = offset; at < (end ?? bytes.length); at += chunkBytes) {
          await fake.onChunk?.(at);
          signal.throwIfAborted();
          yield bytes.subarray(at, Math.min(at + chunkBytes, end ?? bytes.length));
        }
        if (end !== undefined && fake.endsQuietly !== true)
          throw Object.assign(new Error('reset'), { code: 'ECONNRESET' });
      }
      return { chunks: chunks(), offset, bytes: fake.bytes === 'right' ? bytes.length : undefined, etag: fake.etag };
    },
  };
}

export function artifactOf(files: FakeFiles, changes: Partial<Artifact> = {}): Artifact {
  const all = Object.entries(files).map(([path, file]): ArtifactFile => {
    const { content, bytes, sha256: stated, archive } = fileOf(file);
    const length = Buffer.byteLength(content as string);
    return {
      path,
      bytes: bytes === 'right' ? length : bytes,
      sha256: stated === 'right' ? sha256(content) : stated,
      ...(archive === undefined ? {} : { archive }),
      locator: undefined,
    };
  });
  return {
    model: 'fraud',
    version: '7',
    revision: 'r1',
    files: all.filter(({ path }) => !path.startsWith('signatures/')),
    signatures: all.filter(({ path }) => path.startsWith('signatures/')),
    config: undefined,
    facts: noFacts,
    ...changes,
  };
}

/** Every file with its size and digest stated by the source. */
export const stated = (files: Readonly<Record<string, string>>): FakeFiles =>
  Object.fromEntries(
    Object.entries(files).map(([path, content]) => [path, { content, bytes: 'right', sha256: 'right' } as const]),
  );

export function freshPath(context: { after(work: () => Promise<void>): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-store-'));
  context.after(async () => {
    await removeTree(path);
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}

export function storeOptions(path: string, changes: Partial<StoreOptions> = {}): StoreOptions {
  return {
    ...storeDefaults,
    path,
    spareBytesMin: 0,
    retry: { triesMax: 3, sleep: async () => {}, random: () => 0 },
    now: Date.now,
    report: (message) => {
      throw new Error(`unexpected report: ${message}`);
    },
    ...changes,
  };
}

/** An open store in a fresh directory, closed with the test. */
export async function openStore(
  context: { after(work: () => Promise<void>): void },
  changes: Partial<StoreOptions> = {},
): Promise<Store> {
  const store = await Store.open(storeOptions(changes.path ?? freshPath(context), changes));
  context.after(() => store.close().catch(() => {}));
  return store;
}
