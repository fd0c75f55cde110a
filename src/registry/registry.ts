/**
 * Which versions exist, in which state, and which of them answer. The one component that changes a version's state.
 *
 *            ┌────────────── load ◀──────────────┐
 *   known ─▶ admitting ─▶ opening ─▶ ready ─▶ draining ─▶ unloaded
 *     │          └──────────┴─▶ refused | failed            ▲
 *     └▶ lazy ─ first request ─▶ (admitting … open, still lazy) ─ idle too long ─┘
 *
 * One thing happens to a model at a time; whoever asks meanwhile waits. A failed load leaves what serves alone. What to do
 * about files, trials and processes is given as functions.
 *
 * Must not know ONNX, sockets, processes or the disk.
 */
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { IndexEntry } from '../core/relay.js';
import type { Route, RouteTable, ServingState, VersionEntry } from '../core/route.js';

/** One version that a source offers. */
export interface Offered {
  readonly version: string;
  readonly bytes: number;
}

/** A model that a source offers: which of its versions its policy wants, ascending. */
export interface OfferedModel {
  readonly name: string;
  readonly wanted: readonly Offered[];
}

export type LoadPolicy = 'eager' | 'lazy' | 'explicit';

export type RegistryState =
  | 'known'
  | 'admitting'
  | 'opening'
  | 'ready'
  | 'lazy'
  | 'draining'
  | 'unloaded'
  | 'refused'
  | 'failed';

export interface StateChange {
  readonly id: VersionId;
  readonly from: RegistryState;
  readonly to: RegistryState;
  readonly reason: string;
  readonly tookMs: number;
}

export interface RegistryOptions {
  readonly policy: LoadPolicy;
  /** What the sources offer now. */
  readonly list: () => Promise<readonly OfferedModel[]>;
  /** One model of it, read anew; undefined when it is not there. */
  readonly look: (model: string) => Promise<OfferedModel | undefined>;
  /** Reads and tries a version. @throws GatewayError with the reason why it is refused */
  readonly admit: (id: VersionId, config: string | undefined) => Promise<VersionSpec>;
  readonly open: (spec: VersionSpec) => Promise<void>;
  readonly drain: (id: VersionId) => Promise<void>;
  readonly publish: (table: RouteTable) => Promise<void>;
  readonly observe: (change: StateChange) => void;
  readonly now: () => number;
  readonly lazy: { readonly openMax: number; readonly bytesMax: number };
  /** Models that must have a ready version for the server to be ready; `all` = every one the sources offer. */
  readonly readiness: 'all' | readonly string[];
}

interface VersionRecord {
  readonly id: VersionId;
  bytes: number;
  state: RegistryState;
  reason: string;
  spec: VersionSpec | undefined;
  /** Open in the processes. Differs from `ready` under the lazy policy only. */
  isOpen: boolean;
  changedAt: number;
}

interface ModelRecord {
  readonly name: string;
  readonly versions: Map<string, VersionRecord>;
  /** An operator unloaded it: it does not count for readiness. */
  isUnloaded: boolean;
}

const served: readonly RegistryState[] = ['ready', 'lazy'];

const servingStateOf: Readonly<Record<RegistryState, ServingState>> = {
  known: 'unavailable',
  admitting: 'loading',
  opening: 'loading',
  ready: 'ready',
  lazy: 'lazy',
  draining: 'unloading',
  unloaded: 'unavailable',
  refused: 'unavailable',
  failed: 'unavailable',
};

const indexStateOf: Readonly<Record<RegistryState, string>> = {
  known: 'UNAVAILABLE',
  admitting: 'UNAVAILABLE',
  opening: 'LOADING',
  ready: 'READY',
  lazy: 'READY',
  draining: 'UNLOADING',
  unloaded: 'UNAVAILABLE',
  refused: 'UNAVAILABLE',
  failed: 'UNAVAILABLE',
};

export class Registry {
  readonly #options: RegistryOptions;
  readonly #models = new Map<string, ModelRecord>();
  /** Versions opened on demand, the least recently used first to go. */
  readonly #lazyOpen: LRUCache<string, VersionRecord>;
  /** What happens to a model, one thing after another, by name. */
  readonly #last = new Map<string, Promise<unknown>>();
  #generation = 0;
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
    for (const offered of await this.#options.list()) this.#take(offered);
    if (this.#options.policy === 'eager') {
      for (const model of this.#models.values()) {
        for (const record of model.versions.values())
          await this.#serial(model.name, () => this.#load(record).catch(() => {}));
      }
    }
    await this.#publish();
  }

  /** Versions with their states, for people. */
  *records(): Iterable<Readonly<VersionRecord>> {
    for (const model of this.#models.values()) yield* model.versions.values();
  }

  #take(offered: OfferedModel): ModelRecord {
    let model = this.#models.get(offered.name);
    if (model === undefined) {
      model = { name: offered.name, versions: new Map(), isUnloaded: false };
      this.#models.set(offered.name, model);
    }
    for (const { version, bytes } of offered.wanted) {
      const known = model.versions.get(version);
      if (known !== undefined) known.bytes = bytes;
      else model.versions.set(version, this.#record({ model: offered.name, version }, bytes));
    }
    return model;
  }

  #record(id: VersionId, bytes: number): VersionRecord {
    const state = this.#options.policy === 'lazy' ? 'lazy' : 'known';
    return {
      id,
      bytes,
      state,
      reason: state === 'lazy' ? 'lazy' : '',
      spec: undefined,
      isOpen: false,
      changedAt: this.#options.now(),
    };
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
    this.#change(record, 'admitting');
    await this.#bring(record, () => this.#change(record, 'opening'), config);
    this.#change(record, 'ready');
  }

  async #bring(record: VersionRecord, onAdmitted: () => void, config?: string): Promise<void> {
    const { id } = record;
    try {
      record.spec = await this.#options.admit(id, config);
      onAdmitted();
      await this.#options.open(record.spec);
      record.isOpen = true;
    } catch (thrown) {
      const error = GatewayError.from(thrown);
      this.#change(record, error.code === 'FAILED_PRECONDITION' ? 'refused' : 'failed', error.message);
      const text = `load failed for model '${id.model}': version ${id.version}: ${error.message}`;
      throw new GatewayError(error.code, text, { cause: error });
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
      const wanted = new Set(offered.wanted.map(({ version }) => version));
      for (const version of wanted) await this.#reload(model.versions.get(version)!, config);
      for (const record of model.versions.values())
        if (!wanted.has(record.id.version) && record.isOpen) await this.#retire(record);
      await this.#publish();
    });
  }

  /** A version that serves goes on serving until the new opening has succeeded; the processes replace one by the other. */
  async #reload(record: VersionRecord, config: string | undefined): Promise<void> {
    if (!record.isOpen) return this.#load(record, config);
    const spec = await this.#options.admit(record.id, config);
    await this.#options.open(spec);
    record.spec = spec;
  }

  /** Takes a model out of service. Requests in flight finish; files stay. Unknown models succeed. */
  async unload(name: string): Promise<void> {
    await this.#serial(name, async () => {
      const model = this.#models.get(name);
      if (model === undefined) return;
      model.isUnloaded = true;
      const open = [...model.versions.values()].filter(({ isOpen, state }) => isOpen || state === 'lazy');
      for (const record of open) this.#change(record, 'draining');
      await this.#publish();
      await Promise.all(open.map(({ id }) => this.#options.drain(id)));
      for (const record of open) {
        record.isOpen = false;
        this.#lazyOpen.delete(nameOf(record.id));
        this.#change(record, 'unloaded', 'unloaded');
      }
      await this.#publish();
    });
  }

  /** A version the policy no longer wants. */
  async #retire(record: VersionRecord): Promise<void> {
    this.#change(record, 'draining');
    await this.#publish();
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
      await this.#bring(record, () => {}).catch(async (error) => {
        await this.#publish();
        throw error;
      });
      this.#lazyOpen.set(nameOf(id), record);
    });
  }

  /** These versions answered lately. */
  touch(names: readonly string[]): void {
    for (const name of names) this.#lazyOpen.get(name);
  }

  /** The repository index of V2. */
  index(readyOnly: boolean): IndexEntry[] {
    const entries: IndexEntry[] = [];
    for (const { name, versions } of this.#models.values()) {
      const records = [...versions.values()];
      if (records.every(({ state }) => state === 'known')) {
        if (!readyOnly) entries.push({ name, version: '', state: '', reason: '' });
        continue;
      }
      for (const { id, state, reason } of sorted(records)) {
        if (state === 'known' || (readyOnly && !served.includes(state))) continue;
        entries.push({ name, version: id.version, state: indexStateOf[state], reason });
      }
    }
    return entries;
  }

  /**
   * The versions whose statistics are asked for.
   * @throws NOT_FOUND, INVALID_ARGUMENT with the wire texts of protocol §8.3
   */
  readyVersions(name: string, version: string): VersionId[] {
    if (name === '') return this.#ready([...this.#models.values()]);
    const model = this.#modelOf(name);
    const ready = this.#ready([model]);
    if (ready.length === 0) throw new GatewayError('INVALID_ARGUMENT', `requested model '${name}' is not available`);
    if (version === '') return ready;
    const found = ready.filter((id) => id.version === version);
    if (found.length > 0) return found;
    throw new GatewayError('INVALID_ARGUMENT', `requested model version is not available for model '${name}'`);
  }

  #ready(models: readonly ModelRecord[]): VersionId[] {
    return models.flatMap(({ versions }) =>
      sorted([...versions.values()].filter(({ state }) => served.includes(state))).map(({ id }) => id),
    );
  }

  has(name: string): boolean {
    return this.#models.has(name);
  }

  /** Sends the table of what is known now to all processes; tables go out in the order they were made. */
  #publish(): Promise<void> {
    const table = this.#table();
    this.#published = this.#published.then(() => this.#options.publish(table));
    return this.#published;
  }

  #table(): RouteTable {
    this.#generation++;
    const routes: Record<string, Route> = {};
    for (const model of this.#models.values()) routes[model.name] = routeOf(model);
    const missing = this.#missing();
    const reason = missing.length === 0 ? '' : `no ready version of ${missing.slice(0, 5).join(', ')}`;
    return { generation: this.#generation, routes, isReady: missing.length === 0, reason, isDegraded: false };
  }

  /** Models that keep the server from being ready. */
  #missing(): string[] {
    const { readiness, policy } = this.#options;
    if (readiness === 'all' && policy === 'explicit') return [];
    const names = readiness === 'all' ? [...this.#models.keys()] : readiness;
    return names.filter((name) => {
      const model = this.#models.get(name);
      if (model === undefined) return true;
      return !model.isUnloaded && ![...model.versions.values()].some(({ state }) => served.includes(state));
    });
  }
}

function sorted(records: readonly VersionRecord[]): VersionRecord[] {
  return [...records].sort((a, b) => Number(a.id.version) - Number(b.id.version));
}

function routeOf(model: ModelRecord): Route {
  const records = sorted([...model.versions.values()]);
  const versions = records.map(
    ({ id, state, reason }): VersionEntry => ({ version: id.version, state: servingStateOf[state], reason }),
  );
  const champion = records.filter(({ state }) => served.includes(state)).at(-1)?.id.version;
  return { model: model.name, versions, champion, labels: {} };
}
