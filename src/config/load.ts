/**
 * Flag > environment > file > default → one frozen configuration, and where each of its values came from.
 *
 * Every value is checked at its own origin, so that a message names the flag, the variable or the line that is wrong. All
 * problems are found in one go. A key that nobody knows is a problem, too: a mistyped limit must not be a limit that is off.
 *
 * Must not know rooms. The disk is read in `config/read.ts`.
 */
import { parse as parseYaml } from 'yaml';
import { invalid } from '../core/errors.js';
import { checkTogether } from './agreement.js';
import { unknownFlag, unknownKey, unknownVariable, wrongValue } from './complaint.js';
import { type Option, optionByFlag, optionByVariable, options, shortFlags } from './options.js';
import type { Config } from './schema.js';
import { openSource } from './source.js';

/** What is wrong, and where: the line of a file, a variable, a flag. */
export interface Problem {
  readonly where: string;
  readonly message: string;
}

export interface Sources {
  /** By name without dashes; true = the flag stood without a value. */
  readonly flags?: Readonly<Record<string, string | true>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly file?: { readonly name: string; readonly text: string } | undefined;
}

export interface Loaded {
  readonly config: Config;
  /** By option path: `flag --http-port`, `env SLUICE_HTTP_PORT`, `file sluice.yaml:3`, `default`. */
  readonly origins: ReadonlyMap<string, string>;
}

interface Given {
  readonly value: unknown;
  readonly where: string;
  readonly origin: string;
}

/** @throws INVALID_ARGUMENT whose message has one line for each problem */
export function loadConfig(sources: Sources): Loaded {
  const { loaded, problems } = resolveConfig(sources);
  if (problems.length > 0) throw invalid(problems.map(({ where, message }) => `${where}: ${message}`).join('\n'));
  return loaded;
}

/** The same, with the problems as a list; where there are some, defaults stand in for what is wrong. */
export function resolveConfig(sources: Sources): { readonly loaded: Loaded; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const given = new Map<string, Given>();
  takeFile(sources.file, given, problems);
  takeVariables(sources.env ?? {}, given, problems);
  takeFlags(sources.flags ?? {}, given, problems);

  const config: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  for (const option of options) {
    const { value, origin } = checkedValue(option, given.get(option.path), problems);
    setAt(config, option.path.split('.'), value);
    origins.set(option.path, origin);
  }
  const loaded: Loaded = { config: freeze(config) as unknown as Config, origins };
  if (problems.length === 0) {
    for (const { path, message } of checkTogether(loaded.config))
      problems.push({ where: whereOf(path, loaded), message });
  }
  return { loaded, problems };
}

function whereOf(path: string, { origins }: Loaded): string {
  const origin = origins.get(path) ?? 'default';
  return origin === 'default' ? path : `${origin.replace(/^\S+ /, '')}: ${path}`;
}

function checkedValue(
  option: Option,
  given: Given | undefined,
  problems: Problem[],
): { value: unknown; origin: string } {
  if (given === undefined) return { value: option.fallback, origin: 'default' };
  const result = option.schema.safeParse(given.value);
  if (result.success) return { value: result.data, origin: given.origin };
  for (const issue of result.error.issues) {
    problems.push({ where: given.where, message: wrongValue(option, given.value, issue) });
  }
  return { value: option.fallback, origin: 'default' };
}

function takeFile(file: Sources['file'], given: Map<string, Given>, problems: Problem[]): void {
  if (file === undefined) return;
  const source = openSource(file.name, file.text);
  problems.push(...source.problems);
  for (const { path, value, line } of source.entries) {
    const where = `${file.name}:${line}: ${path}`;
    const option = options.find((candidate) => candidate.path === path);
    if (option === undefined) problems.push({ where, message: unknownKey(path) });
    else given.set(path, { value, where, origin: `file ${file.name}:${line}` });
  }
}

/**
 * Variables that a cluster sets for a service named `sluice`: `SLUICE_PORT=tcp://…`, `SLUICE_SERVICE_HOST`. They are not meant
 * for us, and refusing them would make the gateway depend on the name of its own service.
 */
function isOfCluster(name: string, value: string): boolean {
  return /^(tcp|udp|sctp):\/\//.test(value) || /_SERVICE_(HOST|PORT)(_|$)|_PORT_[0-9]+_(TCP|UDP|SCTP)(_|$)/.test(name);
}

/** `SLUICE_CONFIG` names the file. */
const otherVariables = new Set(['SLUICE_CONFIG']);

function takeVariables(env: NonNullable<Sources['env']>, given: Map<string, Given>, problems: Problem[]): void {
  for (const [name, value] of Object.entries(env)) {
    // An empty variable is what deployment templates make of "not set".
    if (!name.startsWith('SLUICE_') || value === undefined || value === '' || otherVariables.has(name)) continue;
    if (isOfCluster(name, value)) continue;
    const option = optionByVariable.get(name);
    if (option === undefined) problems.push({ where: name, message: unknownVariable(name) });
    else take(option, value, { where: name, origin: `env ${name}` }, { given, problems });
  }
}

function takeFlags(flags: NonNullable<Sources['flags']>, given: Map<string, Given>, problems: Problem[]): void {
  const isShort = (name: string) => Object.hasOwn(shortFlags, name);
  const names = Object.keys(flags).sort((a, b) => Number(isShort(b)) - Number(isShort(a)));
  for (const name of names) {
    const place = { where: `--${name}`, origin: `flag --${name}` };
    const value = flags[name] === true ? 'true' : flags[name]!;
    const targets = isShort(name)
      ? options.filter((option) => shortFlags[name]!.includes(option.path))
      : [optionByFlag.get(name)].filter((option) => option !== undefined);
    if (targets.length === 0) problems.push({ where: `--${name}`, message: unknownFlag(name, []) });
    for (const option of targets) take(option, value, place, { given, problems });
  }
}

interface Taking {
  readonly given: Map<string, Given>;
  readonly problems: Problem[];
}

/** A value that came as text; what is more than a word is written as YAML. */
function take(option: Option, value: string, place: Omit<Given, 'value'>, { given, problems }: Taking): void {
  if (!option.facts.isStructure) {
    given.set(option.path, { value, ...place });
    return;
  }
  try {
    given.set(option.path, { value: parseYaml(value, { maxAliasCount: 0 }), ...place });
  } catch {
    problems.push({ where: place.where, message: `expected ${option.facts.expected}, got text that is not YAML` });
  }
}

function setAt(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = target;
  for (const key of path.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Record<string, unknown>;
  }
  at[path.at(-1)!] = value;
}

function freeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze);
  return value;
}
