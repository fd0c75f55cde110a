/**
 * Several tests at once: p-values adjusted for how many there are. Results stand in the order of the input.
 *
 * Must not know what was tested.
 */

export function bonferroni(ps: readonly number[]): number[] {
  return ps.map((p) => Math.min(1, ps.length * p));
}

/** Step-down: as safe as Bonferroni and never weaker. */
export function holm(ps: readonly number[]): number[] {
  const adjusted: number[] = [];
  let largest = 0;
  for (const [rank, index] of ascending(ps).entries()) {
    largest = Math.max(largest, Math.min(1, (ps.length - rank) * ps[index]!));
    adjusted[index] = largest;
  }
  return adjusted;
}

/** Step-up: bounds the share of false findings among the findings. */
export function benjaminiHochberg(ps: readonly number[]): number[] {
  const adjusted: number[] = [];
  const order = ascending(ps);
  let smallest = 1;
  for (let rank = order.length; rank >= 1; rank--) {
    const index = order[rank - 1]!;
    smallest = Math.min(smallest, (ps.length * ps[index]!) / rank);
    adjusted[index] = smallest;
  }
  return adjusted;
}

function ascending(ps: readonly number[]): number[] {
  return ps.map((_, index) => index).sort((a, b) => ps[a]! - ps[b]!);
}
