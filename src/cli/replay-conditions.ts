/**
 * What must not be: `agree<0.99`, `p99_ms>5`. A condition that nothing is known about is met, for a gate that cannot tell
 * must not open.
 *
 * Must not know how the figures are made.
 */
import { Exit } from './exit.js';

export const figureNames = ['agree', 'match', 'max_abs', 'mean_abs', 'error_rate', 'p50_ms', 'p99_ms'] as const;
export type Figures = Readonly<Record<(typeof figureNames)[number], number | undefined>>;

export interface Condition {
  readonly text: string;
  readonly figure: keyof Figures;
  readonly is: (value: number) => boolean;
}

export interface Judged {
  readonly condition: string;
  readonly isMet: boolean;
  /** What was found. */
  readonly found: string;
}

const comparisons: Readonly<Record<string, (limit: number) => (value: number) => boolean>> = {
  '<': (limit) => (value) => value < limit,
  '<=': (limit) => (value) => value <= limit,
  '>': (limit) => (value) => value > limit,
  '>=': (limit) => (value) => value >= limit,
};
const conditionsMax = 32;

/** @throws Exit 2 */
export function conditionsOf(texts: readonly string[]): Condition[] {
  const parts = texts.flatMap((text) => text.split(',')).map((part) => part.trim());
  if (parts.length > conditionsMax)
    throw new Exit(2, `--fail-on: expected at most ${conditionsMax} conditions, got ${parts.length}`);
  return parts.map(conditionOf);
}

function conditionOf(text: string): Condition {
  const [, name = '', sign = '', limit = ''] =
    /^(\w+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/i.exec(text) ?? [];
  const figure = figureNames.find((known) => known === (name === 'agreement' ? 'agree' : name));
  if (figure === undefined)
    throw new Exit(2, `--fail-on: expected a condition such as agree<0.99 on ${figureNames.join(', ')}, got '${text}'`);
  return { text, figure, is: comparisons[sign]!(Number(limit)) };
}

export function judged(conditions: readonly Condition[], figures: Figures): Judged[] {
  return conditions.map(({ text, figure, is }) => {
    const value = figures[figure];
    if (value === undefined) return { condition: text, isMet: true, found: `there is no ${figure} to judge by` };
    return { condition: text, isMet: is(value), found: `${figure} is ${Number(value.toPrecision(6))}` };
  });
}
