/**
 * What a record of a configuration holds under a name that callers or folders chose: `constructor` may be the name of a model.
 *
 * Must not know what it holds.
 */
export function ownOf<Value>(record: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
