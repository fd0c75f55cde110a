/**
 * What callers of a model rely on, and what a next version would take from them.
 *
 * Callers send inputs and read outputs: an input may accept more than before and an output may promise more, never less.
 * Meaning counts like form: features and labels in another order give wrong answers without an error.
 *
 * Pure functions. Must not know where versions come from or what is done about a breach.
 */
import type { Signature } from '../core/model.js';
import { shapeText, type TensorSpec } from '../core/tensor.js';
import type { Manifest } from './manifest.js';

type Feature = Pick<NonNullable<Manifest['features']>[number], 'name' | 'input' | 'column' | 'kind'>;

export interface Contract {
  readonly signature: Signature;
  /** Class labels by output; an output without an entry has none that anybody could rely on. */
  readonly labels: Readonly<Record<string, readonly string[]>>;
  /** Undefined when the manifest says nothing about them. */
  readonly features: readonly Feature[] | undefined;
}

/** One thing that is not as it was. */
export interface ContractChange {
  /** `input 'x'`. */
  readonly what: string;
  /** Undefined = there was none. */
  readonly from: string | undefined;
  /** Undefined = there is none any more. */
  readonly to: string | undefined;
  /** The rule that callers rely on and that this breaks; undefined = they will not notice. */
  readonly rule: string | undefined;
}

/** @returns one sentence for each breach, naming what it is about, old and new; none when callers will not notice */
export function contractBreaches(old: Contract, next: Contract): string[] {
  return contractChanges(old, next).flatMap(({ what, from = 'not there', to = 'gone', rule }) =>
    rule === undefined ? [] : [`${what}: was ${from}, is ${to}; ${rule}`],
  );
}

/** All that differs, whether callers notice or not. */
export function contractChanges(old: Contract, next: Contract): ContractChange[] {
  return [
    ...tensorChanges(old.signature.inputs, next.signature.inputs, inputRules),
    ...tensorChanges(old.signature.outputs, next.signature.outputs, outputRules),
    ...labelChanges(old.labels, next.labels),
    ...featureChanges(old.features, next.features),
  ];
}

interface TensorRules {
  readonly kind: 'input' | 'output';
  readonly added: string | undefined;
  readonly gone: string;
  readonly dimension: string;
  /** Whether a dimension that was `before` may be `now`. */
  readonly mayBe: (before: number, now: number) => boolean;
}

const inputRules: TensorRules = {
  kind: 'input',
  added: 'callers do not send it',
  gone: 'callers send it',
  dimension: 'may become -1 and nothing else',
  mayBe: (before, now) => now === -1 || now === before,
};

const outputRules: TensorRules = {
  kind: 'output',
  added: undefined,
  gone: 'callers read it',
  dimension: 'may become fixed and nothing else',
  mayBe: (before, now) => before === -1 || now === before,
};

function tensorChanges(
  old: readonly TensorSpec[],
  next: readonly TensorSpec[],
  rules: TensorRules,
): readonly ContractChange[] {
  const named = ({ name }: TensorSpec) => `${rules.kind} '${name}'`;
  const kept = old.flatMap((before): ContractChange[] => {
    const now = next.find(({ name }) => name === before.name);
    const change = { what: named(before), from: textOf(before) };
    if (now === undefined) return [{ ...change, to: undefined, rule: rules.gone }];
    const to = textOf(now);
    return to === change.from ? [] : [{ ...change, to, rule: tensorRule(before, now, rules) }];
  });
  const added = next.filter(({ name }) => !old.some((spec) => spec.name === name));
  return [
    ...kept,
    ...added.map((spec) => ({ what: named(spec), from: undefined, to: textOf(spec), rule: rules.added })),
  ];
}

function tensorRule(before: TensorSpec, now: TensorSpec, { dimension, mayBe }: TensorRules): string | undefined {
  if (now.datatype !== before.datatype) return 'the datatype must stay';
  if (now.shape.length !== before.shape.length) return 'the number of dimensions must stay';
  const axis = before.shape.findIndex((size, index) => !mayBe(size, now.shape[index]!));
  return axis === -1 ? undefined : `dimension ${axis} ${dimension}`;
}

function textOf({ datatype, shape }: TensorSpec): string {
  return `${datatype} ${shapeText(shape)}`;
}

function labelChanges(old: Contract['labels'], next: Contract['labels']): ContractChange[] {
  return Object.entries(old).flatMap(([output, before]) => {
    const now = Object.hasOwn(next, output) ? next[output] : undefined;
    if (now === undefined) return [];
    return differenceOf(`labels of output '${output}'`, before, now, (label) => `'${label}'`);
  });
}

function featureChanges(old: Contract['features'], next: Contract['features']): ContractChange[] {
  if (old === undefined || next === undefined) return [];
  return differenceOf('features', old, next, featureText);
}

function featureText({ name, input, column, kind }: Feature): string {
  return `'${name}' (${kind}, ${column === undefined ? input : `${input}[${column}]`})`;
}

/** The first place where two lists differ: what comes after it is moved rather than changed. */
function differenceOf<T>(
  what: string,
  old: readonly T[],
  next: readonly T[],
  text: (entry: T) => string,
): ContractChange[] {
  const rule = 'they must stay, in their order';
  for (let i = 0; i < Math.min(old.length, next.length); i++) {
    const [from, to] = [text(old[i]!), text(next[i]!)];
    if (from !== to) return [{ what: `${what}: entry ${i}`, from, to, rule }];
  }
  if (old.length === next.length) return [];
  return [{ what: `number of ${what}`, from: `${old.length}`, to: `${next.length}`, rule }];
}
