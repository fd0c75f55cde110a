/**
 * What one look at a registered model has found: versions, aliases, and a sentence for each thing passed over.
 *
 * Names come from the registry and are checked here, so that nothing else has to.
 *
 * Must not know requests.
 */
import { isLabel, isVersionText } from '../../core/model.js';
import type { SourceModel, SourceVersion } from '../source.js';
import type { ModelVersion } from './mlflow-answers.js';
import { factsOf, revisionOf, waitingOf } from './mlflow-facts.js';

export interface Look {
  readonly model: SourceModel | undefined;
  readonly ignored: readonly string[];
}

/** What has been found of one model. */
export class Found {
  readonly name: string;
  readonly #versions = new Map<string, SourceVersion>();
  readonly #aliases: Record<string, string> = {};
  readonly #ignored: string[] = [];

  constructor(name: string) {
    this.name = name;
  }

  has(version: string): boolean {
    return this.#versions.has(version);
  }

  add(version: ModelVersion, aliases: readonly string[]): void {
    if (version.name !== this.name || !isVersionText(version.version)) {
      this.ignore(`version ${JSON.stringify(version.version.slice(0, 32))} is not a version of it`);
      return;
    }
    this.#versions.set(version.version, {
      version: version.version,
      revision: revisionOf(version),
      bytes: undefined,
      facts: factsOf(version),
      ...waiting(version),
    });
    for (const alias of aliases) {
      if (isLabel(alias)) this.#aliases[alias] = version.version;
      else this.ignore(`alias ${JSON.stringify(alias.slice(0, 64))} is not a name for an alias here`);
    }
  }

  ignore(reason: string): void {
    this.#ignored.push(`${this.name}: ${reason}`);
  }

  look(): Look {
    const versions = [...this.#versions.values()].sort(byNumber);
    const aliases = Object.entries(this.#aliases).sort(([a], [b]) => (a < b ? -1 : 1));
    const model = { name: this.name, versions, aliases: Object.fromEntries(aliases) };
    return { model, ignored: [...new Set(this.#ignored)].sort() };
  }
}

function waiting(version: ModelVersion): { waiting?: string } {
  const reason = waitingOf(version);
  return reason === undefined ? {} : { waiting: reason };
}

/** A model that is not registered, or not any more. */
export function gone(name: string): Look {
  return { model: undefined, ignored: [`${name}: there is no such registered model`] };
}

/** Ascending. */
export function byNumber(a: { readonly version: string }, b: { readonly version: string }): number {
  return Number(a.version) - Number(b.version);
}
