/**
 * How badly a row fits the patterns of the reference: its distance from the space of its principal components (monitoring
 * §10.6). It sees features that drift together although each alone looks as ever.
 *
 *   z = (x − mean)/scale        t = C·z        err = √Σ(z − Cᵀt)²
 *
 * Must not know where components come from.
 */

export interface Pca {
  readonly features: readonly string[];
  readonly mean: readonly number[];
  readonly scale: readonly number[];
  /** Orthonormal rows. */
  readonly components: readonly (readonly number[])[];
}

/** Components that are looked at together: their sums do not wait for each other, which halves the time of a row. */
const together = 4;

/** Ready for many rows: nothing is allocated for one. */
export class Reconstruction {
  readonly #mean: Float64Array;
  readonly #scale: Float64Array;
  /** For each four components and each feature their four numbers; what is missing from four is 0. */
  readonly #components: Float64Array;
  readonly #z: Float64Array;
  readonly #rest: Float64Array;

  constructor({ mean, scale, components }: Pca) {
    this.#mean = Float64Array.from(mean);
    this.#scale = Float64Array.from(scale);
    this.#z = new Float64Array(mean.length);
    this.#rest = new Float64Array(mean.length);
    this.#components = new Float64Array(Math.ceil(components.length / together) * together * mean.length);
    for (const [row, component] of components.entries()) {
      const first = Math.floor(row / together) * together * mean.length + (row % together);
      for (const [i, value] of component.entries()) this.#components[first + i * together] = value;
    }
  }

  /** @param row in the order of the features; what is not a finite number counts as missing, which is the mean */
  errorOf(row: ArrayLike<number>): number {
    const [z, rest, components, width] = [this.#z, this.#rest, this.#components, this.#z.length];
    for (let i = 0; i < width; i++) {
      const x = (row[i]! - this.#mean[i]!) / this.#scale[i]!;
      z[i] = x - x === 0 ? x : 0;
      rest[i] = z[i]!;
    }
    for (let at = 0; at < components.length; at += together * width) this.#takeAway(at);
    let squares = 0;
    for (let i = 0; i < width; i++) squares += rest[i]! * rest[i]!;
    return Math.sqrt(squares);
  }

  /** What four components explain of z. */
  #takeAway(from: number): void {
    const [z, rest, c] = [this.#z, this.#rest, this.#components];
    let [t0, t1, t2, t3] = [0, 0, 0, 0];
    for (let i = 0, at = from; i < z.length; i++, at += together) {
      const x = z[i]!;
      t0 += c[at]! * x;
      t1 += c[at + 1]! * x;
      t2 += c[at + 2]! * x;
      t3 += c[at + 3]! * x;
    }
    for (let i = 0, at = from; i < z.length; i++, at += together) {
      rest[i]! -= c[at]! * t0 + c[at + 1]! * t1 + (c[at + 2]! * t2 + c[at + 3]! * t3);
    }
  }
}
