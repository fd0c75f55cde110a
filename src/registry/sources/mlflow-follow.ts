/**
 * Which versions of which models are wanted now, by alias or by version.
 *
 * Up to 20 models are asked for one by one; more of them (or all there are) come in pages, and then only those are looked
 * at closely that moved or wait for something, with the 20 that have not been looked at for the longest time: a registry of
 * thousands costs a few dozen requests a poll. An alias is read anew at every poll in either case.
 *
 * What is not there is a sentence and never an error: a model deleted by mistake must not look like a source that is down,
 * and what it serves goes on.
 *
 * Must not know files.
 */
import { GatewayError } from '../../core/errors.js';
import { isModelName, isVersionText } from '../../core/model.js';
import type { Selector, VersionPolicy } from '../catalogue.js';
import type { Listing } from '../source.js';
import type { ModelVersion, RegisteredModel } from './mlflow-answers.js';
import type { MlflowApi } from './mlflow-api.js';
import { isFailed, waitingOf } from './mlflow-facts.js';
import { byNumber, Found, gone, type Look } from './mlflow-found.js';

interface Seen extends Look {
  /** What the registry said of the model as a whole when it was looked at. */
  readonly state: string;
  readonly poll: number;
}

const singlyMax = 20;
const refreshedMax = 20;
const looksAtOnce = 4;
const versionsMax = 10_000;

export class Following {
  readonly #api: MlflowApi;
  readonly #wanted: Readonly<Record<string, Selector>> | undefined;
  #seen: ReadonlyMap<string, Seen> = new Map();
  #poll = 0;

  /** @param wanted by model; undefined = every registered model */
  constructor(api: MlflowApi, wanted: Readonly<Record<string, Selector>> | undefined) {
    this.#api = api;
    this.#wanted = wanted;
  }

  async look(signal: AbortSignal): Promise<Listing> {
    const wanted = this.#wanted;
    const isSingly = wanted !== undefined && Object.keys(wanted).length <= singlyMax;
    const registered = isSingly ? undefined : await this.#api.models(signal);
    const names = (wanted === undefined ? [...registered!.keys()] : Object.keys(wanted)).sort();
    const strange = names.filter((name) => !isModelName(name));
    const seen = await this.#looked(names.filter(isModelName), registered, signal);
    const looks = [...seen.values()];
    this.#seen = seen;
    return {
      models: looks.flatMap(({ model }) => (model === undefined ? [] : [model])),
      ignored: [
        ...strange.map((name) => `${JSON.stringify(name.slice(0, 128))}: not a model name`),
        ...looks.flatMap(({ ignored }) => ignored),
      ],
    };
  }

  async #looked(
    names: readonly string[],
    registered: ReadonlyMap<string, RegisteredModel> | undefined,
    signal: AbortSignal,
  ): Promise<Map<string, Seen>> {
    const poll = ++this.#poll;
    const kept = this.#kept(names, registered);
    const looked = await mapped(names, looksAtOnce, async (name): Promise<[string, Seen]> => {
      const known = kept.get(name);
      if (known !== undefined) return [name, known];
      const model = registered?.get(name);
      const look = registered !== undefined && model === undefined ? gone(name) : await this.#look(name, model, signal);
      return [name, { ...look, state: stateOf(model), poll }];
    });
    return new Map(looked);
  }

  /** What need not be looked at again at this poll. */
  #kept(names: readonly string[], registered: ReadonlyMap<string, RegisteredModel> | undefined): Map<string, Seen> {
    if (registered === undefined) return new Map();
    const still: [string, Seen][] = [];
    for (const name of names) {
      const seen = this.#seen.get(name);
      const isSettled = seen?.model?.versions.every(({ waiting }) => waiting === undefined) === true;
      if (isSettled && seen.state === stateOf(registered.get(name))) still.push([name, seen]);
    }
    still.sort(([, a], [, b]) => a.poll - b.poll);
    return new Map(still.slice(refreshedMax));
  }

  /** @param registered where the pages have told it already */
  async #look(name: string, registered: RegisteredModel | undefined, signal: AbortSignal): Promise<Look> {
    const selector = this.#wanted?.[name] ?? { versions: 'all' };
    const found = new Found(name);
    try {
      if ('versions' in selector) await this.#byPolicy(selector.versions, found, registered, signal);
      else await this.#byAlias(aliasesIn(selector), found, registered, signal);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'NOT_FOUND') return gone(name);
      throw error;
    }
    return found.look();
  }

  async #byAlias(
    aliases: readonly string[],
    found: Found,
    registered: RegisteredModel | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    for (const alias of aliases) {
      const version =
        registered === undefined
          ? await this.#api.byAlias(found.name, alias, signal)
          : await this.#target(registered, alias, signal);
      if (version === undefined) found.ignore(`alias '${alias}' is not set, or its version is gone`);
      else found.add(version, [alias, ...(version.aliases ?? [])]);
    }
  }

  async #target(registered: RegisteredModel, alias: string, signal: AbortSignal): Promise<ModelVersion | undefined> {
    const target = registered.aliases.find((candidate) => candidate.alias === alias);
    return target && (await this.#version(registered.name, target.version, signal));
  }

  async #byPolicy(
    policy: VersionPolicy,
    found: Found,
    registered: RegisteredModel | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { aliases } = registered ?? (await this.#api.model(found.name, signal));
    const aliasesOf = (version: string) =>
      aliases.filter((alias) => alias.version === version).map(({ alias }) => alias);
    for (const version of await this.#versions(policy, found, signal)) found.add(version, aliasesOf(version.version));
    // What an alias points to is wanted whatever the policy says: requests may name it.
    for (const version of new Set(aliases.map((alias) => alias.version))) {
      if (found.has(version)) continue;
      const pointed = await this.#version(found.name, version, signal);
      if (pointed !== undefined) found.add(pointed, aliasesOf(version));
      else found.ignore(`an alias points to version ${version.slice(0, 32)}, which is not there`);
    }
  }

  async #versions(policy: VersionPolicy, found: Found, signal: AbortSignal): Promise<readonly ModelVersion[]> {
    if (policy !== 'all' && 'specific' in policy) {
      const versions: ModelVersion[] = [];
      for (const version of policy.specific) {
        const given = await this.#version(found.name, version, signal);
        if (given === undefined) found.ignore(`version ${version} is not there`);
        else versions.push(given);
      }
      return versions;
    }
    const all = [...(await this.#api.versions(found.name, signal)).values()].sort(byNumber);
    const failed = all.filter(isFailed);
    for (const { version } of failed) found.ignore(`version ${version}: its registration failed`);
    const others = all.filter((version) => !isFailed(version));
    return policy === 'all' ? others.slice(-versionsMax) : newest(others, policy.latest.n);
  }

  async #version(name: string, version: string, signal: AbortSignal): Promise<ModelVersion | undefined> {
    if (!isVersionText(version)) return undefined;
    try {
      return await this.#api.version(name, version, signal);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }
}

/** The n newest that are ready, and those still newer that are on their way: they must not push a ready one out. */
function newest(versions: readonly ModelVersion[], n: number): readonly ModelVersion[] {
  const ready = versions.filter((version) => waitingOf(version) === undefined).slice(-n);
  const oldest = ready[0];
  return oldest === undefined ? versions.slice(-n) : versions.slice(versions.indexOf(oldest));
}

/** A tag is an alias by another name; MLflow's own tags are text on a version. */
function aliasesIn(selector: Exclude<Selector, { readonly versions: VersionPolicy }>): readonly string[] {
  if ('aliases' in selector) return selector.aliases;
  return ['alias' in selector ? selector.alias : selector.tag];
}

/** Everything that a page says about a model and that a closer look depends on. */
function stateOf(model: RegisteredModel | undefined): string {
  if (model === undefined) return '';
  const aliases = model.aliases.map(({ alias, version }) => `${alias}=${version}`).sort();
  return [model.last_updated_timestamp, ...aliases].join(' ');
}

/** In order, with so many at a time. */
async function mapped<A, B>(items: readonly A[], atOnce: number, one: (item: A) => Promise<B>): Promise<B[]> {
  const results: B[] = new Array(items.length);
  let next = 0;
  const walk = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results[at] = await one(items[at]!);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, walk));
  return results;
}
