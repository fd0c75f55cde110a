/**
 * Latencies in microseconds, counted in buckets no wider than a thousandth of what they hold.
 *
 *   0 … 2047 exactly │ 2048 … 4095 by 2 │ 4096 … 8191 by 4 │ …  up to 71 minutes
 *
 * The buckets are all there is: memory stays the same for a thousand requests or a billion, two histograms merge by
 * addition, and a percentile is right to 0.1 %.
 *
 * Must not know where latencies come from.
 */

const exact = 2048;
const half = exact / 2;
const valueMax = 2 ** 32 - 1;
/** Eleven bits are exact, each of the 21 above adds half of that. */
const buckets = exact + 21 * half;

export class Histogram {
  readonly #counts = new Float64Array(buckets);
  count = 0;
  maxUs = 0;
  sumUs = 0;

  record(us: number): void {
    const value = us < 0 ? 0 : us > valueMax ? valueMax : Math.round(us);
    this.#counts[bucketOf(value)]!++;
    this.count++;
    this.sumUs += value;
    if (value > this.maxUs) this.maxUs = value;
  }

  add(other: Histogram): void {
    for (let at = 0; at < buckets; at++) this.#counts[at]! += other.#counts[at]!;
    this.count += other.count;
    this.sumUs += other.sumUs;
    this.maxUs = Math.max(this.maxUs, other.maxUs);
  }

  /** 0 when nothing was recorded. */
  meanUs(): number {
    return this.count === 0 ? 0 : this.sumUs / this.count;
  }

  /**
   * The value that `percent` of all are not above; 0 when nothing was recorded.
   * @param percent above 0, at most 100
   */
  percentileUs(percent: number): number {
    // Not `ceil(count × percent / 100)` alone: 99.9 / 100 × 1000 is a hair above 999.
    const wanted = Math.max(1, Math.ceil((this.count * percent) / 100 - 1e-9));
    let seen = 0;
    for (let at = 0; at < buckets; at++) {
      seen += this.#counts[at]!;
      if (seen >= wanted) return Math.min(topOf(at), this.maxUs);
    }
    return this.maxUs;
  }

  /** How many are above `us`, to the width of a bucket. */
  countAbove(us: number): number {
    let above = 0;
    for (let at = bucketOf(Math.min(Math.max(0, Math.round(us)), valueMax)) + 1; at < buckets; at++) {
      above += this.#counts[at]!;
    }
    return above;
  }
}

/** Several as one. */
export function mergeHistograms(parts: readonly Histogram[]): Histogram {
  const whole = new Histogram();
  for (const part of parts) whole.add(part);
  return whole;
}

function bucketOf(value: number): number {
  if (value < exact) return value;
  const shift = 21 - Math.clz32(value);
  return exact + (shift - 1) * half + (value >>> shift) - half;
}

/** The highest value of a bucket. */
function topOf(bucket: number): number {
  if (bucket < exact) return bucket;
  const shift = Math.floor((bucket - exact) / half) + 1;
  const lead = ((bucket - exact) % half) + half;
  return (lead + 1) * 2 ** shift - 1;
}
