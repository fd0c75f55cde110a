/**
 * Cells of a row of the prediction log, for people.
 *
 * Must not know which commands show them.
 */

export type LoggedRow = Readonly<Record<string, unknown>>;

export function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function timeOf(us: unknown): string {
  const micros = Number(us);
  return Number.isFinite(micros) ? new Date(micros / 1000).toISOString() : cellText(us);
}

export function millisOf(us: unknown): string {
  return (Number(us ?? 0) / 1000).toFixed(2);
}
