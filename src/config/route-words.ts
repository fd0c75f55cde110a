/**
 * The words that routes are written in: names, places in a call, shares and durations. Every check says what it expected.
 *
 * Whatever has been read may be read again: a route that is changed while serving is checked as a whole once more.
 *
 * Must not know what a route is.
 */
import { z } from 'zod';
import { isLabel, isModelName, isVersionText } from '../core/model.js';

/** What a complaint says. */
export function expecting(text: string): { readonly error: string } {
  return { error: `expected ${text}` };
}

function words(text: string, isRight: (word: string) => boolean) {
  return z.string(expecting(text)).refine(isRight, expecting(text));
}

/** A name that is hashed and sent in headers: no colon, nothing to escape. */
export const safeName = words("1 to 64 letters, digits, '.', '_' or '-'", (name) =>
  /^[A-Za-z0-9._-]{1,64}$/.test(name),
);

/** Names of variants that would be taken for another part of what is hashed. */
const reserved = ['enroll', 'layer', 'holdout', 'analysis'];

export const variantName = words(
  `1 to 64 letters, digits, '.', '_' or '-', and none of ${reserved.join(', ')}`,
  (name) => /^[A-Za-z0-9._-]{1,64}$/.test(name) && !reserved.includes(name),
);

export const modelName = words('the name of a model', isModelName);
export const alias = words("an alias: a letter, then at most 62 letters, digits, '_' or '-'", isLabel);

export const version = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  words("a version number such as '1'", isVersionText),
);

export function number(min: number, max: number, what: string) {
  const text = expecting(`${what} from ${min} to ${max}`);
  return z.number(text).min(min, text).max(max, text);
}

export function integer(min: number, max: number, what: string) {
  return number(min, max, what).int(expecting(`${what}, a whole number from ${min} to ${max}`));
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function millisecondsOf(value: unknown): unknown {
  const match = typeof value === 'string' ? /^([0-9]{1,9})(ms|s|m|h|d)$/.exec(value) : null;
  return match === null ? value : Number(match[1]) * unitMs[match[2]!]!;
}

const weekMs = 7 * 86_400_000;

/** Milliseconds, which may be written as `10m`. */
export function duration(minMs: number) {
  const text = expecting(`a duration such as 90s, 10m or 2h, from ${minMs} ms to 7d`);
  return z.preprocess(millisecondsOf, z.number(text).int(text).min(minMs, text).max(weekMs, text));
}

/** A list, which may be written as its only member. */
export function list<Member extends z.ZodType>(member: Member, max: number, what: string) {
  const text = expecting(`at most ${max} ${what}`);
  return z.preprocess(
    (value) => (value === undefined || Array.isArray(value) ? value : [value]),
    z.array(member, text).max(max, text),
  );
}

/** By name, at most so many. */
export function named<Member extends z.ZodType>(name: z.ZodType<string, string>, member: Member, max: number) {
  return z
    .record(name, member, expecting('names with their settings'))
    .refine((given) => Object.keys(given).length <= max, expecting(`at most ${max} names`));
}
