/**
 * Whether rows still have the columns and JSON types that were declared (monitoring §13): facts about the contract with the
 * caller, not about distributions.
 *
 * Must not know values.
 */

/** At once, without a test: a column is there or it is not. */
export function columnDifference(
  declared: readonly string[],
  got: readonly string[],
): { readonly missing: string[]; readonly extra: string[] } {
  const [known, present] = [new Set(declared), new Set(got)];
  return { missing: declared.filter((name) => !present.has(name)), extra: got.filter((name) => !known.has(name)) };
}

const newTypeShareMin = 0.02;

/** JSON types of a declared raw feature that the reference does not have, with their share, where that is 2 % or more. */
export function newTypes(
  reference: Readonly<Record<string, number>>,
  current: Readonly<Record<string, number>>,
): { readonly type: string; readonly share: number }[] {
  const total = Object.values(current).reduce((sum, count) => sum + count, 0);
  return Object.entries(current)
    .filter(([type, count]) => !((reference[type] ?? 0) > 0) && count > 0 && count / total >= newTypeShareMin)
    .map(([type, count]) => ({ type, share: count / total }));
}
