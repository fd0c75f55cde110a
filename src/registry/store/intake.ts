/**
 * How a version gets from a source to the shelf: looked for there first, then pulled, judged by its digest, and put.
 *
 * One version is pulled once at a time; whoever asks meanwhile waits and finds it there. A source has its own slots, so a
 * slow one takes none of another's. A pull that failed for a passing reason leaves what it has to the next try.
 *
 * Must not know what is served, or when anything is removed.
 */
import { createHash } from 'node:crypto';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { GatewayError } from '../../core/errors.js';
import { Refusal } from '../refusal.js';
import type { Artifact, Source } from '../source.js';
import { diskFault, removeTree, spaceOf } from './disk.js';
import type { FirstDigests } from './documents.js';
import type { Retry } from './download.js';
import { hasParts, Incoming } from './incoming.js';
import { checkOffer, incomingName, keyOf, type Offer, type StorePaths } from './paths.js';
import { type Pulled, pull, statedDigest, subjectOf } from './pull.js';
import type { PullHooks } from './pull-hooks.js';
import { bytesIn, type StoreRecord } from './record.js';
import type { Shelf, StoredVersion } from './shelf.js';
import { Slots } from './slots.js';

export interface IntakeOptions {
  readonly fileBytesMax: number;
  readonly versionBytesMax: number;
  readonly storeBytesMax: number;
  /** Left free on the disk beside what is pulled: this, or a twentieth of the disk if that is more. */
  readonly spareBytesMin: number;
  /** How long what is left of a pull can be gone on with. */
  readonly resumeMs: number;
  readonly retry: Retry;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What a pull works with, once it is its turn. */
interface Turn {
  readonly source: Source;
  readonly artifact: Artifact;
  readonly offer: Offer;
  readonly hooks: PullHooks;
  /** `model 'fraud' version 7`. */
  readonly subject: string;
}

interface SourceSlots {
  readonly versions: Slots;
  readonly files: Slots;
}

/** A share of the disk that stays free, whatever its size. */
const spareShare = 0.05;
const filesAtOnce = 4;
const versionsAtOnce = 2;
/** A pull from a local folder waits for syncs more than for bytes, and syncs under way together cost about as much as one. */
const localAtOnce = 8;

export class Intake {
  readonly #options: IntakeOptions;
  readonly #paths: StorePaths;
  readonly #shelf: Shelf;
  readonly #digests: FirstDigests;
  readonly #slots = new Map<string, SourceSlots>();
  /** The last pull of each version. */
  readonly #last = new Map<string, Promise<void>>();
  /** Directories of incoming/ that a pull has, or that are being removed. */
  readonly #busy = new Set<string>();
  readonly #closing = new AbortController();
  /** Announced by pulls under way: room on the disk that is spoken for. */
  #comingBytes = 0;

  constructor(options: IntakeOptions, paths: StorePaths, shelf: Shelf, digests: FirstDigests) {
    this.#options = options;
    this.#paths = paths;
    this.#shelf = shelf;
    this.#digests = digests;
  }

  pull(source: Source, artifact: Artifact, hooks: PullHooks): Promise<StoredVersion> {
    const offer: Offer = { source: source.name, model: artifact.model, version: artifact.version };
    checkOffer(offer);
    const turn = { source, artifact, offer, hooks, subject: subjectOf(artifact) };
    const key = keyOf(offer);
    const before = this.#last.get(key) ?? Promise.resolve();
    const pulled = before.then(() => this.#slotsOf(source).versions.run(() => this.#turn(turn)));
    const settled = pulled.then(nothing, nothing);
    this.#last.set(key, settled);
    void settled.then(() => {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    });
    return pulled;
  }

  /** Removes what is left of pulls that nobody will go on with. */
  async clearLeft(): Promise<void> {
    for (const entry of await readdir(this.#paths.incoming, { withFileTypes: true })) {
      const directory = join(this.#paths.incoming, entry.name);
      if (directory === this.#paths.trash || !entry.isDirectory() || this.#busy.has(directory)) continue;
      this.#busy.add(directory);
      try {
        const oldest = this.#options.now() - this.#options.resumeMs;
        if (!(await hasParts(directory)) || (await lstat(directory)).mtimeMs < oldest) await removeTree(directory);
      } finally {
        this.#busy.delete(directory);
      }
    }
  }

  /** Ends pulls under way; what they have stays for the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#last.values());
  }

  #slotsOf({ name, type }: Source): SourceSlots {
    let slots = this.#slots.get(name);
    if (slots === undefined) {
      const [versions, files] = type === 'directory' ? [localAtOnce, localAtOnce] : [versionsAtOnce, filesAtOnce];
      slots = { versions: new Slots(versions), files: new Slots(files) };
      this.#slots.set(name, slots);
    }
    return slots;
  }

  async #turn(turn: Turn): Promise<StoredVersion> {
    if (this.#closing.signal.aborted) throw new GatewayError('UNAVAILABLE', 'the store is closed');
    const { artifact, offer, subject, hooks } = turn;
    const known = this.#known(artifact, offer);
    const refreshed = known && (await this.#refresh(known, artifact, hooks));
    if (refreshed !== undefined) return refreshed;
    const bytes = artifact.files.reduce((sum, file) => sum + (file.bytes ?? 0), 0);
    const directory = join(this.#paths.incoming, incomingName(offer, artifact.revision));
    // Pulls of one version wait for each other, so this is its removal, which takes no longer than a moment.
    if (this.#busy.has(directory))
      throw new GatewayError('UNAVAILABLE', `${subject}: what was left of it is being removed`);
    this.#comingBytes += bytes;
    this.#busy.add(directory);
    try {
      this.#checkRoom(bytes, subject);
      const incoming = Incoming.open(directory);
      return await this.#bring(turn, incoming).catch(async (error) => {
        if (!isPassing(error)) await incoming.remove();
        throw error;
      });
    } catch (error) {
      throw diskFault(error, subject);
    } finally {
      this.#comingBytes -= bytes;
      this.#busy.delete(directory);
    }
  }

  /** The same revision, or the same bytes under another one; then there must be no signatures that may be new. */
  #known(artifact: Artifact, offer: Offer): StoredVersion | undefined {
    const same = this.#shelf.find({ ...offer, revision: artifact.revision });
    if (same !== undefined) return hasSignatures(same.record, artifact) ? same : undefined;
    if (artifact.signatures.length > 0) return undefined;
    const artifactSha256 = statedDigest(artifact);
    return artifactSha256 === undefined ? undefined : this.#shelf.find({ ...offer, artifactSha256 });
  }

  /**
   * What is here already: the source may say something else of it now, and the policy of signatures may be another.
   * @returns undefined when it holds files that the signatures leave out: it is to be brought again without them
   */
  async #refresh(stored: StoredVersion, artifact: Artifact, hooks: PullHooks): Promise<StoredVersion | undefined> {
    const { record } = stored;
    const signatures = record.signatures.map(({ path, base64 }) => ({ path, content: Buffer.from(base64, 'base64') }));
    const { manifests = [] } = artifact;
    const verified = await hooks.verify?.(stored.directory, record.files, signatures, manifests);
    if (verified !== undefined && record.files.some(({ path }) => verified.exempt.includes(path))) return undefined;
    const { exempt: _, ...verdict } = verified ?? { exempt: [], ...record.verdict };
    const { revision, config, facts } = artifact;
    return this.#redescribe(stored, { ...record, revision, config, facts, verdict });
  }

  /** The last that was pulled of a version is the one that counts, so going back to bytes of before is told by the record, too. */
  #redescribe(stored: StoredVersion, record: StoreRecord): StoredVersion | Promise<StoredVersion> {
    const { source, model, version } = stored;
    const isLast = this.#shelf.find({ source, model, version }) === stored;
    const same = asRead({ ...record, pulledAt: stored.record.pulledAt });
    if (isLast && isDeepStrictEqual(same, stored.record)) return stored;
    return this.#shelf.replaceRecord(stored, { ...same, pulledAt: this.#options.now() });
  }

  /** @param bytes of this pull, announced already. @throws RESOURCE_EXHAUSTED with both numbers */
  #checkRoom(bytes: number, subject: string): void {
    const othersBytes = this.#comingBytes - bytes;
    this.#checkShare(bytes, this.#shelf.bytes + othersBytes, subject);
    const { freeBytes, diskBytes } = spaceOf(this.#paths.root);
    const spareBytes = Math.max(this.#options.spareBytesMin, Math.ceil(diskBytes * spareShare));
    if (bytes + othersBytes + spareBytes > freeBytes) {
      throw noRoom(subject, bytes, `the disk has ${freeBytes} free, of which ${spareBytes} stay free`);
    }
  }

  /** Sizes that nobody had stated are known only in the end, so this is looked at twice. */
  #checkShare(bytes: number, heldBytes: number, subject: string): void {
    const { storeBytesMax } = this.#options;
    if (heldBytes + bytes <= storeBytesMax) return;
    throw noRoom(subject, bytes, `the store has ${heldBytes} of at most ${storeBytesMax} bytes`);
  }

  async #bring(turn: Turn, incoming: Incoming): Promise<StoredVersion> {
    const { source, artifact, offer, hooks, subject } = turn;
    const { signal: closing } = this.#closing;
    const pulled = await pull({
      source,
      artifact,
      hooks,
      incoming,
      limits: this.#options,
      retry: this.#options.retry,
      files: this.#slotsOf(source).files,
      now: this.#options.now,
      signal: hooks.signal === undefined ? closing : AbortSignal.any([closing, hooks.signal]),
    });
    this.#checkPin(turn, pulled);
    const record = recordOf(turn, pulled, this.#options.now());
    const present = this.#shelf.at(offer, pulled.artifactSha256);
    if (present !== undefined) {
      if (present.artifactSha256 !== pulled.artifactSha256) throw sameName(subject, present, pulled);
      const stored = await this.#redescribe(present, record);
      await incoming.remove();
      return stored;
    }
    this.#checkShare(bytesIn(pulled.files), this.#shelf.bytes, subject);
    const sealed = incoming.seal(pulled.files.map(({ path }) => path));
    await this.#shelf.finish(incoming.tree, record, sealed, hooks);
    const stored = await this.#shelf.add(incoming.tree, record, hooks);
    await incoming.remove();
    await hooks.onStep?.('done');
    return stored;
  }

  /**
   * Without a digest that the source states, the first download is what the version is from then on. An author who works in
   * a local folder may replace files.
   */
  #checkPin({ source, offer, subject }: Turn, { artifactSha256, isStated }: Pulled): void {
    if (isStated || source.type === 'directory') return;
    const seen = this.#shelf.find(offer)?.artifactSha256 ?? this.#digests.of(offer);
    if (seen === undefined || seen === artifactSha256 || this.#shelf.at(offer, artifactSha256) !== undefined) return;
    throw new Refusal(
      'pinned_digest',
      `${subject}: source '${offer.source}' states no digest, and the version was ${seen} when it was first pulled, now it is ${artifactSha256}`,
    );
  }
}

function recordOf({ source, artifact, offer }: Turn, pulled: Pulled, pulledAt: number): StoreRecord {
  const { artifactSha256, verdict } = pulled;
  const { revision, config, facts } = artifact;
  return asRead({
    schema: 1,
    ...offer,
    sourceType: source.type,
    revision,
    artifactSha256,
    files: pulled.files.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 })),
    config,
    facts,
    verdict,
    signatures: pulled.signatures.map(({ path, content }) => ({
      path,
      base64: Buffer.from(content).toString('base64'),
    })),
    pulledAt,
  });
}

/** Whether all that a source says of its signatures is known: some are attached long after what they sign. */
function hasSignatures({ signatures }: StoreRecord, artifact: Artifact): boolean {
  const held = new Set(signatures.map(({ base64 }) => createHash('sha256').update(base64, 'base64').digest('hex')));
  return artifact.signatures.every(({ sha256 }) => sha256 === undefined || held.has(sha256));
}

/** As it is once it has been written and read, so that a record is the same to this process and to the next. */
function asRead(record: StoreRecord): StoreRecord {
  return JSON.parse(JSON.stringify(record));
}

/** The next try may go on where this one ended. */
function isPassing(error: unknown): boolean {
  return error instanceof GatewayError && ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED'].includes(error.code);
}

function noRoom(subject: string, bytes: number, reason: string): GatewayError {
  return new GatewayError(
    'RESOURCE_EXHAUSTED',
    `no room in the store for ${subject}: it has ${bytes} bytes, ${reason}`,
  );
}

function sameName(subject: string, present: StoredVersion, { artifactSha256 }: Pulled): Refusal {
  return new Refusal(
    'digest_mismatch',
    `${subject}: its digest ${artifactSha256} begins as that of another one in the store, ${present.artifactSha256}`,
  );
}

function nothing(): void {}
