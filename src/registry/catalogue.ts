/**
 * What all sources together offer: for each model its source, the versions that are wanted of it, and its aliases.
 *
 *   listings, one a source ─▶ model → first source that has it ─▶ selector or policy ─▶ wanted versions
 *
 * A model belongs to the first source in the order of the configuration that has it; another of the same name is passed over
 * and said so. A version that an alias names is wanted, whatever the policy says: a label must be able to answer.
 *
 * Must not know the store, or states of versions.
 */
import { isLabel, isModelName, isVersionText } from '../core/model.js';
import type { Listing, SourceModel, SourceVersion } from './source.js';

/** `all`, the newest n, or these. */
export type VersionPolicy =
  | 'all'
  | { readonly latest: { readonly n: number } }
  | { readonly specific: readonly string[] };

/** What is wanted of one model, when its policy does not say it. */
export type Selector =
  | { readonly alias: string }
  | { readonly aliases: readonly string[] }
  | { readonly tag: string }
  | { readonly versions: VersionPolicy };

export interface CatalogueSource {
  readonly name: string;
  /** Only these models, each in its own way; undefined = every model of the source. */
  readonly models: Readonly<Record<string, Selector>> | undefined;
  readonly versions: VersionPolicy | undefined;
  /** Versions need this tag, with who and when. */
  readonly approvalTag: string | undefined;
}

/** One version that a source offers. */
export interface Offered extends SourceVersion {
  /** Why it must not be taken yet although it is there. */
  readonly waiting?: string;
}

/** A model that a source offers. */
export interface OfferedModel {
  readonly name: string;
  readonly source: string;
  /** Ascending by number. */
  readonly wanted: readonly Offered[];
  /** All there are, also those that nobody wants. */
  readonly known: readonly Offered[];
  /** Versions that routes name. */
  readonly routed: readonly string[];
  /** Those of them that are only to see copies of requests. */
  readonly shadowed: readonly string[];
  readonly aliases: Readonly<Record<string, string>>;
}

export interface CatalogueOptions {
  readonly sources: readonly CatalogueSource[];
  readonly policyOf: (model: string) => VersionPolicy | undefined;
  /** What a model's own configuration wants. */
  readonly ownPolicyOf: (configName: string, text: string) => VersionPolicy | undefined;
  readonly defaultPolicy: () => VersionPolicy;
  /** Versions that routes name. */
  readonly routed: (model: string) => readonly string[];
  /** Those of them that are only to see copies of requests. */
  readonly shadowed: (model: string) => readonly string[];
  readonly ignored: (what: string) => void;
}

export class Catalogue {
  readonly #options: CatalogueOptions;
  readonly #listings = new Map<string, Listing>();
  #models: readonly OfferedModel[] | undefined;

  constructor(options: CatalogueOptions) {
    this.#options = options;
  }

  has(source: string): boolean {
    return this.#listings.has(source);
  }

  /** What the same listings would offer under other rules. */
  under(options: CatalogueOptions): readonly OfferedModel[] {
    const other = new Catalogue(options);
    for (const [source, listing] of this.#listings) other.#listings.set(source, listing);
    return other.models();
  }

  /** The rules have changed. */
  forget(): void {
    this.#models = undefined;
  }

  put(source: string, listing: Listing): void {
    this.#listings.set(source, listing);
    this.#models = undefined;
    for (const what of listing.ignored) this.#options.ignored(`${source}: ${what}`);
  }

  /** Ascending by name. */
  models(): readonly OfferedModel[] {
    this.#models ??= this.#merged();
    return this.#models;
  }

  #merged(): readonly OfferedModel[] {
    const found = new Map<string, OfferedModel>();
    for (const source of this.#options.sources) {
      for (const model of this.#listings.get(source.name)?.models ?? []) {
        if (!isModelName(model.name) || (source.models !== undefined && !Object.hasOwn(source.models, model.name)))
          continue;
        const earlier = found.get(model.name);
        if (earlier === undefined) found.set(model.name, this.#offered(source, model));
        else this.#options.ignored(`${source.name}: '${model.name}' comes from source '${earlier.source}'`);
      }
    }
    return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  model(name: string): OfferedModel | undefined {
    return this.models().find((model) => model.name === name);
  }

  #offered(source: CatalogueSource, model: SourceModel): OfferedModel {
    const known = model.versions
      .filter(({ version }) => isVersionText(version))
      .map((version) => approved(version, source.approvalTag));
    const aliases = Object.fromEntries(Object.entries(model.aliases).filter(([alias]) => isLabel(alias)));
    const selector = source.models?.[model.name];
    const wanted = this.#wanted(known, { source, model, selector, aliases });
    return {
      name: model.name,
      source: source.name,
      known,
      wanted,
      routed: this.#options.routed(model.name),
      shadowed: this.#options.shadowed(model.name),
      aliases: aliasesOf(selector, aliases),
    };
  }

  #wanted(
    known: readonly Offered[],
    of: {
      readonly source: CatalogueSource;
      readonly model: SourceModel;
      readonly selector: Selector | undefined;
      readonly aliases: Readonly<Record<string, string>>;
    },
  ): Offered[] {
    const { source, model, selector } = of;
    const aliases = aliasesOf(selector, of.aliases);
    const named = new Set([...Object.values(aliases), ...this.#options.routed(model.name)]);
    const isByAlias = selector !== undefined && !('versions' in selector);
    const { policyOf, ownPolicyOf, defaultPolicy } = this.#options;
    const { config } = model;
    const own = selector !== undefined && 'versions' in selector ? selector.versions : undefined;
    const ofModel = config === undefined ? undefined : ownPolicyOf(config.name, config.text);
    const policy = own ?? policyOf(model.name) ?? source.versions ?? ofModel ?? defaultPolicy();
    const byPolicy = new Set(isByAlias ? [] : chosen(known, policy).map(({ version }) => version));
    return known.filter(({ version }) => byPolicy.has(version) || named.has(version));
  }
}

/** The aliases that count; the one that a selector names is what callers without a version get. */
function aliasesOf(
  selector: Selector | undefined,
  aliases: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (selector === undefined || 'versions' in selector) return aliases;
  const names = 'aliases' in selector ? selector.aliases : [aliasOf(selector)];
  const counted: Record<string, string> = {};
  for (const name of names) if (aliases[name] !== undefined) counted[name] = aliases[name];
  const [first] = names;
  if (first !== undefined && counted.champion === undefined && counted[first] !== undefined)
    counted.champion = counted[first];
  return counted;
}

function aliasOf(selector: { readonly alias: string } | { readonly tag: string }): string {
  return 'alias' in selector ? selector.alias : selector.tag;
}

/** A version without the tag waits for it. */
function approved(version: SourceVersion, tag: string | undefined): Offered {
  if (tag === undefined || version.waiting !== undefined) return version;
  const { tags } = version.facts;
  const missing = [tag, `${tag}_by`, `${tag}_at`].filter((name) => (tags[name] ?? '') === '');
  const isNo = /^(false|no|0)$/i.test(tags[tag] ?? '');
  if (missing.length === 0 && !isNo) return version;
  const what = isNo
    ? `tag '${tag}' says ${tags[tag]}`
    : `it has no tag ${missing.map((name) => `'${name}'`).join(', ')}`;
  return { ...version, waiting: `waits for approval: ${what}` };
}

/** The versions that a policy wants, of versions in ascending order. */
export function chosen<V extends { readonly version: string; readonly waiting?: string | undefined }>(
  versions: readonly V[],
  policy: VersionPolicy,
): V[] {
  if (policy === 'all') return [...versions];
  if ('latest' in policy) {
    // What waits takes nobody's place: the newest n that are there, and what is newer and on its way.
    const there = versions.filter(({ waiting }) => waiting === undefined).slice(-policy.latest.n);
    return versions
      .slice(there.length === 0 ? -policy.latest.n : versions.indexOf(there[0]!))
      .filter((version) => version.waiting !== undefined || there.includes(version));
  }
  return versions.filter(({ version }) => policy.specific.includes(version));
}
