/**
 * Chance that a seed decides, and when requests are due.
 *
 * The same seed gives the same rows and the same arrivals, so that two runs can be compared.
 *
 * Must not know requests or clocks.
 */

export type Random = () => number;

/** mulberry32: 32 bits of state, uniform in [0, 1). Good for load, not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Arrivals = 'constant' | 'poisson';

/**
 * Gaps between arrivals, in milliseconds.
 *
 * `poisson` is what many independent callers make: gaps are exponential, so that two requests often come close together
 * and a queue is tested even far below capacity.
 */
export function gapsOf(arrivals: Arrivals, ratePerSecond: number, random: Random): () => number {
  const meanMs = 1000 / ratePerSecond;
  if (arrivals === 'constant') return () => meanMs;
  return () => -Math.log(1 - random()) * meanMs;
}
