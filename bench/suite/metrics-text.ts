/**
 * Reads a Prometheus text, and what two readings say about the time between them.
 *
 * Must not know who writes it.
 */

export interface Line {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** @param admin origin of the control port. @throws when it does not answer */
export async function readMetrics(admin: string): Promise<readonly Line[]> {
  const response = await fetch(`${admin}/metrics`);
  if (!response.ok) throw new Error(`${admin}/metrics answered ${response.status}`);
  return parseMetrics(await response.text());
}

export function parseMetrics(text: string): Line[] {
  const lines: Line[] = [];
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (match === null) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (match[2] ?? '').matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g))
      labels[name!] = value!;
    lines.push({ name: match[1]!, labels, value: match[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(match[3]) });
  }
  return lines;
}

/** All series of a name, added up. */
export function sumOf(lines: readonly Line[], name: string): number {
  let sum = 0;
  for (const line of lines) if (line.name === name) sum += line.value;
  return sum;
}

/** The mean of what a histogram took in between two readings; NaN when that was nothing. */
export function meanBetween(before: readonly Line[], after: readonly Line[], name: string): number {
  const grown = (suffix: string) => sumOf(after, name + suffix) - sumOf(before, name + suffix);
  return grown('_sum') / grown('_count');
}

/** The upper bound of the bucket in which `share` of what a histogram took in between two readings lies. */
export function quantileBetween(before: readonly Line[], after: readonly Line[], name: string, share: number): number {
  const counts = new Map<number, number>();
  const add = (lines: readonly Line[], sign: number) => {
    for (const { name: found, labels, value } of lines) {
      if (found !== `${name}_bucket`) continue;
      const bound = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + sign * value);
    }
  };
  add(before, -1);
  add(after, 1);
  const bounds = [...counts.keys()].sort((a, b) => a - b);
  const total = counts.get(Number.POSITIVE_INFINITY) ?? 0;
  if (total === 0) return Number.NaN;
  return bounds.find((bound) => counts.get(bound)! >= share * total) ?? Number.POSITIVE_INFINITY;
}
