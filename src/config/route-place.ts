/**
 * Places in a call and conditions on them, as they are written and as the router reads them.
 *
 *   header:x-user-id   param:user_id   cookie:session   jwt:sub   jwt:user.id
 *   header:x-country == SE   header:x-country in [SE, NO]   param:age >= 18   header:x-beta exists
 *
 * Must not know routes.
 */
import type { CallPlace, Condition } from '../core/route.js';

const place = /^(header|param|cookie):([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})$/;
/** Names of claims may be addresses (`https://example.com/tenant`). */
const claim = /^jwt:([!-~]{1,128})$/;
/** Parameters with a meaning of their own, which nobody else gets to see (protocol §4.5). */
const taken = /^(priority|timeout|binary_data_output|headers|sequence_(id|start|end)|triton_.*|sluice_.*)$/;

/** @returns undefined when the text is no place */
export function placeOf(text: string): CallPlace | undefined {
  const named = claim.exec(text)?.[1];
  if (named !== undefined) return { source: 'jwt', name: named };
  const [, source, name] = place.exec(text) ?? [];
  if (source === undefined || name === undefined) return undefined;
  if (source === 'param') return taken.test(name) ? undefined : { source, name };
  if (source === 'header') return { source, name: name.toLowerCase() };
  return { source: 'cookie', name };
}

const condition = /^(\S{1,140}) +(==|in|<=|<|>=|>|exists)(?: +(.{1,512}))?$/;
const decimal = /^[+-]?[0-9]{1,30}(\.[0-9]{1,30})?$/;

/** @returns undefined when the text is no condition */
export function conditionOf(text: string): Condition | undefined {
  const [, where, is, operand] = condition.exec(text.trim()) ?? [];
  const at = where === undefined ? undefined : placeOf(where);
  if (at === undefined || is === undefined) return undefined;
  if (is === 'exists') return operand === undefined ? { place: at, is, values: [], bound: 0 } : undefined;
  if (operand === undefined) return undefined;
  if (is === '==') return { place: at, is: 'in', values: [unquoted(operand)], bound: 0 };
  if (is === 'in') {
    const inner = /^\[(.+)\]$/.exec(operand)?.[1];
    return inner === undefined ? undefined : { place: at, is, values: inner.split(/ *, */).map(unquoted), bound: 0 };
  }
  if (!decimal.test(operand)) return undefined;
  return { place: at, is: is as Condition['is'], values: [], bound: Number(operand) };
}

function unquoted(text: string): string {
  const trimmed = text.trim();
  return /^(['"]).*\1$/.test(trimmed) && trimmed.length > 1 ? trimmed.slice(1, -1) : trimmed;
}
