/**
 * The models and versions that the registry knows: what sources offer is taken up here, and what people and programs ask of
 * the whole is answered from here.
 *
 * Must not know how a version is brought, or which one is to answer.
 */
import { GatewayError } from '../core/errors.js';
import type { VersionId, VersionSpec } from '../core/model.js';
import type { IndexEntry } from '../core/relay.js';
import type { Offered, OfferedModel } from './catalogue.js';
import type { RegistryOptions } from './registry-options.js';
import {
  indexOf,
  isAskedFor,
  isNeeded,
  isServed,
  type ModelRecord,
  newModel,
  newRecord,
  sorted,
  type VersionRecord,
} from './versions.js';

type RecordsOptions = Pick<RegistryOptions, 'policy' | 'remembered' | 'storedSha256' | 'sharedAs' | 'now'>;

export class Records {
  readonly #options: RecordsOptions;
  readonly #models = new Map<string, ModelRecord>();

  constructor(options: RecordsOptions) {
    this.#options = options;
  }

  models(): Iterable<ModelRecord> {
    return this.#models.values();
  }

  names(): Iterable<string> {
    return this.#models.keys();
  }

  find(name: string): ModelRecord | undefined {
    return this.#models.get(name);
  }

  /** @throws NOT_FOUND */
  modelOf(name: string): ModelRecord {
    const model = this.#models.get(name);
    if (model === undefined) throw new GatewayError('NOT_FOUND', `Request for unknown model: '${name}' is not found`);
    return model;
  }

  /** What a source offers of a model; what it no longer lists stays known. */
  take(offered: OfferedModel): ModelRecord {
    const model = this.#models.get(offered.name) ?? this.#added(offered);
    model.source = offered.source;
    model.aliases = offered.aliases;
    for (const record of model.versions.values()) {
      record.isListed = false;
      record.isWanted = false;
    }
    const wanted = new Set(offered.wanted.map(({ version }) => version));
    for (const one of offered.known) if (wanted.has(one.version) || isChosen(model, one)) this.note(model, one);
    for (const version of wanted) model.versions.get(version)!.isWanted = true;
    for (const record of model.versions.values()) {
      record.isRouted = offered.routed.includes(record.id.version);
      record.isShadow = offered.shadowed.includes(record.id.version);
    }
    this.#recall(model);
    return model;
  }

  #added({ name, source }: OfferedModel): ModelRecord {
    const model = newModel(name, source);
    const kept = this.#options.remembered[name];
    if (kept !== undefined) {
      model.choice = kept.choice;
      model.champion = kept.champion;
      model.previous = kept.previous;
      model.answered = kept.answered ?? {};
      model.labels = kept.labels;
    }
    this.#models.set(name, model);
    return model;
  }

  /** What answered in the last life of the process and is no longer listed is in the store. */
  #recall(model: ModelRecord): void {
    const { champion } = model;
    if (champion === undefined || model.versions.has(champion)) return;
    this.unlisted(model, champion);
  }

  /** A version that no source lists, and that the store may have. */
  unlisted(model: ModelRecord, version: string): VersionRecord {
    const record = this.#newIn(model, version);
    record.isListed = false;
    return record;
  }

  /** One version that a source offers. */
  note(model: ModelRecord, offered: Offered): VersionRecord {
    const { version, revision, bytes, facts, waiting } = offered;
    const record = model.versions.get(version) ?? this.#newIn(model, version);
    if (record.revision !== revision) record.tries = 0;
    record.bytes = bytes ?? record.bytes;
    record.facts = facts;
    record.revision = revision;
    record.isListed = true;
    record.waiting = waiting;
    if (record.state === 'known') record.reason = waiting ?? '';
    return record;
  }

  #newIn(model: ModelRecord, version: string): VersionRecord {
    const { policy, now } = this.#options;
    const record = newRecord({ model: model.name, version }, policy === 'lazy', now());
    model.versions.set(version, record);
    return record;
  }

  /**
   * Artifacts that must stay in the store: what answers, what did before, what has a label or a pin, what is open. Of a version
   * that was not opened since the start that by which it has its place, else what the store has.
   */
  kept(): Set<string> {
    const kept = new Set<string>();
    const { storedSha256, sharedAs } = this.#options;
    const keep = ({ source, answered }: ModelRecord, id: VersionId, spec?: VersionSpec) => {
      const sha256 = spec?.artifact?.sha256 ?? answered[id.version] ?? sharedAs(id) ?? storedSha256(id, source);
      if (sha256 !== undefined) kept.add(sha256);
    };
    for (const model of this.#models.values()) {
      const { name, previous, versions } = model;
      for (const record of versions.values())
        if (record.isOpen || isNeeded(model, record)) keep(model, record.id, record.spec);
      if (previous !== undefined) keep(model, { model: name, version: previous }, versions.get(previous)?.spec);
    }
    return kept;
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
    const own = ready([this.modelOf(name)]);
    if (own.length === 0) throw new GatewayError('INVALID_ARGUMENT', `requested model '${name}' is not available`);
    if (version === '') return own;
    const found = own.filter((id) => id.version === version);
    if (found.length > 0) return found;
    throw new GatewayError('INVALID_ARGUMENT', `requested model version is not available for model '${name}'`);
  }
}

/** Of versions that the policy does not want, those that an operator or the last life of the process asks for. */
function isChosen(model: ModelRecord, { version }: Offered): boolean {
  const { versions, champion, labels } = model;
  const didAnswer = champion === version || Object.values(labels).includes(version);
  return versions.has(version) || didAnswer || isAskedFor(model, version);
}
