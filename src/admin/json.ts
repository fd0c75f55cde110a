/**
 * JSON for the answers of the control port: as JSON.stringify, and bigint as its exact digits.
 *
 * Must not know what is written.
 */

/** @param value plain: objects, arrays, texts, numbers, booleans, null, bigint */
export function exactJson(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map((element) => exactJson(element ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${exactJson(member)}`).join(',')}}`;
}
