/**
 * Values in groups, in the order in which each group came first. Node 20 has no `Map.groupBy`.
 *
 * Must not know what is grouped.
 */
export function groupsBy<T, K>(values: readonly T[], keyOf: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}
