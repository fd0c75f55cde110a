/**
 * What the registry knows of models and their versions, and what follows from it: the repository index, and the route of a
 * model with its default version and labels.
 *
 * Pure: records in, values out. Only the registry changes a record.
 *
 * Must not know how a version is brought or who is told.
 */
import type { AdmissionCode } from '../core/admission.js';
import type { VersionId, VersionSpec } from '../core/model.js';
import type { IndexEntry } from '../core/relay.js';
import type { Route, ServingState, VersionEntry } from '../core/route.js';
import { noFacts, type VersionFacts } from './source.js';

export type RegistryState =
  | 'known'
  | 'pulling'
  | 'admitting'
  | 'opening'
  | 'ready'
  | 'lazy'
  | 'draining'
  | 'unloaded'
  | 'refused'
  | 'failed'
  | 'quarantined';

export interface VersionRecord {
  readonly id: VersionId;
  bytes: number;
  state: RegistryState;
  reason: string;
  /** Of the content that was opened last. */
  spec: VersionSpec | undefined;
  /** Newer content that was admitted and waits for people to agree; undefined = none does. */
  next: VersionSpec | undefined;
  /** Open in the processes. Differs from `ready` under the lazy policy only. */
  isOpen: boolean;
  changedAt: number;
  facts: VersionFacts;
  /** What its source offers now. */
  revision: string;
  /** What was tried last: the same revision is not tried twice when it was refused. */
  triedRevision: string | undefined;
  tries: number;
  /** Why its trial refused it; undefined = it did not. */
  refusal: AdmissionCode | undefined;
  isWanted: boolean;
  /** A route names it: it stays, although it was rolled back from. */
  isRouted: boolean;
  /** A route has it see copies of requests and nothing else: it answers by default only when somebody says so. */
  isShadow: boolean;
  /** Its source still has it. */
  isListed: boolean;
  waiting: string | undefined;
}

/** What an operator decided for a model; survives restarts. */
export interface OperatorChoice {
  /** Labels set by hand, `champion` among them. */
  readonly aliases: Readonly<Record<string, string>>;
  /** After a rollback: this one answers as long as the automatic choice is still the one rolled back from. */
  readonly hold?: { readonly version: string; readonly revision: string; readonly to: string };
  /** Stay open and in the store. */
  readonly pins: readonly string[];
}

export const noChoice: OperatorChoice = { aliases: {}, pins: [] };

export interface ModelRecord {
  readonly name: string;
  source: string;
  readonly versions: Map<string, VersionRecord>;
  /** Of the source. */
  aliases: Readonly<Record<string, string>>;
  choice: OperatorChoice;
  champion: string | undefined;
  previous: string | undefined;
  /** By which content both were published in the last life of the process, by version. */
  answered: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  /** An operator unloaded it: it does not count for readiness. */
  isUnloaded: boolean;
}

export function newRecord(id: VersionId, isLazy: boolean, at: number): VersionRecord {
  return {
    id,
    bytes: 0,
    state: isLazy ? 'lazy' : 'known',
    reason: isLazy ? 'lazy' : '',
    spec: undefined,
    next: undefined,
    isOpen: false,
    changedAt: at,
    facts: noFacts,
    revision: '',
    triedRevision: undefined,
    tries: 0,
    refusal: undefined,
    isWanted: false,
    isRouted: false,
    isShadow: false,
    isListed: true,
    waiting: undefined,
  };
}

export function newModel(name: string, source: string): ModelRecord {
  return {
    name,
    source,
    versions: new Map(),
    aliases: {},
    choice: noChoice,
    champion: undefined,
    previous: undefined,
    answered: {},
    labels: {},
    isUnloaded: false,
  };
}

const servingStateOf: Readonly<Record<RegistryState, ServingState>> = {
  known: 'unavailable',
  pulling: 'loading',
  admitting: 'loading',
  opening: 'loading',
  ready: 'ready',
  lazy: 'lazy',
  draining: 'unloading',
  unloaded: 'unavailable',
  refused: 'unavailable',
  failed: 'unavailable',
  quarantined: 'unavailable',
};

const indexStateOf: Readonly<Record<RegistryState, string>> = {
  known: 'UNAVAILABLE',
  pulling: 'UNAVAILABLE',
  admitting: 'UNAVAILABLE',
  opening: 'LOADING',
  ready: 'READY',
  lazy: 'READY',
  draining: 'UNLOADING',
  unloaded: 'UNAVAILABLE',
  refused: 'UNAVAILABLE',
  failed: 'UNAVAILABLE',
  quarantined: 'UNAVAILABLE',
};

export function isServed({ state }: VersionRecord): boolean {
  return state === 'ready' || state === 'lazy';
}

/** Ascending by number. */
export function sorted(records: Iterable<VersionRecord>): VersionRecord[] {
  return [...records].sort((a, b) => Number(a.id.version) - Number(b.id.version));
}

/** The lines of the V2 repository index for one model. */
export function indexOf({ name, versions }: ModelRecord, readyOnly: boolean): IndexEntry[] {
  const records = sorted(versions.values());
  const isSeen = (record: VersionRecord) => record.state !== 'known' || record.waiting !== undefined;
  if (!records.some(isSeen)) return readyOnly ? [] : [{ name, version: '', state: '', reason: '' }];
  return records
    .filter((record) => isSeen(record) && (!readyOnly || isServed(record)))
    .map(({ id, state, reason }) => ({ name, version: id.version, state: indexStateOf[state], reason }));
}

export function routeOf(model: ModelRecord): Route {
  const versions = sorted(model.versions.values()).map(
    ({ id, state, reason }): VersionEntry => ({ version: id.version, state: servingStateOf[state], reason }),
  );
  return { model: model.name, versions, champion: model.champion, labels: model.labels };
}

/** What would answer if nobody had decided anything: the champion of the source, else the highest version wanted. */
export function automaticChampion(model: ModelRecord): string | undefined {
  const named = model.aliases.champion;
  if (named !== undefined && servedIn(model, named)) return named;
  const records = sorted(model.versions.values()).filter(isServed);
  if (named !== undefined && servedIn(model, model.champion)) return model.champion;
  // What its source no longer has goes on answering until something newer does.
  const eligible = records.filter(({ isShadow, isWanted, isListed }) => !isShadow && (isWanted || !isListed));
  return (eligible.at(-1) ?? records.at(-1))?.id.version;
}

/** The version that should answer callers who name none. */
export function championOf(model: ModelRecord): string | undefined {
  const { aliases, hold } = model.choice;
  if (aliases.champion !== undefined && servedIn(model, aliases.champion)) return aliases.champion;
  if (hold !== undefined && !isHoldOver(model) && servedIn(model, hold.to)) return hold.to;
  return automaticChampion(model);
}

/** It answers by default, or did before. */
export function hasAnswered({ champion, previous }: Readonly<ModelRecord>, version: string): boolean {
  return champion === version || previous === version;
}

/** It was rolled back from, and is still what it was then. */
export function isHeld({ choice, versions }: ModelRecord, version: string | undefined): boolean {
  const { hold } = choice;
  return hold !== undefined && hold.version === version && versions.get(version)?.revision === hold.revision;
}

/**
 * A hold ends when what it holds back is no longer what would answer: other content, an alias that moved, something newer.
 * That the version held back is closed meanwhile, or has newer content that waits, does not end it.
 */
export function isHoldOver(model: ModelRecord): boolean {
  const { hold } = model.choice;
  if (hold === undefined) return false;
  const held = model.versions.get(hold.version);
  if (held !== undefined && held.next === undefined && !isHeld(model, hold.version)) return true;
  const { champion } = model.aliases;
  if (champion !== undefined) return champion !== hold.version;
  return Number(automaticChampion(model) ?? 0) > Number(hold.version);
}

/** Labels that can answer: a label whose version cannot keeps the last one that could. */
export function labelsOf(model: ModelRecord): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  for (const [label, version] of Object.entries({ ...model.aliases, ...model.choice.aliases })) {
    const answering = servedIn(model, version) ? version : model.labels[label];
    if (answering !== undefined && servedIn(model, answering)) labels[label] = answering;
  }
  if (model.champion !== undefined) labels.champion = model.champion;
  return labels;
}

function servedIn(model: ModelRecord, version: string | undefined): boolean {
  const record = version === undefined ? undefined : model.versions.get(version);
  return record !== undefined && isServed(record);
}

/** An operator asked for it, so that a load brings it although the policy does not want it. */
export function isAskedFor({ choice }: ModelRecord, version: string): boolean {
  const { aliases, hold, pins } = choice;
  return pins.includes(version) || hold?.to === version || Object.values(aliases).includes(version);
}

/** Must not be closed for want of interest. */
export function isNeeded(model: ModelRecord, { id, isWanted, isRouted }: VersionRecord): boolean {
  const { version } = id;
  const { champion, labels, choice } = model;
  if (isRouted || (isWanted && !isHeld(model, version))) return true;
  return champion === version || choice.pins.includes(version) || Object.values(labels).includes(version);
}

export function withoutHold({ aliases, pins }: OperatorChoice): OperatorChoice {
  return { aliases, pins };
}
