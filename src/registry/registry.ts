/**
 * Which versions exist, in which state, and which of them answer. The one component that changes a version's state.
 *
 *            ┌──────────────────── load ◀─────────────────────┐
 *   known ─▶ pulling ─▶ admitting ─▶ opening ─▶ ready ─▶ draining ─▶ unloaded
 *     │          └──────────┴───────────┴─▶ refused | failed | quarantined
 *     └▶ lazy ─ first request ─▶ (… open, still lazy) ─ idle too long ─┘
 *
 * One thing happens to a model at a time; whoever asks meanwhile waits, and of several offers the newest counts. A failed load
 * leaves what serves alone. A change of what answers is written down before it takes effect. What to do about files, trials
 * and processes is given as functions.
 *
 * Must not know ONNX, sockets, processes or the disk.
 */
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { IndexEntry } from '../core/relay.js';
import type { Route, RouteTable } from '../core/route.js';
import type { Offered, OfferedModel } from './catalogue.js';
import {
  championOf,
  indexOf,
  isAskedFor,
  isHoldOver,
  isNeeded,
  isServed,
  labelsOf,
  type ModelRecord,
  newModel,
  newRecord,
  type OperatorChoice,
  type RegistryState,
  routeOf,
  sorted,
  type VersionRecord,
} from './versions.js';

export type LoadPolicy = 'eager' | 'lazy' | 'explicit';

export interface StateChange {
  readonly id: VersionId;
  readonly from: RegistryState;
  readonly to: RegistryState;
  readonly reason: string;
  readonly tookMs: number;
}

/** A change of the version that answers by default. */
export interface Publication {
  readonly model: string;
  readonly version: string | undefined;
  readonly previous: string | undefined;
  readonly spec: VersionSpec | undefined;
  readonly generation: number;
  readonly reason: string;
}

/** What survives a restart, by model. */
export type Remembered = Readonly<
  Record<
    string,
    {
      readonly champion?: string | undefined;
      readonly previous?: string | undefined;
      readonly labels: Readonly<Record<string, string>>;
      readonly choice: OperatorChoice;
    }
  >
>;

export interface RegistryOptions {
  readonly policy: LoadPolicy;
  /** What the sources offer now. */
  readonly list: () => readonly OfferedModel[];
  /** One model, after its source was asked anew; undefined when no source has it. */
  readonly look: (model: string) => Promise<OfferedModel | undefined>;
  /**
   * Brings a version into the store, reads and tries it.
   * @throws GatewayError with the reason why it is refused
   */
  readonly admit: (id: VersionId, how: Bringing) => Promise<VersionSpec>;
  readonly open: (spec: VersionSpec) => Promise<void>;
  readonly drain: (id: VersionId) => Promise<void>;
  readonly publish: (table: RouteTable) => Promise<void>;
  /** Writes a change of what answers down; when that fails, the change does not happen. */
  readonly record: (publication: Publication) => Promise<void>;
  readonly remember: (remembered: Remembered) => Promise<void>;
  readonly remembered: Remembered;
  /** Why `next` must not take the place of `old` by itself; empty = it may. */
  readonly breaches: (old: VersionSpec, next: VersionSpec) => readonly string[];
  readonly observe: (change: StateChange) => void;
  readonly now: () => number;
  readonly lazy: { readonly openMax: number; readonly bytesMax: number };
  /** How often a load that failed is tried again by itself, later each time. */
  readonly retriesMax: number;
  readonly retryMs: number;
  /** How long a version stays open after another took its place. */
  readonly keepPreviousMs: () => number;
  /** Models that must have a ready version for the server to be ready; `all` = every one the sources offer. */
  readonly readiness: () => 'all' | readonly string[];
}

/** How a version is to be brought. */
export interface Bringing {
  /** JSON text of a model configuration to use instead of the model's own. */
  readonly config: string | undefined;
  /** What the store has of the version must not stand in for what its source offers now. */
  readonly isExact?: boolean;
  /** Called when the bytes are there. */
  readonly onStored: () => void;
}

/** The longest pause between two tries of a load that fails for a reason that may pass. */
const retryMsMax = 60_000;

export class Registry {
  readonly #options: RegistryOptions;
  readonly #models = new Map<string, ModelRecord>();
  /** Versions opened on demand, the least recently used first to go. */
  readonly #lazyOpen: LRUCache<string, VersionRecord>;
  /** What happens to a model, one thing after another, by name. */
  readonly #last = new Map<string, Promise<unknown>>();
  /** Models whose newest offer waits for its turn. */
  readonly #due = new Set<string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #generation = 0;
  #degraded = '';
  #isClosed = false;
  #published: Promise<void> = Promise.resolve();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#lazyOpen = new LRUCache({
      max: options.lazy.openMax,
      maxSize: options.lazy.bytesMax,
      sizeCalculation: (record: VersionRecord) => Math.max(1, record.bytes),
      dispose: (record, _name, reason) => {
        if (reason === 'evict') void this.#serial(record.id.model, () => this.#close(record));
      },
    });
  }

  /** Takes up what the sources offer and, when eager, loads all of it. A version that fails is listed with its reason. */
  async start(): Promise<void> {
    for (const offered of this.#options.list()) {
      const model = this.#take(offered);
      if (this.#options.policy === 'eager') await this.#serial(model.name, () => this.#bringWanted(model));
      this.#choose(model);
    }
    await this.#publish('start');
    for (const model of this.#models.values()) this.#retireLater(model);
  }

  /** Nothing is loaded, retried or retired by itself any more. */
  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** The sources offer something new: whatever differs is loaded, published and retired, each model for itself. */
  async offer(): Promise<void> {
    const offered = this.#options.list();
    const names = new Set([...offered.map(({ name }) => name), ...this.#models.keys()]);
    await Promise.all([...names].map((name) => this.#reconcileSoon(name)));
  }

  /** The options of these models have changed: what is open of them is opened anew, and then what is wanted. */
  async reopen(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#serial(name, () => this.#reopen(name))));
    await this.offer();
  }

  async #reopen(name: string): Promise<void> {
    for (const record of this.#models.get(name)?.versions.values() ?? [])
      if (record.isOpen) await this.#reload(record, undefined).catch(() => {});
  }

  /** Artifacts that must stay in the store: what answers, what did before, what has a label or a pin, what is open. */
  kept(): Set<string> {
    const kept = new Set<string>();
    for (const model of this.#models.values()) {
      for (const record of model.versions.values()) {
        const { version } = record.id;
        const sha256 = record.spec?.artifact?.sha256;
        if (sha256 === undefined) continue;
        if (record.isOpen || isNeeded(model, record) || version === model.previous) kept.add(sha256);
      }
    }
    return kept;
  }

  /** What routes say has changed. */
  async republish(reason: string): Promise<void> {
    await this.#publish(reason);
  }

  /** Sources that do not answer; empty = all do. Told to everybody who asks whether the server is well. */
  async degrade(reason: string): Promise<void> {
    if (reason === this.#degraded) return;
    this.#degraded = reason;
    await this.#publish('degraded');
  }

  /** Versions with their states, for people. */
  *records(): Iterable<Readonly<VersionRecord>> {
    for (const model of this.#models.values()) yield* model.versions.values();
  }

  models(): Iterable<Readonly<ModelRecord>> {
    return this.#models.values();
  }

  /** The spec of a version that was admitted in this life of the process. */
  specOf({ model, version }: VersionId): VersionSpec | undefined {
    return this.#models.get(model)?.versions.get(version)?.spec;
  }

  #take(offered: OfferedModel): ModelRecord {
    let model = this.#models.get(offered.name);
    if (model === undefined) {
      model = newModel(offered.name, offered.source);
      const kept = this.#options.remembered[offered.name];
      if (kept !== undefined) {
        model.choice = kept.choice;
        model.champion = kept.champion;
        model.previous = kept.previous;
        model.labels = kept.labels;
      }
      this.#models.set(offered.name, model);
    }
    model.source = offered.source;
    model.aliases = offered.aliases;
    for (const record of model.versions.values()) {
      record.isListed = false;
      record.isWanted = false;
    }
    const wanted = new Set(offered.wanted.map(({ version }) => version));
    for (const one of offered.known) if (wanted.has(one.version) || this.#isChosen(model, one)) this.#note(model, one);
    for (const version of wanted) model.versions.get(version)!.isWanted = true;
    this.#recall(model);
    return model;
  }

  /** What answered in the last life of the process and is no longer listed is in the store. */
  #recall(model: ModelRecord): void {
    const { name, champion } = model;
    if (champion === undefined || model.versions.has(champion)) return;
    const record = newRecord({ model: name, version: champion }, this.#options.policy === 'lazy', this.#options.now());
    record.isListed = false;
    model.versions.set(champion, record);
  }

  /** Of versions that the policy does not want, those that an operator or the last life of the process asks for. */
  #isChosen(model: ModelRecord, { version }: Offered): boolean {
    const { versions, champion, labels } = model;
    const didAnswer = champion === version || Object.values(labels).includes(version);
    return versions.has(version) || didAnswer || isAskedFor(model, version);
  }

  #note(model: ModelRecord, offered: Offered): VersionRecord {
    const { version, revision, bytes, facts, waiting } = offered;
    let record = model.versions.get(version);
    if (record === undefined) {
      record = newRecord({ model: model.name, version }, this.#options.policy === 'lazy', this.#options.now());
      model.versions.set(version, record);
    }
    if (record.revision !== revision) record.tries = 0;
    record.bytes = bytes ?? record.bytes;
    record.facts = facts;
    record.revision = revision;
    record.isListed = true;
    record.waiting = waiting;
    if (record.state === 'known') record.reason = waiting ?? '';
    return record;
  }

  /** Runs `work` after everything that is under way for this model. */
  #serial<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const result = (this.#last.get(name) ?? Promise.resolve()).then(work);
    const settled = result.then(
      () => {},
      () => {},
    );
    this.#last.set(name, settled);
    void settled.then(() => {
      if (this.#last.get(name) === settled) this.#last.delete(name);
    });
    return result;
  }

  /** Offers that come while a model is busy are one: the newest. */
  async #reconcileSoon(name: string): Promise<void> {
    if (this.#due.has(name) || this.#isClosed) return;
    this.#due.add(name);
    await this.#serial(name, async () => {
      this.#due.delete(name);
      if (this.#isClosed) return;
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
    const model = offered === undefined ? this.#models.get(name) : this.#take(offered);
    if (model === undefined) return;
    if (offered === undefined) for (const record of model.versions.values()) record.isListed = false;
    if (this.#options.policy !== 'explicit' && !model.isUnloaded) await this.#bringWanted(model);
    await this.#settle(model, 'source');
  }

  /** Publishes what follows from the records now, and sees to those that nobody needs any more. */
  async #settle(model: ModelRecord, reason: string): Promise<void> {
    if (isHoldOver(model)) model.choice = withoutHold(model.choice);
    this.#choose(model);
    if (JSON.stringify(routeOf(model)) !== this.#sent.get(model.name)) await this.#publish(reason);
    this.#retireLater(model);
  }

  /** Each version that nobody needs is closed when nobody has needed it for as long as versions are kept. */
  #retireLater(model: ModelRecord): void {
    for (const record of model.versions.values()) {
      const what = `retire ${nameOf(record.id)}`;
      if (this.#isRetirable(model, record)) {
        if (!this.#timers.has(what))
          this.#later(what, this.#options.keepPreviousMs(), () => this.#retire(model, record));
      } else this.#forget(what);
    }
  }

  /** Loads what is wanted and not there, or there in another revision. */
  async #bringWanted(model: ModelRecord): Promise<void> {
    for (const record of sorted(model.versions.values())) {
      if (!record.isOpen && this.#options.policy === 'lazy') continue;
      if (!isNeeded(model, record) || record.waiting !== undefined) continue;
      if (!record.isListed && record.triedRevision !== undefined) continue;
      if (record.isOpen ? record.triedRevision === record.revision : !this.#mayTry(record)) continue;
      await (record.isOpen ? this.#reload(record, undefined) : this.#load(record)).catch((error: GatewayError) => {
        if (error.code !== 'FAILED_PRECONDITION') this.#retryLater(record);
      });
    }
  }

  #mayTry(record: VersionRecord): boolean {
    if (record.triedRevision !== record.revision) return true;
    return record.state !== 'refused' && record.state !== 'quarantined';
  }

  /** What failed for a reason that may pass is tried again by itself: a few times soon, then now and again. */
  #retryLater(record: VersionRecord): void {
    const { retriesMax, retryMs } = this.#options;
    if (retriesMax === 0) return;
    const delayMs = record.tries > retriesMax ? retryMsMax : Math.min(retryMsMax, retryMs * 2 ** (record.tries - 1));
    this.#again(`retry ${nameOf(record.id)}`, record.id.model, delayMs);
  }

  #again(what: string, model: string, delayMs: number): void {
    this.#later(what, delayMs, async () => void this.#reconcileSoon(model).catch(() => {}));
  }

  #forget(what: string): void {
    clearTimeout(this.#timers.get(what));
    this.#timers.delete(what);
  }

  #later(what: string, delayMs: number, work: () => Promise<void>): void {
    this.#forget(what);
    if (this.#isClosed) return;
    const model = what.split(' ')[1]!.split('@')[0]!;
    const timer = setTimeout(() => {
      this.#timers.delete(what);
      void this.#serial(model, work).catch(() => {});
    }, delayMs);
    this.#timers.set(what, timer.unref());
  }

  #modelOf(name: string): ModelRecord {
    const model = this.#models.get(name);
    if (model === undefined) throw new GatewayError('NOT_FOUND', `Request for unknown model: '${name}' is not found`);
    return model;
  }

  #change(record: VersionRecord, to: RegistryState, reason = ''): void {
    const { id, state: from, changedAt } = record;
    const at = this.#options.now();
    record.state = to;
    record.reason = reason;
    record.changedAt = at;
    this.#options.observe({ id, from, to, reason, tookMs: at - changedAt });
  }

  /** Admits and opens a version. What it replaces is not touched. @throws the reason, which is also kept */
  async #load(record: VersionRecord, config?: string): Promise<void> {
    this.#change(record, 'pulling');
    const onStored = () => this.#change(record, 'admitting');
    await this.#bring(record, { config, onStored }, () => this.#change(record, 'opening'));
    this.#change(record, 'ready');
  }

  async #bring(record: VersionRecord, how: Bringing, onAdmitted: () => void): Promise<void> {
    const { id } = record;
    record.triedRevision = record.revision;
    record.tries++;
    try {
      const spec = await this.#options.admit(id, how);
      onAdmitted();
      await this.#options.open(spec);
      record.spec = spec;
      record.isOpen = true;
      record.tries = 0;
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      this.#change(record, error.code === 'FAILED_PRECONDITION' ? 'refused' : 'failed', error.message);
      const text = `load failed for model '${id.model}': version ${id.version}: ${error.message}`;
      throw new GatewayError(error.code, text, { cause: error });
    }
  }

  /** A version that serves goes on serving until the new opening has succeeded; the processes replace one by the other. */
  async #reload(record: VersionRecord, config: string | undefined): Promise<void> {
    if (!record.isOpen) return this.#load(record, config);
    const before = record.triedRevision;
    const isExact = record.isListed && record.revision !== before;
    record.triedRevision = record.revision;
    record.tries++;
    try {
      const spec = await this.#options.admit(record.id, { config, isExact, onStored: () => {} });
      await this.#options.open(spec);
      record.spec = spec;
      record.reason = '';
      record.tries = 0;
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      const isFinal = error.code === 'FAILED_PRECONDITION';
      if (!isFinal) record.triedRevision = before;
      record.reason = `goes on as it is, the newer content ${isFinal ? 'was refused' : 'could not be had'}: ${error.message}`;
      throw error;
    }
  }

  /**
   * Loads a model, or loads it again, as the V2 repository extension asks.
   * @param config JSON text of a model configuration to use instead of the file on disk
   * @throws NOT_FOUND, FAILED_PRECONDITION, INTERNAL
   */
  async load(name: string, config?: string): Promise<void> {
    await this.#serial(name, async () => {
      const offered = await this.#options.look(name);
      if (offered === undefined) {
        throw new GatewayError('NOT_FOUND', `failed to load '${name}', failed to poll from model repository`);
      }
      const model = this.#take(offered);
      model.isUnloaded = false;
      for (const record of sorted(model.versions.values())) {
        if (!record.isWanted && !isAskedFor(model, record.id.version)) continue;
        if (record.waiting !== undefined)
          throw new GatewayError('FAILED_PRECONDITION', `load failed for model '${name}': ${record.waiting}`);
        await this.#reload(record, config);
      }
      this.#choose(model);
      await this.#publish('load');
      for (const record of model.versions.values()) await this.#retire(model, record);
    });
  }

  /** Takes a model out of service. Requests in flight finish; files stay. Unknown models succeed. */
  async unload(name: string): Promise<void> {
    await this.#serial(name, async () => {
      const model = this.#models.get(name);
      if (model === undefined) return;
      model.isUnloaded = true;
      const open = [...model.versions.values()].filter((record) => record.isOpen || record.state === 'lazy');
      for (const record of open) this.#change(record, 'draining');
      this.#choose(model);
      await this.#publish('unload');
      await Promise.all(open.map(({ id }) => this.#options.drain(id)));
      for (const record of open) {
        record.isOpen = false;
        this.#lazyOpen.delete(nameOf(record.id));
        this.#change(record, 'unloaded', 'unloaded');
      }
      await this.#publish('unload');
    });
  }

  /**
   * Moves a label, `champion` being the version that answers callers who name none.
   * @param how.prepare loads the version first when it is not ready
   * @param how.allowBreaking although its inputs or outputs differ from those that it replaces
   * @throws NOT_FOUND, FAILED_PRECONDITION
   */
  async promote(
    { model: name, version }: VersionId,
    label: string,
    how: { readonly prepare: boolean; readonly allowBreaking: boolean },
  ): Promise<void> {
    await this.#serial(name, async () => {
      const model = this.#modelOf(name);
      const record = await this.#ready(model, version, how.prepare);
      const old = model.versions.get(model.champion ?? '')?.spec;
      if (label === 'champion' && !how.allowBreaking && old !== undefined && record.spec !== undefined) {
        const breaches = this.#options.breaches(old, record.spec);
        if (breaches.length > 0)
          throw new GatewayError(
            'FAILED_PRECONDITION',
            `version ${version} must not take the place of ${old.id.version}: ${breaches.join('; ')}`,
          );
      }
      const before = model.choice;
      const rest = label === 'champion' ? withoutHold(before) : before;
      model.choice = { ...rest, aliases: { ...before.aliases, [label]: version } };
      await this.#decided(model, before, `promote ${label}`);
    });
  }

  /** What an operator decided is forgotten: the source and its newest versions decide again. */
  async release(name: string, label: string): Promise<void> {
    await this.#serial(name, async () => {
      const model = this.#modelOf(name);
      const before = model.choice;
      const { [label]: _, ...aliases } = before.aliases;
      const choice = { ...before, aliases };
      model.choice = label === 'champion' ? withoutHold(choice) : choice;
      await this.#decided(model, before, `release ${label}`);
    });
    await this.#reconcileSoon(name);
  }

  /**
   * The version that answered before answers again, and what is rolled back from is not published by itself.
   * @returns the version that answers now
   * @throws FAILED_PRECONDITION when there is none before
   */
  async rollback(name: string, reason: string): Promise<string> {
    return this.#serial(name, async () => {
      const model = this.#modelOf(name);
      const { champion, previous } = model;
      if (champion === undefined || previous === undefined)
        throw new GatewayError(
          'FAILED_PRECONDITION',
          `model '${name}' has no version before ${champion ?? 'this one'}`,
        );
      await this.#ready(model, previous, true);
      const before = model.choice;
      const { champion: _, ...aliases } = before.aliases;
      const { revision } = model.versions.get(champion)!;
      model.choice = { ...before, aliases, hold: { version: champion, revision, to: previous } };
      await this.#decided(model, before, reason);
      return previous;
    });
  }

  /** A pinned version stays open and in the store. */
  async pin({ model: name, version }: VersionId, isPinned: boolean): Promise<void> {
    await this.#serial(name, async () => {
      const model = this.#modelOf(name);
      if (isPinned) await this.#ready(model, version, true);
      const before = model.choice;
      const pins = before.pins.filter((pin) => pin !== version);
      model.choice = { ...before, pins: isPinned ? [...pins, version] : pins };
      await this.#decided(model, before, isPinned ? 'pin' : 'unpin');
    });
  }

  /** Takes a version out at once; the one before takes its place. */
  async quarantine({ model: name, version }: VersionId, reason: string): Promise<void> {
    await this.#serial(name, async () => {
      const model = this.#modelOf(name);
      const record = model.versions.get(version);
      if (record === undefined || record.state === 'quarantined') return;
      const wasOpen = record.isOpen;
      this.#change(record, 'quarantined', reason);
      if (model.champion === version && model.previous !== undefined)
        await this.#ready(model, model.previous, true).catch(() => {});
      this.#choose(model);
      await this.#publish(`quarantine: ${reason}`);
      record.isOpen = false;
      if (wasOpen) await this.#options.drain(record.id);
    });
  }

  /** A version that may be tried again. */
  async forgive({ model: name, version }: VersionId): Promise<void> {
    await this.#serial(name, async () => {
      const record = this.#modelOf(name).versions.get(version);
      if (record === undefined || isServed(record)) return;
      record.triedRevision = undefined;
      record.tries = 0;
      this.#change(record, this.#options.policy === 'lazy' ? 'lazy' : 'known');
    });
    await this.#reconcileSoon(name);
  }

  async #ready(model: ModelRecord, version: string, prepare: boolean): Promise<VersionRecord> {
    let record = model.versions.get(version);
    if (record === undefined && prepare) {
      const offered = (await this.#options.look(model.name))?.known.find((one) => one.version === version);
      if (offered !== undefined) record = this.#note(model, offered);
    }
    if (record === undefined)
      throw new GatewayError(
        'NOT_FOUND',
        `model '${model.name}' has no version ${version}, or nobody has asked for it`,
      );
    if (model.isUnloaded)
      throw new GatewayError('FAILED_PRECONDITION', `model '${model.name}' was unloaded: load it first`);
    if (record.state === 'quarantined')
      throw new GatewayError('FAILED_PRECONDITION', `version ${version} is quarantined: ${record.reason}`);
    if (isServed(record)) return record;
    if (!prepare)
      throw new GatewayError(
        'FAILED_PRECONDITION',
        `version ${version} of model '${model.name}' is ${record.state}, not ready: ask for it to be prepared`,
      );
    await this.#load(record);
    return record;
  }

  /** Publishes a decision; when that cannot be written down, it was never made. */
  async #decided(model: ModelRecord, before: OperatorChoice, reason: string): Promise<void> {
    try {
      this.#choose(model, true);
      await this.#publish(reason);
    } catch (error) {
      model.choice = before;
      model.labels = labelsOf(model);
      throw error;
    }
    await this.#remember();
    this.#retireLater(model);
  }

  #isRetirable(model: ModelRecord, record: VersionRecord): boolean {
    return record.isOpen && this.#options.policy !== 'lazy' && !isNeeded(model, record);
  }

  async #retire(model: ModelRecord, record: VersionRecord): Promise<void> {
    if (!this.#isRetirable(model, record)) return;
    this.#change(record, 'draining');
    await this.#publish('retire');
    await this.#close(record);
    this.#change(record, 'unloaded', 'unloaded');
  }

  async #close(record: VersionRecord): Promise<void> {
    if (!record.isOpen) return;
    record.isOpen = false;
    await this.#options.drain(record.id);
  }

  /** Opens a version that a request asked for. @throws why it cannot be opened */
  async want(id: VersionId): Promise<void> {
    const model = this.#modelOf(id.model);
    await this.#serial(id.model, async () => {
      const record = model.versions.get(id.version);
      if (record === undefined || record.isOpen) return;
      // It stays `lazy` meanwhile: a table published for another model must not turn its callers away.
      const how = { config: undefined, onStored: () => {} };
      await this.#bring(record, how, () => {}).catch(async (error) => {
        this.#choose(model);
        await this.#publish('lazy');
        throw error;
      });
      this.#lazyOpen.set(nameOf(id), record);
      // Only now is it known by which bytes it answers.
      if (model.champion === id.version && this.#answering.get(id.model)?.spec !== record.spec)
        await this.#publish('opened on demand');
    });
  }

  /** These versions answered lately. */
  touch(names: readonly string[]): void {
    for (const name of names) this.#lazyOpen.get(name);
  }

  /** The repository index of V2. */
  index(readyOnly: boolean): IndexEntry[] {
    return [...this.#models.values()].flatMap((model) => indexOf(model, readyOnly));
  }

  /**
   * The versions whose statistics are asked for.
   * @throws NOT_FOUND, INVALID_ARGUMENT with the wire texts of protocol §8.3
   */
  readyVersions(name: string, version: string): VersionId[] {
    const ready = (models: Iterable<ModelRecord>) =>
      [...models].flatMap(({ versions }) => sorted([...versions.values()].filter(isServed)).map(({ id }) => id));
    if (name === '') return ready(this.#models.values());
    const own = ready([this.#modelOf(name)]);
    if (own.length === 0) throw new GatewayError('INVALID_ARGUMENT', `requested model '${name}' is not available`);
    if (version === '') return own;
    const found = own.filter((id) => id.version === version);
    if (found.length > 0) return found;
    throw new GatewayError('INVALID_ARGUMENT', `requested model version is not available for model '${name}'`);
  }

  has(name: string): boolean {
    return this.#models.has(name);
  }

  /**
   * Who answers callers that name no version.
   * @param isDecided an operator said so: what differs in inputs and outputs was dealt with
   */
  #choose(model: ModelRecord, isDecided = false): void {
    const next = model.isUnloaded ? undefined : championOf(model);
    const [from, to] = [model.versions.get(model.champion ?? ''), model.versions.get(next ?? '')];
    const isChange = next !== model.champion && from !== undefined && isServed(from);
    if (isChange && !isDecided && from.spec !== undefined && to?.spec !== undefined) {
      const breaches = this.#options.breaches(from.spec, to.spec);
      if (breaches.length > 0) {
        to.reason = `not the default, because it differs from ${from.id.version}: ${breaches.join('; ')}`;
        model.labels = labelsOf(model);
        return;
      }
    }
    if (next !== undefined && model.champion !== undefined && next !== model.champion) model.previous = model.champion;
    model.champion = next;
    model.labels = labelsOf(model);
  }

  /** Sends the table of what is known now to all processes; tables go out in the order they were made. */
  #publish(reason: string): Promise<void> {
    const result = this.#published.then(() => this.#sendTable(reason));
    this.#published = result.catch(() => {});
    return result;
  }

  /** The route that was sent last, by model. */
  readonly #sent = new Map<string, string>();
  /** What was published last, by model. */
  readonly #answering = new Map<
    string,
    {
      readonly version: string | undefined;
      readonly previous: string | undefined;
      readonly spec: VersionSpec | undefined;
    }
  >();

  async #sendTable(reason: string): Promise<void> {
    const changed = [...this.#models.values()].filter((model) => {
      const last = this.#answering.get(model.name);
      const spec = model.versions.get(model.champion ?? '')?.spec;
      return last?.version !== model.champion || (last?.spec !== spec && spec !== undefined);
    });
    this.#generation++;
    await Promise.all(changed.map((model) => this.#writeDown(model, reason)));
    await this.#options.publish(this.#table());
    for (const model of changed)
      this.#answering.set(model.name, {
        version: model.champion,
        previous: model.previous,
        spec: model.versions.get(model.champion ?? '')?.spec,
      });
    if (changed.length > 0) await this.#remember();
  }

  async #writeDown(model: ModelRecord, reason: string): Promise<void> {
    const last = this.#answering.get(model.name);
    try {
      await this.#options.record({
        model: model.name,
        version: model.champion,
        previous: last?.version,
        spec: model.versions.get(model.champion ?? '')?.spec,
        generation: this.#generation,
        reason,
      });
    } catch (error) {
      model.champion = last?.version;
      model.previous = last?.previous;
      model.labels = labelsOf(model);
      throw error;
    }
  }

  #remember(): Promise<void> {
    const kept: Record<string, Remembered[string]> = { ...this.#options.remembered };
    for (const { name, champion, previous, labels, choice } of this.#models.values())
      kept[name] = { champion, previous, labels, choice };
    return this.#options.remember(kept);
  }

  #table(): RouteTable {
    const routes: Record<string, Route> = {};
    for (const model of this.#models.values()) {
      const route = routeOf(model);
      routes[model.name] = route;
      this.#sent.set(model.name, JSON.stringify(route));
    }
    const missing = this.#missing();
    const isReady = missing.length === 0;
    const reason = isReady ? this.#degraded : `no ready version of ${missing.slice(0, 5).join(', ')}`;
    return { generation: this.#generation, routes, isReady, reason, isDegraded: this.#degraded !== '' };
  }

  /** Models that keep the server from being ready. */
  #missing(): string[] {
    const { policy } = this.#options;
    const readiness = this.#options.readiness();
    if (readiness === 'all' && policy === 'explicit') return [];
    const names = readiness === 'all' ? [...this.#models.keys()] : readiness;
    return names.filter((name) => {
      const model = this.#models.get(name);
      return model === undefined || (!model.isUnloaded && ![...model.versions.values()].some(isServed));
    });
  }
}

function withoutHold({ aliases, pins }: OperatorChoice): OperatorChoice {
  return { aliases, pins };
}
