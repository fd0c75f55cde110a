/**
 * The registry of the fake MLflow: models, versions, aliases, and the refusals that MLflow gives for each of them.
 *
 * Must not know HTTP.
 */

export class Fault extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const invalidParameter = (message: string) => new Fault(400, 'INVALID_PARAMETER_VALUE', message);
const missing = (message: string) => new Fault(404, 'RESOURCE_DOES_NOT_EXIST', message);

export interface Version {
  readonly name: string;
  readonly version: string;
  readonly created: number;
  updated: number;
  stage: string;
  description: string;
  readonly source: string;
  readonly runId: string;
  status: string;
  statusMessage: string;
  readonly tags: Map<string, string>;
  /** 3.x only. */
  readonly modelId: string;
  readonly metrics: Readonly<Record<string, number>>;
  /** What get-download-uri answers; the source where it is not set. */
  location: string;
}

export interface Model {
  readonly name: string;
  readonly created: number;
  updated: number;
  description: string;
  readonly tags: Map<string, string>;
  readonly aliases: Map<string, string>;
  readonly versions: Map<string, Version>;
  /** Numbers of deleted versions are not given again. */
  numbered: number;
}

export interface NewVersion {
  readonly source: string;
  readonly runId?: string;
  readonly description?: string;
  readonly status?: string;
  readonly statusMessage?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly modelId?: string;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly location?: string;
}

export class Registry {
  readonly models = new Map<string, Model>();
  /** Metrics and artifact root by run. */
  readonly runs = new Map<
    string,
    { readonly artifactUri: string; readonly metrics: Readonly<Record<string, number>> }
  >();
  /** Artifact location by id of a logged model. */
  readonly loggedModels = new Map<string, string>();
  #clock = 1_760_000_000_000;

  /** Every reading is later than the one before. */
  #now(): number {
    return ++this.#clock;
  }

  createModel(name: string, description = ''): Model {
    if (this.models.has(name)) {
      throw new Fault(400, 'RESOURCE_ALREADY_EXISTS', `Registered Model (name=${name}) already exists.`);
    }
    const at = this.#now();
    const maps = { tags: new Map(), aliases: new Map(), versions: new Map() };
    const model: Model = { name, created: at, updated: at, description, ...maps, numbered: 0 };
    this.models.set(name, model);
    return model;
  }

  model(name: string): Model {
    const model = this.models.get(name);
    if (model === undefined) throw missing(`Registered Model with name=${name} not found`);
    return model;
  }

  deleteModel(name: string): void {
    this.model(name);
    this.models.delete(name);
  }

  createVersion(name: string, given: NewVersion): Version {
    const model = this.model(name);
    const { source, runId = '' } = given;
    const shown = `Invalid model version source: '${source}'.`;
    if (source.split('/').includes('..')) throw invalidParameter(`${shown} Using '..' in it is not allowed.`);
    if (/^(\/|file:)/.test(source) && runId === '') {
      throw invalidParameter(`${shown} To use a local path as a model version source, the run_id must be given.`);
    }
    const at = this.#now();
    model.numbered++;
    model.updated = at;
    const version: Version = {
      name,
      version: String(model.numbered),
      created: at,
      updated: at,
      stage: 'None',
      description: given.description ?? '',
      source,
      runId,
      status: given.status ?? 'READY',
      statusMessage: given.statusMessage ?? '',
      tags: new Map(Object.entries(given.tags ?? {})),
      modelId: given.modelId ?? '',
      metrics: given.metrics ?? {},
      location: given.location ?? '',
    };
    model.versions.set(version.version, version);
    return version;
  }

  version(name: string, number: string): Version {
    const version = this.models.get(name)?.versions.get(number);
    if (version === undefined) throw missing(`Model Version (name=${name}, version=${number}) not found`);
    return version;
  }

  deleteVersion(name: string, number: string): void {
    this.version(name, number);
    const model = this.model(name);
    model.versions.delete(number);
    model.updated = this.#now();
    for (const [alias, version] of model.aliases) if (version === number) model.aliases.delete(alias);
  }

  transition(name: string, number: string, stage: string): Version {
    const version = this.version(name, number);
    const stages = ['None', 'Staging', 'Production', 'Archived'];
    if (!stages.includes(stage)) throw invalidParameter(`Invalid Model Version stage: ${stage}.`);
    version.stage = stage;
    version.updated = this.#now();
    this.model(name).updated = version.updated;
    return version;
  }

  setAlias(name: string, alias: string, number: string): void {
    if (/^[vV]\d+$/.test(alias)) {
      throw invalidParameter(
        `Version aliases must not match 'v<number>', it is reserved. Invalid alias name: '${alias}'`,
      );
    }
    if (alias === 'latest') throw invalidParameter("'latest' alias name (case insensitive) is reserved.");
    this.version(name, number);
    this.model(name).aliases.set(alias, number);
  }

  deleteAlias(name: string, alias: string): void {
    this.model(name).aliases.delete(alias);
  }

  byAlias(name: string, alias: string): Version {
    const number = this.model(name).aliases.get(alias);
    if (number === undefined) throw invalidParameter(`Registered model alias ${alias} not found.`);
    return this.version(name, number);
  }

  /** The newest of each stage. */
  latest(model: Model, stages: readonly string[] = []): Version[] {
    const newest = new Map<string, Version>();
    for (const version of model.versions.values()) newest.set(version.stage, version);
    return [...newest.values()].filter(({ stage }) => stages.length === 0 || stages.includes(stage));
  }
}
