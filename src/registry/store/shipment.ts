/**
 * The files of one version on their way: what is a file of it, what an archive, what a signature, and how each is brought.
 *
 * The list of files comes first because it is small and says what the rest must be.
 *
 * Must not know what becomes of the version.
 */
import { createReadStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import { filesMax, isSignaturePath } from '../file-path.js';
import { checkFileSet, type FileList, listBytesMax, listNameOf, mismatch, parseList } from '../listed-files.js';
import { Refusal } from '../refusal.js';
import type { Artifact, ArtifactFile, Source } from '../source.js';
import { onDisk } from './disk.js';
import { download, type Retry } from './download.js';
import type { Incoming } from './incoming.js';
import { checkFilePaths } from './paths.js';
import type { PullHooks, SignatureFile } from './pull-hooks.js';
import { bytesIn, type StoredFile } from './record.js';
import { allOrFirstError, type Slots } from './slots.js';
import { Tally } from './tally.js';

export interface PullLimits {
  readonly fileBytesMax: number;
  readonly versionBytesMax: number;
}

export interface PullJob {
  readonly source: Source;
  readonly artifact: Artifact;
  readonly hooks: PullHooks;
  readonly incoming: Incoming;
  readonly limits: PullLimits;
  readonly retry: Retry;
  /** How many files of this source come at once. */
  readonly files: Slots;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

const signatureBytesMax = 16 * 1024 * 1024;
const archiveRatioMax = 100;
const archiveMetadataBytesMax = 1024 * 1024;

export class Shipment {
  readonly #job: PullJob;
  readonly #subject: string;
  readonly #tally: Tally;
  readonly #plain: readonly ArtifactFile[];
  readonly #archives: readonly ArtifactFile[];
  readonly #signatures: readonly ArtifactFile[];
  /** The list, once it is here. */
  #first: StoredFile | undefined;

  constructor(job: PullJob, subject: string) {
    const { artifact, limits, hooks, now } = job;
    this.#job = job;
    this.#subject = subject;
    this.#tally = new Tally({ bytesMax: limits.versionBytesMax, subject, now, tell: hooks.onProgress });
    this.#archives = artifact.files.filter(({ archive }) => archive !== undefined);
    this.#plain = artifact.files.filter(({ path, archive }) => archive === undefined && !isSignaturePath(path));
    const signed = artifact.files.filter(({ path, archive }) => archive === undefined && isSignaturePath(path));
    this.#signatures = [...artifact.signatures, ...signed];
    const sizes = [...artifact.files, ...artifact.signatures].map(({ bytes }) => bytes);
    this.#tally.totalBytes = sizes.includes(undefined) ? undefined : sizes.reduce<number>((sum, n) => sum + n!, 0);
  }

  /** Brings the list of files, if it lies in the open; one in an archive is found when that is unpacked. */
  async list(): Promise<FileList | undefined> {
    const name = listNameOf(this.#plain.map(({ path }) => path));
    if (name === undefined) return undefined;
    const file = this.#plain.find(({ path }) => path === name)!;
    this.#first = await this.#bring(file, undefined, listBytesMax, this.#job.signal);
    const list = parseList(name, await readFile(this.#job.incoming.part(name), 'utf8'));
    if (this.#archives.length === 0)
      checkFileSet(
        list,
        this.#plain.map(({ path }) => path),
        this.#subject,
      );
    return list;
  }

  /** Brings everything else. @returns the files that lie in the version as they are */
  async files(list: FileList | undefined): Promise<StoredFile[]> {
    const { limits } = this.#job;
    const rest = this.#plain.filter(({ path }) => path !== list?.name);
    const work = (file: ArtifactFile, bytesMax: number) => (signal: AbortSignal) =>
      this.#bring(file, list, bytesMax, signal);
    const files = await allOrFirstError(this.#job.signal, [
      ...rest.map((file) => work(file, limits.fileBytesMax)),
      ...this.#archives.map((file) => work(file, limits.fileBytesMax)),
      ...this.#signatures.map((file) => work(file, signatureBytesMax)),
    ]);
    this.#tally.tell();
    const plain = files.slice(0, rest.length);
    return this.#first === undefined ? plain : [this.#first, ...plain];
  }

  async #bring(
    file: ArtifactFile,
    list: FileList | undefined,
    bytesMax: number,
    signal: AbortSignal,
  ): Promise<StoredFile> {
    const { source, incoming, retry, files } = this.#job;
    const { path, bytes, sha256 } = file;
    const listed = file.archive === undefined ? list?.files.get(path) : undefined;
    if (sha256 !== undefined && listed !== undefined && listed.sha256 !== sha256) {
      throw mismatch(
        this.#subject,
        path,
        `sha256 ${sha256}, as the source states`,
        `${listed.sha256} in ${list!.name}`,
      );
    }
    const wanted = {
      path,
      subject: this.#subject,
      expected: { bytes: bytes ?? listed?.bytes, sha256: sha256 ?? listed?.sha256 },
      bytesMax,
      part: incoming.part(path),
      open: source.open.bind(source, file),
    };
    return files.run(() => download(wanted, this.#tally, retry, signal));
  }

  async unpack(): Promise<StoredFile[]> {
    const { incoming, limits, hooks } = this.#job;
    const unpacked: StoredFile[] = [];
    let bytesLeft = limits.versionBytesMax - this.#tally.doneBytes;
    for (const { path, archive } of this.#archives) {
      if (hooks.unpack === undefined) {
        throw new GatewayError('UNIMPLEMENTED', `${this.#subject}: '${path}' is an archive, and nothing unpacks it`);
      }
      const from = createReadStream(incoming.part(path), { highWaterMark: 1024 * 1024 });
      const files = await onDisk(this.#subject, () =>
        hooks.unpack!(from, archive!, incoming.tree, {
          bytesMax: Math.min(limits.versionBytesMax, bytesLeft),
          entriesMax: filesMax,
          ratioMax: archiveRatioMax,
          metadataBytesMax: archiveMetadataBytesMax,
        }),
      );
      bytesLeft -= bytesIn(files);
      for (const file of files) unpacked.push(file);
      await rm(incoming.part(path));
    }
    // Once more over all of them together: a name in an archive may be that of a file beside it in other letters.
    if (unpacked.length > 0)
      checkFilePaths(
        [...this.#plain, ...unpacked].map(({ path }) => path),
        this.#subject,
      );
    return unpacked;
  }

  /** Signatures are no part of a version, wherever they came from: read, and taken out of it. */
  async apart(all: readonly StoredFile[]): Promise<{ files: StoredFile[]; signatures: SignatureFile[] }> {
    const { incoming } = this.#job;
    const signatures: SignatureFile[] = [];
    const read = async (path: string, at: string): Promise<void> => {
      signatures.push({ path, content: await readFile(at) });
      await rm(at);
    };
    for (const { path } of this.#signatures) await read(path, incoming.part(path));
    const files: StoredFile[] = [];
    for (const file of all) {
      if (!isSignaturePath(file.path)) files.push(file);
      else if (file.bytes > signatureBytesMax) throw tooLargeSignature(this.#subject, file);
      else await read(file.path, join(incoming.tree, file.path));
    }
    return { files, signatures };
  }
}

function tooLargeSignature(subject: string, { path, bytes }: StoredFile): Refusal {
  return new Refusal(
    'signature',
    `${subject}: signature '${path}' has ${bytes} bytes, at most ${signatureBytesMax} are read`,
  );
}
