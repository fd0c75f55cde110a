/**
 * Keeps up with an index: reads it when it has changed, and believes it only when its signature verifies and its serial has
 * not gone down.
 *
 *   given bytes ─▶ signature ─▶ format ─▶ serial ─▶ the index from now on
 *
 * The old, correctly signed index of an attacker has a lower serial; a frozen one expires, after which no version may be
 * pulled any more. What serves is not touched by either.
 *
 * Must not know where the bytes come from.
 */
import { GatewayError } from '../../core/errors.js';
import { Refusal } from '../refusal.js';
import type { Artifact, Listing } from '../source.js';
import { artifactOf, type IndexDocument, listIndex, parseIndex } from './index-document.js';

/** The highest serial that was accepted, kept over restarts. An operator forces an older index by setting it. */
export interface SerialMemory {
  get(): number | undefined | Promise<number | undefined>;
  set(serial: number): void | Promise<void>;
}

/**
 * Decides whether these bytes are believed, by its own policy, which also says what a missing signature means.
 * @throws Refusal `signature`
 */
export type VerifyIndex = (index: Uint8Array, signature: Uint8Array | undefined) => void | Promise<void>;

export interface IndexFetched {
  readonly bytes: Uint8Array;
  /** Any validator for the next conditional request. */
  readonly etag: string | undefined;
}

export interface IndexReaderOptions {
  /** Of the source, for messages. */
  readonly name: string;
  readonly lastSerial: SerialMemory;
  readonly verifyIndex?: VerifyIndex | undefined;
  /** Only these models; undefined = all. */
  readonly models?: readonly string[] | undefined;
  readonly epochNow: () => number;
  /** @returns undefined when the index still has that tag */
  readonly fetch: (etag: string | undefined, signal: AbortSignal) => Promise<IndexFetched | undefined>;
  /** @returns undefined when there is none */
  readonly fetchSignature: (signal: AbortSignal) => Promise<Uint8Array | undefined>;
}

export class IndexReader {
  readonly #options: IndexReaderOptions;
  #index: IndexDocument | undefined;
  #etag: string | undefined;
  /** What the last listing that was given was made of. */
  #given: { readonly index: IndexDocument; readonly waiting: string | undefined } | undefined;

  constructor(options: IndexReaderOptions) {
    this.#options = options;
  }

  /** @returns undefined when nothing has changed */
  async list(signal: AbortSignal): Promise<Listing | undefined> {
    await this.#refresh(signal);
    const index = this.#index!;
    const waiting = this.#expiry(index);
    if (index === this.#given?.index && waiting === this.#given.waiting) return undefined;
    this.#given = { index, waiting };
    const { models, ignored } = listIndex(index, waiting);
    const { models: wanted } = this.#options;
    return { models: wanted === undefined ? models : models.filter(({ name }) => wanted.includes(name)), ignored };
  }

  /** @throws NOT_FOUND; UNAVAILABLE when the index has expired; Refusal for what the version says of itself */
  async resolve(
    id: { readonly model: string; readonly version: string },
    place: (relative: string) => URL,
    signal: AbortSignal,
  ): Promise<Artifact> {
    if (this.#index === undefined) await this.#refresh(signal);
    const index = this.#index!;
    const expired = this.#expiry(index);
    if (expired !== undefined) throw new GatewayError('UNAVAILABLE', `${this.#options.name}: ${expired}`);
    return artifactOf(index, id, place);
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const fetched = await this.#options.fetch(this.#index === undefined ? undefined : this.#etag, signal);
    if (fetched === undefined) return;
    const { bytes, etag } = await this.#verified(fetched, signal);
    const index = parseIndex(bytes, `${this.#options.name}: index`);
    await this.#accept(index.serial);
    this.#index = index;
    this.#etag = etag;
  }

  /** Index and signature are two files: when they do not fit, the index may have been replaced between the two requests. */
  async #verified(fetched: IndexFetched, signal: AbortSignal): Promise<IndexFetched> {
    const { verifyIndex, fetch, fetchSignature } = this.#options;
    if (verifyIndex === undefined) return fetched;
    try {
      await verifyIndex(fetched.bytes, await fetchSignature(signal));
      return fetched;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const again = await fetch(fetched.etag, signal);
      if (again === undefined || Buffer.compare(again.bytes, fetched.bytes) === 0) throw error;
      await verifyIndex(again.bytes, await fetchSignature(signal));
      return again;
    }
  }

  async #accept(serial: number): Promise<void> {
    const { lastSerial, name } = this.#options;
    const highest = await lastSerial.get();
    if (highest !== undefined && serial < highest) {
      const text = `${name}: the index has serial ${serial}, which is below ${highest} seen before`;
      throw new Refusal('downgrade', text);
    }
    if (serial !== highest) await lastSerial.set(serial);
  }

  #expiry({ expires }: IndexDocument): string | undefined {
    if (expires === undefined || Date.parse(expires) > this.#options.epochNow()) return undefined;
    return `the index expired at ${expires}`;
  }
}
