/**
 * What the store and its sources remember from one start to the next, beside the quarantine: the highest serial of each index,
 * and the first digest of every version seen.
 *
 * Must not know when any of it changes.
 */
import { z } from 'zod';
import { keyOf, type Offer } from './paths.js';
import { StateDocument, type StateFolder } from './state.js';

const serialsSchema = z.record(z.string(), z.int().min(0));
const digestsSchema = z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/));

/** First digests kept; each is about 110 bytes. The oldest are forgotten. */
const digestsMax = 50_000;

/** A map by name in one document. Names come from outside, so nothing is looked up on the prototype. */
class Entries<T> {
  readonly #document: StateDocument<Record<string, T>>;

  constructor(document: StateDocument<Record<string, T>>) {
    this.#document = document;
  }

  get(name: string): T | undefined {
    return Object.hasOwn(this.#document.value, name) ? this.#document.value[name] : undefined;
  }

  set(name: string, value: T): Promise<void> {
    return this.#document.change((entries) => ({ ...entries, [name]: value }));
  }

  /** Adds those that are not there yet; at `max` the oldest go. */
  addAll(added: readonly (readonly [name: string, value: T])[], max: number): Promise<void> {
    return this.#document.change((entries) => {
      const fresh = added.filter(([name]) => !Object.hasOwn(entries, name));
      if (fresh.length === 0) return entries;
      return Object.fromEntries([...Object.entries(entries), ...fresh].slice(-max));
    });
  }
}

/** The highest serial accepted of the index of each source. */
export async function openSerials(state: StateFolder): Promise<Entries<number>> {
  return new Entries(await StateDocument.open(state, 'serials', serialsSchema, {}));
}

/** The first digest of each version that has left the store; of those still in it, their records say so. */
export class FirstDigests {
  readonly #digests: Entries<string>;

  private constructor(digests: Entries<string>) {
    this.#digests = digests;
  }

  static async open(state: StateFolder): Promise<FirstDigests> {
    return new FirstDigests(new Entries(await StateDocument.open(state, 'digests', digestsSchema, {})));
  }

  of(offer: Offer): string | undefined {
    return this.#digests.get(keyOf(offer));
  }

  remember(versions: readonly (Offer & { readonly artifactSha256: string })[]): Promise<void> {
    return this.#digests.addAll(
      versions.map((version) => [keyOf(version), version.artifactSha256] as const),
      digestsMax,
    );
  }
}
