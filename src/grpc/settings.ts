/**
 * Trace and log settings between their JSON form (protocol §8.4, §8.5) and the maps of their messages.
 *
 * Must not know what a setting does: keys and values are checked where they are kept.
 */

type Settings = Readonly<Record<string, unknown>>;
type TraceMessage = Readonly<Record<string, { readonly value: readonly string[] }>>;
type LogMessage = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Undefined when there are none: then the call only reads. An empty list takes a value back. */
export function fromTraceSettings(message: TraceMessage): Settings | undefined {
  const entries = Object.entries(message);
  if (entries.length === 0) return undefined;
  return Object.fromEntries(
    entries.map(([key, { value }]) => {
      if (value.length === 0) return [key, null];
      return [key, key === 'trace_level' || value.length > 1 ? value : value[0]];
    }),
  );
}

export function toTraceSettings(settings: unknown): object {
  const entries = Object.entries(settings as Settings).map(([key, value]) => {
    const values = Array.isArray(value) ? value : [value];
    return [key, { value: values.map(String) }];
  });
  return { settings: Object.fromEntries(entries) };
}

/** Undefined when there are none: then the call only reads. A setting without a value stays as it is. */
export function fromLogSettings(message: LogMessage): Settings | undefined {
  const entries = Object.entries(message);
  if (entries.length === 0) return undefined;
  return Object.fromEntries(
    entries.map(([key, choice]) => [key, choice.bool_param ?? choice.uint32_param ?? choice.string_param ?? null]),
  );
}

export function toLogSettings(settings: unknown): object {
  const entries = Object.entries(settings as Settings).map(([key, value]) => {
    if (typeof value === 'boolean') return [key, { bool_param: value }];
    return [key, typeof value === 'number' ? { uint32_param: value } : { string_param: String(value) }];
  });
  return { settings: Object.fromEntries(entries) };
}

/** The same value with every bigint as decimal text, which the proto loader reads as a 64-bit integer. */
export function longsAsText(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(longsAsText);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, longsAsText(inner)]));
}
