/**
 * Numbers as runs without gaps, which is how a converted segment is remembered.
 *
 * Must not know what is numbered.
 */

/** In the order given, which is ascending. */
export function rangesOf(events: readonly { readonly seq: number }[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const { seq } of events) {
    const newest = ranges.at(-1);
    if (newest !== undefined && newest[1] === seq - 1) newest[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}
