/**
 * Which versions exist, in which state, and which of them answer. The one component that changes a version's state.
 *
 *            ┌──────────────────── load ◀─────────────────────┐
 *   known ─▶ pulling ─▶ admitting ─▶ opening ─▶ ready ─▶ draining ─▶ unloaded
 *     │          └──────────┴───────────┴─▶ refused | failed | quarantined
 *     └▶ lazy ─ first request ─▶ (… open, still lazy) ─ idle too long ─┘
 *
 * Here is what happens by itself and by the calls of V2: what sources offer is loaded, published and retired. One thing happens
 * to a model at a time (turns); of several offers that come meanwhile the newest counts. A failed load leaves what serves alone.
 * What to do about files, trials and processes is given as functions.
 *
 *   records ─▶ loading ─▶ answers ─▶ retirement          decisions: the same, asked for by an operator
 *
 * Must not know ONNX, sockets, processes or the disk.
 */
import { LRUCache } from 'lru-cache';
import type { AdmissionCode } from '../core/admission.js';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { IndexEntry } from '../core/relay.js';
import { Answers } from './answers.js';
import { Decisions } from './decisions.js';
import { Loading } from './loading.js';
import { NewerContent } from './newer-content.js';
import { Records } from './records.js';
import type { RegistryOptions } from './registry-options.js';
import { Retirement } from './retirement.js';
import { Turns } from './turns.js';
import { isAskedFor, isHoldOver, type ModelRecord, sorted, type VersionRecord, withoutHold } from './versions.js';
import { Wanted } from './wanted.js';

export class Registry {
  readonly decisions: Decisions;
  readonly #options: RegistryOptions;
  readonly #records: Records;
  readonly #turns: Turns;
  readonly #loading: Loading;
  readonly #answers: Answers;
  readonly #retirement: Retirement;
  readonly #wanted: Wanted;
  /** Versions opened on demand, the least recently used first to go. */
  readonly #lazyOpen: LRUCache<string, VersionRecord>;
  /** Models whose newest offer waits for its turn. */
  readonly #due = new Set<string>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    const records = new Records(options);
    const turns = new Turns(options.report);
    const newer = new NewerContent(records, options);
    const loading = new Loading(options, newer);
    const answers = new Answers(records, options);
    const retirement = new Retirement(options, { turns, loading, answers });
    const reconcile = (model: string) => this.#reconcileSoon(model);
    this.decisions = new Decisions({ options, records, turns, loading, answers, retirement, reconcile });
    this.#records = records;
    this.#turns = turns;
    this.#loading = loading;
    this.#answers = answers;
    this.#retirement = retirement;
    this.#wanted = new Wanted(options, {
      records,
      loading,
      newer,
      again: (what, model, delayMs) => this.#again(what, model, delayMs),
    });
    this.#lazyOpen = new LRUCache({
      max: options.lazy.openMax,
      maxSize: options.lazy.bytesMax,
      sizeCalculation: (record: VersionRecord) => Math.max(1, record.bytes),
      dispose: (record, name, reason) => {
        if (reason === 'evict') turns.unasked(`close ${name}`, record.id.model, () => loading.close(record));
      },
    });
  }

  /** Takes up what the sources offer and, when eager, loads all of it. A version that fails is listed with its reason. */
  async start(): Promise<void> {
    for (const offered of this.#options.list()) {
      const model = this.#records.take(offered);
      if (this.#options.policy === 'eager')
        await this.#turns.take(model.name, async () => void (await this.#wanted.bring(model)));
      this.#answers.choose(model);
    }
    await this.#answers.publish('start');
    for (const model of this.#records.models()) this.#retirement.plan(model);
  }

  /** Nothing is loaded, retried or retired by itself any more. */
  close(): void {
    this.#turns.close();
  }

  /** The sources offer something new: whatever differs is loaded, published and retired, each model for itself. */
  async offer(): Promise<void> {
    const offered = this.#options.list();
    const names = new Set([...offered.map(({ name }) => name), ...this.#records.names()]);
    await Promise.all([...names].map((name) => this.#reconcileSoon(name)));
  }

  /** The options of these models have changed: what is open of them is opened anew, and then what is wanted. */
  async reopen(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#turns.take(name, () => this.#reopen(name))));
    await this.offer();
  }

  async #reopen(name: string): Promise<void> {
    for (const record of this.#records.find(name)?.versions.values() ?? [])
      if (record.isOpen)
        await this.#loading
          .reopen(record)
          .catch((error: unknown) => this.#options.report(`open ${nameOf(record.id)} anew`, error));
  }

  /** What was refused for this reason may be admitted now. */
  async retryRefused(reason: AdmissionCode): Promise<void> {
    const refused = [...this.#allRecords()].filter(({ state, refusal }) => state === 'refused' && refusal === reason);
    for (const record of refused) {
      record.triedRevision = undefined;
      record.tries = 0;
      this.#loading.change(record, this.#options.policy === 'lazy' ? 'lazy' : 'known');
    }
    if (refused.length > 0) await this.offer();
  }

  /** Artifacts that must stay in the store. */
  kept(): Set<string> {
    return this.#records.kept();
  }

  /** What routes say has changed. */
  republish(reason: string): Promise<void> {
    return this.#answers.publish(reason);
  }

  /** Sources that do not answer; empty = all do. Told to everybody who asks whether the server is well. */
  degrade(reason: string): Promise<void> {
    return this.#answers.degrade(reason);
  }

  /** Versions with their states, for people. */
  records(): Iterable<Readonly<VersionRecord>> {
    return this.#allRecords();
  }

  *#allRecords(): Iterable<VersionRecord> {
    for (const model of this.#records.models()) yield* model.versions.values();
  }

  models(): Iterable<Readonly<ModelRecord>> {
    return this.#records.models();
  }

  /** The spec of a version that was admitted in this life of the process. */
  specOf({ model, version }: VersionId): VersionSpec | undefined {
    return this.#records.find(model)?.versions.get(version)?.spec;
  }

  /** The same of the newest content, also while that waits and an older one is open. */
  newestOf({ model, version }: VersionId): VersionSpec | undefined {
    const record = this.#records.find(model)?.versions.get(version);
    return record?.next ?? record?.spec;
  }

  /** The repository index of V2. */
  index(readyOnly: boolean): IndexEntry[] {
    return this.#records.index(readyOnly);
  }

  /** The versions whose statistics are asked for. @throws NOT_FOUND, INVALID_ARGUMENT */
  readyVersions(name: string, version: string): VersionId[] {
    return this.#records.readyVersions(name, version);
  }

  has(name: string): boolean {
    return this.#records.find(name) !== undefined;
  }

  /** Offers that come while a model is busy are one: the newest. */
  async #reconcileSoon(name: string): Promise<void> {
    if (this.#due.has(name) || this.#turns.isClosed) return;
    this.#due.add(name);
    await this.#turns.take(name, async () => {
      this.#due.delete(name);
      if (this.#turns.isClosed) return;
      try {
        await this.#reconcile(name);
      } catch (error) {
        // What could not be written down now is due again; nothing else would ask for it.
        this.#again(`again ${name}`, name, this.#options.retryMs);
        throw error;
      }
    });
  }

  async #reconcile(name: string): Promise<void> {
    const offered = this.#options.list().find((candidate) => candidate.name === name);
    const model = offered === undefined ? this.#records.find(name) : this.#records.take(offered);
    if (model === undefined) return;
    if (offered === undefined) for (const record of model.versions.values()) record.isListed = false;
    if (this.#options.policy !== 'explicit' && !model.isUnloaded) await this.#wanted.bringNamed(model);
    await this.#settle(model, 'source');
  }

  /** Publishes what follows from the records now, and sees to those that nobody needs any more. */
  async #settle(model: ModelRecord, reason: string): Promise<void> {
    if (isHoldOver(model)) model.choice = withoutHold(model.choice);
    this.#answers.choose(model);
    if (this.#answers.isStale(model)) await this.#answers.publish(reason);
    this.#retirement.plan(model);
  }

  #again(what: string, model: string, delayMs: number): void {
    this.#turns.later(what, model, delayMs, async () => {
      // Not waited for: it takes a turn of its own, after this one.
      void this.#reconcileSoon(model).catch((error: unknown) => this.#options.report(what, error));
    });
  }

  /**
   * Loads a model, or loads it again, as the V2 repository extension asks.
   * @param config JSON text of a model configuration to use instead of the file on disk
   * @throws NOT_FOUND, FAILED_PRECONDITION, INTERNAL
   */
  async load(name: string, config?: string): Promise<void> {
    await this.#turns.take(name, async () => {
      const offered = await this.#options.look(name);
      if (offered === undefined) {
        throw new GatewayError('NOT_FOUND', `failed to load '${name}', failed to poll from model repository`);
      }
      const model = this.#records.take(offered);
      model.isUnloaded = false;
      const waiting: string[] = [];
      for (const record of sorted(model.versions.values())) {
        if (!record.isWanted && !isAskedFor(model, record.id.version)) continue;
        if (record.waiting !== undefined)
          throw new GatewayError('FAILED_PRECONDITION', `load failed for model '${name}': ${record.waiting}`);
        await this.#loading.reload(record, config);
        if (record.next !== undefined) waiting.push(`version ${record.id.version} ${record.reason}`);
      }
      this.#answers.choose(model);
      await this.#answers.publish('load');
      for (const record of model.versions.values()) await this.#retirement.retire(model, record);
      if (waiting.length > 0)
        throw new GatewayError('FAILED_PRECONDITION', `load failed for model '${name}': ${waiting.join('; ')}`);
    });
  }

  /** Takes a model out of service. Requests in flight finish; files stay. Unknown models succeed. */
  async unload(name: string): Promise<void> {
    await this.#turns.take(name, async () => {
      const model = this.#records.find(name);
      if (model === undefined) return;
      model.isUnloaded = true;
      const open = [...model.versions.values()].filter((record) => record.isOpen || record.state === 'lazy');
      for (const record of open) this.#loading.change(record, 'draining');
      this.#answers.choose(model);
      await this.#answers.publish('unload');
      await Promise.all(open.map(({ id }) => this.#options.drain(id)));
      for (const record of open) {
        record.isOpen = false;
        this.#lazyOpen.delete(nameOf(record.id));
        this.#loading.change(record, 'unloaded', 'unloaded');
      }
      await this.#answers.publish('unload');
    });
  }

  /** Opens a version that a request asked for. @throws why it cannot be opened */
  async want(id: VersionId): Promise<void> {
    const model = this.#records.modelOf(id.model);
    await this.#turns.take(id.model, async () => {
      const record = model.versions.get(id.version);
      if (record === undefined || record.isOpen) return;
      await this.#loading.loadUnseen(record).catch(async (error) => {
        this.#answers.choose(model);
        await this.#answers.publish('lazy');
        throw error;
      });
      this.#lazyOpen.set(nameOf(id), record);
      // Only now is it known by which bytes it answers.
      if (model.champion === id.version && this.#answers.publishedSpecOf(id.model) !== record.spec)
        await this.#answers.publish('opened on demand');
    });
  }

  /** These versions answered lately. */
  touch(names: readonly string[]): void {
    for (const name of names) this.#lazyOpen.get(name);
  }
}
