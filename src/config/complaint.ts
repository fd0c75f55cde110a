/**
 * Sentences about what is wrong with a value or a name: expected this, got that, did you mean the other.
 *
 * Must not know where values come from.
 */
import type { z } from 'zod';
import { nearest } from '../core/nearest.js';
import { overrideOptions } from './model-overrides.js';
import { factsOf } from './option.js';
import { type Option, optionByFlag, optionByPath, optionByVariable, shortFlags } from './options.js';

function hint(candidate: string | undefined): string {
  return candidate === undefined ? '' : `, did you mean ${candidate}?`;
}

/** The nearest path; a last part that exists elsewhere (`port`) counts as near, too. */
export function unknownKey(path: string): string {
  const last = path.split('.').at(-1)!;
  const paths = [...optionByPath.keys()];
  const groups = paths.flatMap((known) => known.split('.').slice(0, -1));
  return `unknown option${hint(nearest(path, [...paths, ...groups]) ?? paths.find((known) => known.endsWith(`.${last}`)))}`;
}

export function unknownVariable(name: string): string {
  return `unknown variable${hint(nearest(name, optionByVariable.keys()))}`;
}

/** @param more flags of the command that are no options */
export function unknownFlag(name: string, more: readonly string[]): string {
  const candidate = nearest(name, [...more, ...Object.keys(shortFlags), ...optionByFlag.keys()]);
  return `unknown flag${hint(candidate === undefined ? undefined : `--${candidate}`)}`;
}

/** One complaint of the schema as our own sentence; overrides of models and routes have an inside to point into. */
export function wrongValue(option: Option, value: unknown, issue: z.core.$ZodIssue): string {
  if (option.facts.isSecret) return `expected ${option.facts.expected}, got something else`;
  if (option.path === 'routes') return wrongInside(routesInside, value, issue);
  if (option.path === 'prediction_log.sinks') return wrongInside(sinksInside, value, issue);
  if (option.path !== 'model_overrides' || issue.path.length === 0) {
    return `expected ${option.facts.expected}, got ${shown(value)}`;
  }
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    return `${path}.${key}: unknown option${hint(nearest(key, Object.keys(overrideOptions)))}`;
  }
  const inner = overrideOptions[String(issue.path[1])];
  const expected = inner === undefined ? 'options of the model' : factsOf(inner).expected;
  return `${path}: expected ${expected}, got ${shown(at(value, issue.path.slice(0, 2)))}`;
}

/** What is known of an option whose value has an inside to point into. */
interface Inside {
  /** Keys that may have been meant. */
  readonly keys: readonly string[];
  readonly whole: string;
}

function wrongInside(inside: Inside, value: unknown, issue: z.core.$ZodIssue): string {
  const { path, message } = insideComplaint(inside, value, issue);
  return path === '' ? message : `${path}: ${message}`;
}

/** One complaint about routes: the path of the key, what was expected and what came. */
export function routeComplaint(value: unknown, issue: z.core.$ZodIssue): { path: string; message: string } {
  return insideComplaint(routesInside, value, issue);
}

function insideComplaint({ keys, whole }: Inside, value: unknown, issue: z.core.$ZodIssue) {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return {
      path: [...path, issue.keys[0]!].join('.'),
      message: `unknown option${hint(nearest(issue.keys[0]!, keys))}`,
    };
  }
  // A name that is no name is told by the rule of names; a record reports it from outside.
  const inner = issue.code === 'invalid_key' ? issue.issues[0] : issue;
  const message = inner?.message.startsWith('expected') ? inner.message : `expected ${whole}`;
  return { path: path.join('.'), message: `${message}, got ${shown(at(value, issue.path))}` };
}

const routesInside: Inside = {
  whole: 'routes by model',
  keys: 'experiment key no_key salt default variants coverage layer holdout targeting overrides shadows canary readout version alias model weight header allow keys when name range percent steps guardrails alpha method tau2 planned_n'.split(
    ' ',
  ),
};

const sinksInside: Inside = {
  whole: 'a list of sinks',
  keys: 'name type url auth token_env user_env password_env allow_private ca_file allow_http max_retry_ms max_batch_rows max_batch_bytes timeout_ms subject namespace endpoint region force_path_style'.split(
    ' ',
  ),
};

/** The value there, or the one on the way in which nothing more can be. */
function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce(
    (inner, key) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : inner,
    value,
  );
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
