/**
 * Everything between the sources and the registry: who is asked when, what they offer together, and the bytes of a version.
 *
 *   sources ─ pollers ─▶ catalogue ─▶ onOffer           bring(version): source ─▶ store ─▶ directory
 *
 * What each source listed last is kept. At a start without it, that listing and the store stand in for it, so that what was
 * served goes on being served; a version that is in the store needs no source.
 *
 * Must not know states of versions or what is published.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { GatewayError } from '../core/errors.js';
import type { VersionId } from '../core/model.js';
import type { Catalogue, OfferedModel } from './catalogue.js';
import { Poller, type SourceHealth } from './poller.js';
import type { Refusal } from './refusal.js';
import type { Bringing } from './registry-options.js';
import type { Brought } from './repository.js';
import type { Artifact, Listing, Source } from './source.js';
import { inPlace } from './sources/in-place.js';
import { recordFileName } from './store/digest.js';
import type { PullHooks } from './store/pull-hooks.js';
import type { Store, StoredVersion } from './store/store.js';

export interface SuppliedSource {
  readonly source: Source;
  /** 0 = only when told. */
  readonly pollMs: number;
  readonly hooks: PullHooks;
}

export interface SupplyOptions {
  /** In the order of the configuration. */
  readonly sources: readonly SuppliedSource[];
  readonly catalogue: Catalogue;
  readonly store: Store;
  readonly onOffer: () => void;
  readonly onHealth: (health: SourceHealth) => void;
  /** Of a listing. */
  readonly onRefusal: (source: string, refusal: Refusal) => void;
  readonly onPoll: (source: string, result: 'changed' | 'same' | 'failed') => void;
  /** Bytes that came for a version, and in how many milliseconds. */
  readonly onPull: (source: string, stored: StoredVersion, tookMs: number) => void;
  readonly onPullFailed: (source: string, id: VersionId, error: GatewayError) => void;
  /** Must these bytes not be served, whatever they are called now? @throws the reason */
  readonly checkAllowed: (stored: StoredVersion) => void;
  /** Removes what nobody needs until so many bytes are free. @returns whether anything was removed */
  readonly makeRoom: (bytes: number) => Promise<boolean>;
  /** What was to be done by itself, for which nobody waits, and has failed. */
  readonly report: (what: string, error: unknown) => void;
  readonly listTimeoutMs: number;
  /** How long a start waits for a source that it has an earlier listing of. */
  readonly patienceMs: number;
  readonly epochNow: () => number;
  readonly cpuMs: () => number;
  readonly random: () => number;
}

const facts = z.object({
  tags: z.record(z.string(), z.string()),
  description: z.string(),
  metrics: z.record(z.string(), z.number()),
  runId: z.string(),
  created: z.string(),
});
const version = z.object({
  version: z.string(),
  revision: z.string(),
  bytes: z.number().optional(),
  facts,
  waiting: z.string().optional(),
});
const model = z.object({
  name: z.string(),
  versions: z.array(version),
  aliases: z.record(z.string(), z.string()),
  config: z.object({ name: z.string(), text: z.string() }).optional(),
});
const keptListing = z.object({ models: z.array(model), ignored: z.array(z.string()) }).nullable();

export class Supply {
  readonly #options: SupplyOptions;
  readonly #pollers: ReadonlyMap<string, Poller>;
  readonly #hooks: ReadonlyMap<string, PullHooks>;
  #isStarted = false;

  constructor(options: SupplyOptions) {
    this.#options = options;
    this.#hooks = new Map(options.sources.map(({ source, hooks }) => [source.name, hooks]));
    this.#pollers = new Map(options.sources.map((supplied) => [supplied.source.name, this.#poller(supplied)]));
  }

  #poller({ source, pollMs }: SuppliedSource): Poller {
    const { listTimeoutMs, onHealth, onRefusal, onPoll, epochNow, cpuMs, random } = this.#options;
    return new Poller({
      source,
      intervalMs: pollMs,
      listTimeoutMs,
      onListing: (listing) => this.#take(source.name, listing),
      onHealth,
      onRefusal: (refusal) => onRefusal(source.name, refusal),
      onPoll: (result) => onPoll(source.name, result),
      epochNow,
      cpuMs,
      random,
    });
  }

  /**
   * Asks every source once; those that do not answer, or not soon, are stood in for by what they listed last.
   * @throws what a local folder has to say when there is no other source and nothing was ever listed
   */
  async start(): Promise<void> {
    await Promise.all([...this.#pollers.values()].map((poller) => this.#first(poller)));
    this.#isStarted = true;
  }

  async #first(poller: Poller): Promise<void> {
    const { catalogue, store, patienceMs } = this.#options;
    const { name, type } = poller.source;
    const kept = await store.state.read<Listing | null>(
      `listing-${name}`,
      keptListing as unknown as z.ZodType<Listing | null>,
      null,
    );
    const asked = poller.start();
    if (kept === null) await asked;
    else {
      await Promise.race([asked, sleep(patienceMs, undefined, { ref: false })]);
      poller.late();
    }
    if (catalogue.has(name)) return;
    if (kept !== null) catalogue.put(name, kept);
    else if (this.#pollers.size === 1 && type === 'directory')
      throw new GatewayError('NOT_FOUND', poller.health.reason);
  }

  #take(name: string, listing: Listing): void {
    this.#options.catalogue.put(name, listing);
    // Losing it costs a start without the source its list, nothing else.
    const { store, report } = this.#options;
    void store.state
      .write(`listing-${name}`, listing)
      .catch((error: unknown) => report(`keep what source ${name} listed`, error));
    if (this.#isStarted) this.#options.onOffer();
  }

  /** One model, after its source was asked anew; a source that is down is not waited for. */
  async look(name: string): Promise<OfferedModel | undefined> {
    const known = this.#options.catalogue.model(name);
    const asked = known === undefined ? [...this.#pollers.values()] : [this.#pollers.get(known.source)!];
    await Promise.all(asked.map((poller) => poller.now().catch(() => {})));
    return this.#options.catalogue.model(name);
  }

  health(): SourceHealth[] {
    return [...this.#pollers.values()].map((poller) => poller.health);
  }

  /** Somebody says that a source has changed. @returns whether there is such a source */
  hint(name: string): boolean {
    const poller = this.#pollers.get(name);
    poller?.hint();
    return poller !== undefined;
  }

  /** An operator wants a source asked now. */
  wake(name: string): void {
    this.#pollers.get(name)?.wake();
  }

  /**
   * The bytes of a version, in the store.
   * @throws what its source says; from the store alone when the source cannot be asked or has it no more
   */
  async bring(id: VersionId, how: Pick<Bringing, 'isExact' | 'sha256' | 'onStored'>): Promise<Brought> {
    const source = this.#options.catalogue.model(id.model)?.source ?? '';
    const { sha256 } = how;
    const stored =
      sha256 === undefined ? await this.#stored(id, source, how.isExact) : this.#agreed(id, source, sha256);
    this.#options.checkAllowed(stored);
    how.onStored();
    return broughtOf(stored);
  }

  /**
   * A version where it can be read without being brought: in the store, or in a folder of this machine, where it may change
   * at any time. Undefined when it would have to be pulled.
   */
  async peek(id: VersionId): Promise<Brought | undefined> {
    const name = this.#options.catalogue.model(id.model)?.source ?? '';
    const stored = this.#find(id, name);
    if (stored !== undefined) return broughtOf(stored);
    const source = this.#pollers.get(name)?.source;
    if (source?.type !== 'directory') return undefined;
    return inPlace(source, id, AbortSignal.timeout(this.#options.listTimeoutMs));
  }

  async #stored(id: VersionId, name: string, isExact = false): Promise<StoredVersion> {
    const poller = this.#pollers.get(name);
    if (poller === undefined) return this.#kept(id, new GatewayError('NOT_FOUND', `no source has model '${id.model}'`));
    const { source } = poller;
    // Of a source that is down one question after another would cost its time limit, for each version of each model.
    const standIn = poller.health.isUp || isExact ? undefined : this.#find(id, name);
    if (standIn !== undefined) return standIn;
    const startedAt = this.#options.epochNow();
    try {
      poller.checkAwake();
      const signal = AbortSignal.timeout(this.#options.listTimeoutMs);
      const artifact = await source.resolve(id.model, id.version, signal);
      const stored = await this.#pull(source, artifact);
      this.#options.onPull(name, stored, this.#options.epochNow() - startedAt);
      return stored;
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      this.#options.onPullFailed(name, id, error);
      if (isExact || error.code === 'FAILED_PRECONDITION') throw error;
      return this.#kept(id, error, name);
    }
  }

  /** A store that is full is swept once before that is an error. */
  async #pull(source: Source, artifact: Artifact): Promise<StoredVersion> {
    const { store, makeRoom } = this.#options;
    const hooks = this.#hooks.get(source.name);
    try {
      return await store.pull(source, artifact, hooks);
    } catch (error) {
      if (GatewayError.from(error).code !== 'RESOURCE_EXHAUSTED') throw error;
      if (!(await makeRoom(artifact.files.reduce((sum, { bytes = 0 }) => sum + bytes, 0)))) throw error;
      return store.pull(source, artifact, hooks);
    }
  }

  #kept(id: VersionId, error: GatewayError, source?: string): StoredVersion {
    const found = this.#find(id, source);
    if (found === undefined) throw error;
    return found;
  }

  #agreed({ model, version }: VersionId, source: string, artifactSha256: string): StoredVersion {
    const found = this.#options.store.find({ model, version, source, artifactSha256 });
    if (found !== undefined) return found;
    throw new GatewayError('NOT_FOUND', `content ${artifactSha256} of model '${model}' is not in the store any more`);
  }

  #find({ model: name, version: text }: VersionId, source?: string): StoredVersion | undefined {
    return this.#options.store.find({ model: name, version: text, ...(source === undefined ? {} : { source }) });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pollers.values()].map((poller) => poller.close()));
  }
}

function broughtOf({ directory, record, source, artifactSha256: sha256 }: StoredVersion): Brought {
  const artifact = { source, revision: record.revision, sha256 };
  return { directory, besides: [recordFileName], config: record.config, artifact };
}
