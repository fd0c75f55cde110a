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

/**
 * Ready for many rows: nothing is allocated for one. Two rows are looked at together, which takes a third of the time of one
 * after the other; each row's sums are made in the same order whoever its neighbour is.
 */
export class Reconstruction {
  readonly #mean: Float64Array;
  readonly #scale: Float64Array;
  /** For each four components and each feature their four numbers; what is missing from four is 0. */
  readonly #components: Float64Array;
  /** By feature: of the one row, of the other. */
  readonly #z: Float64Array;
  readonly #rest: Float64Array;
  readonly #inOrder: Int32Array;

  constructor({ mean, scale, components }: Pca) {
    this.#mean = Float64Array.from(mean);
    this.#scale = Float64Array.from(scale);
    this.#z = new Float64Array(2 * mean.length);
    this.#rest = new Float64Array(2 * mean.length);
    this.#inOrder = Int32Array.from(mean, (_, i) => i);
    this.#components = new Float64Array(Math.ceil(components.length / together) * together * mean.length);
    for (const [row, component] of components.entries()) {
      const first = Math.floor(row / together) * together * mean.length + (row % together);
      for (const [i, value] of component.entries()) this.#components[first + i * together] = value;
    }
  }

  /** @param row in the order of the features; what is not a finite number counts as missing, which is the mean */
  errorOf(row: ArrayLike<number>): number {
    const values = Float64Array.from(row);
    this.#take({ values, columns: this.#inOrder }, 0, 0);
    return this.#distance(0);
  }

  /** Of each row of a block: its error goes into the column `into` of the block itself. */
  putErrors(block: { values: Float64Array; width: number; rows: number }, columns: Int32Array, into: number): void {
    const { values, width, rows } = block;
    for (let row = 0; row < rows; row += 2) {
      const one = row * width;
      const other = row + 1 < rows ? one + width : one;
      this.#take({ values, columns }, one, other);
      values[one + into] = this.#distance(0);
      values[other + into] = other === one ? values[one + into]! : this.#distance(1);
    }
  }

  #take({ values, columns }: { values: Float64Array; columns: Int32Array }, one: number, other: number): void {
    const [z, rest, mean, scale] = [this.#z, this.#rest, this.#mean, this.#scale];
    for (let i = 0, at = 0; i < mean.length; i++, at += 2) {
      const column = columns[i]!;
      const x = (values[one + column]! - mean[i]!) / scale[i]!;
      const y = (values[other + column]! - mean[i]!) / scale[i]!;
      z[at] = x - x === 0 ? x : 0;
      z[at + 1] = y - y === 0 ? y : 0;
      rest[at] = z[at]!;
      rest[at + 1] = z[at + 1]!;
    }
    for (let at = 0; at < this.#components.length; at += together * mean.length) this.#takeAway(at);
  }

  /** What four components explain of z. */
  #takeAway(from: number): void {
    const [z, rest, c] = [this.#z, this.#rest, this.#components];
    let [t0, t1, t2, t3] = [0, 0, 0, 0];
    let [u0, u1, u2, u3] = [0, 0, 0, 0];
    for (let i = 0, at = from; i < z.length; i += 2, at += together) {
      const x = z[i]!;
      const y = z[i + 1]!;
      t0 += c[at]! * x;
      t1 += c[at + 1]! * x;
      t2 += c[at + 2]! * x;
      t3 += c[at + 3]! * x;
      u0 += c[at]! * y;
      u1 += c[at + 1]! * y;
      u2 += c[at + 2]! * y;
      u3 += c[at + 3]! * y;
    }
    for (let i = 0, at = from; i < z.length; i += 2, at += together) {
      rest[i]! -= c[at]! * t0 + c[at + 1]! * t1 + (c[at + 2]! * t2 + c[at + 3]! * t3);
      rest[i + 1]! -= c[at]! * u0 + c[at + 1]! * u1 + (c[at + 2]! * u2 + c[at + 3]! * u3);
    }
  }

  /** @param which 0 = of the one row, 1 = of the other */
  #distance(which: number): number {
    const rest = this.#rest;
    let squares = 0;
    for (let i = which; i < rest.length; i += 2) squares += rest[i]! * rest[i]!;
    return Math.sqrt(squares);
  }
}
