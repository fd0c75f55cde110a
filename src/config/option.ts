/**
 * The kinds of option there are: each is a zod schema with its default, its range and one sentence.
 *
 * A range is enforced and told by the same two numbers, so that what the help says is what is checked. Values may be written
 * as text everywhere (environment and flags know nothing else); the text becomes a value here.
 *
 * Must not know which options exist.
 */
import { z } from 'zod';

/** What the schema of an option carries besides its check. */
export interface OptionFacts {
  readonly description: string;
  /** What a value must be, to follow "expected". */
  readonly expected: string;
  /** As written in a file, when that is more than a word: flags and variables then take it as YAML. */
  readonly isStructure?: boolean;
  /** Never shown. */
  readonly isSecret?: boolean;
  /** A flag without a value means true. */
  readonly isToggle?: boolean;
  /** Shown with a unit. */
  readonly isBytes?: boolean;
}

export function factsOf(schema: z.ZodType): OptionFacts {
  return schema.meta() as unknown as OptionFacts;
}

function numberOf(value: unknown): unknown {
  return typeof value === 'string' && /^[+-]?[0-9]+(\.[0-9]+)?$/.test(value) ? Number(value) : value;
}

export function integer(fallback: number, min: number, max: number, description: string) {
  const check = z.preprocess(numberOf, z.number().int().min(min).max(max));
  return check.default(fallback).meta({ description, expected: `an integer from ${min} to ${max}` });
}

export const KiB = 2 ** 10;
export const MiB = 2 ** 20;
export const GiB = 2 ** 30;

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB,
  MiB,
  GiB,
};

function bytesOfText(value: unknown): unknown {
  const match = typeof value === 'string' ? /^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)$/.exec(value) : null;
  const unit = match === null ? undefined : unitBytes[match[2]!];
  return unit === undefined ? value : Number(match![1]) * unit;
}

/** A number of bytes as people write it: `64MiB`. */
export function bytesText(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB'])
    if (bytes > 0 && bytes % unitBytes[unit]! === 0) return `${bytes / unitBytes[unit]!}${unit}`;
  return `${bytes}`;
}

/** A number of bytes, which may be written with a unit. */
export function size(min: number, max: number) {
  return z.preprocess(bytesOfText, z.number().int().min(min).max(max));
}

/** An option of such a number. */
export function bytes(fallback: number, min: number, max: number, description: string) {
  const expected = `a size from ${bytesText(min)} to ${bytesText(max)} (bytes, or with a unit as in 64MiB)`;
  return size(min, max).default(fallback).meta({ description, expected, isBytes: true });
}

function booleanOf(value: unknown): unknown {
  if (value === 'true' || value === 'on' || value === '1') return true;
  if (value === 'false' || value === 'off' || value === '0') return false;
  return value;
}

export function toggle(fallback: boolean, description: string) {
  return z
    .preprocess(booleanOf, z.boolean())
    .default(fallback)
    .meta({ description, expected: 'true or false', isToggle: true });
}

export function choice<const Words extends readonly [string, ...string[]]>(
  fallback: Words[number],
  words: Words,
  description: string,
) {
  const check = z.preprocess((value) => (value === false ? 'off' : value === true ? 'on' : value), z.enum(words));
  return check.default(fallback as never).meta({ description, expected: `one of ${words.join(', ')}` });
}

export function oneOf<const Values extends readonly number[]>(
  fallback: Values[number],
  values: Values,
  description: string,
) {
  const check = z.preprocess(numberOf, z.literal(values));
  return check.default(fallback as never).meta({ description, expected: values.join(' or ') });
}

export interface TextRule {
  readonly pattern?: RegExp;
  readonly expected?: string;
  readonly isSecret?: boolean;
}

/** A line of text. */
export function text(fallback: string, description: string, rule: TextRule = {}) {
  const check = z.preprocess(
    (value) => (typeof value === 'number' ? String(value) : value),
    z
      .string()
      .max(4096)
      .regex(rule.pattern ?? /^[^\0\r\n]*$/),
  );
  const { expected = 'a line of text of at most 4096 characters', isSecret = false } = rule;
  return check.default(fallback).meta({ description, expected, isSecret });
}

/** A value that is written in the file as more than a word. */
export function structure<Check extends z.ZodType>(check: Check, fallback: z.output<Check>, facts: OptionFacts) {
  return check.default(fallback as never).meta({ ...facts, isStructure: true });
}

/** A part of all. */
export function share(fallback: number, description: string) {
  return structure(z.number().min(0).max(1), fallback, { description, expected: 'a number from 0 to 1' });
}

/**
 * An option of the protocol for something that this build does not have. Anything but its default is refused: an option that
 * is taken and does nothing would be worse.
 */
export function absent<const Value extends boolean | number | string>(fallback: Value, description: string) {
  const check = z.preprocess(typeof fallback === 'number' ? numberOf : booleanOf, z.literal(fallback));
  const shown = fallback === '' ? 'an empty text' : `${fallback}`;
  const expected = `${shown}, because this build does not have it`;
  return check.default(fallback as never).meta({ description: `${description} Not in this build.`, expected });
}
