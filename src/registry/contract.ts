/**
 * What callers of a model rely on, and what a next version would take from them.
 *
 * Callers send inputs and read outputs: an input may accept more than before and an output may promise more, never less.
 * Meaning counts like form: features and labels in another order give wrong answers without an error.
 *
 * A pure function. Must not know where versions come from or what is done about a breach.
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

/** @returns one sentence for each breach, naming what it is about, old and new; none when callers will not notice */
export function contractBreaches(old: Contract, next: Contract): string[] {
  return [
    ...inputBreaches(old.signature.inputs, next.signature.inputs),
    ...outputBreaches(old.signature.outputs, next.signature.outputs),
    ...labelBreaches(old.labels, next.labels),
    ...featureBreaches(old.features, next.features),
  ];
}

function inputBreaches(old: readonly TensorSpec[], next: readonly TensorSpec[]): string[] {
  const added = next.filter(({ name }) => !old.some((spec) => spec.name === name));
  return [
    ...tensorBreaches('input', old, next, (before, now) => now === -1 || now === before),
    ...added.map((spec) => `input '${spec.name}': was not there, is ${textOf(spec)}; callers do not send it`),
  ];
}

function outputBreaches(old: readonly TensorSpec[], next: readonly TensorSpec[]): string[] {
  return tensorBreaches('output', old, next, (before, now) => before === -1 || now === before);
}

/** @param keeps whether a dimension that was `before` may be `now` */
function tensorBreaches(
  kind: 'input' | 'output',
  old: readonly TensorSpec[],
  next: readonly TensorSpec[],
  keeps: (before: number, now: number) => boolean,
): string[] {
  return old.flatMap((before) => {
    const now = next.find(({ name }) => name === before.name);
    const change = `${kind} '${before.name}': was ${textOf(before)}, is ${now === undefined ? 'gone' : textOf(now)}`;
    if (now === undefined) return [change];
    if (now.datatype !== before.datatype) return [`${change}; the datatype must stay`];
    if (now.shape.length !== before.shape.length) return [`${change}; the number of dimensions must stay`];
    const axis = before.shape.findIndex((size, index) => !keeps(size, now.shape[index]!));
    if (axis === -1) return [];
    const rule = kind === 'input' ? 'may become -1 and nothing else' : 'may become fixed and nothing else';
    return [`${change}; dimension ${axis} ${rule}`];
  });
}

function textOf({ datatype, shape }: TensorSpec): string {
  return `${datatype} ${shapeText(shape)}`;
}

function labelBreaches(old: Contract['labels'], next: Contract['labels']): string[] {
  return Object.entries(old).flatMap(([output, before]) => {
    const now = Object.hasOwn(next, output) ? next[output] : undefined;
    if (now === undefined) return [];
    return differenceOf(`labels of output '${output}'`, before, now, (label) => `'${label}'`);
  });
}

function featureBreaches(old: Contract['features'], next: Contract['features']): string[] {
  if (old === undefined || next === undefined) return [];
  return differenceOf('features', old, next, featureText);
}

function featureText({ name, input, column, kind }: Feature): string {
  return `'${name}' (${kind}, ${column === undefined ? input : `${input}[${column}]`})`;
}

/** The first place where two lists differ: what comes after it is moved rather than changed. */
function differenceOf<T>(what: string, old: readonly T[], next: readonly T[], text: (entry: T) => string): string[] {
  for (let i = 0; i < Math.min(old.length, next.length); i++) {
    const [before, now] = [text(old[i]!), text(next[i]!)];
    if (before !== now) return [`${what}: entry ${i} was ${before}, is ${now}`];
  }
  return old.length === next.length ? [] : [`${what}: were ${old.length}, are ${next.length}`];
}
