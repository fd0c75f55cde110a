/**
 * The directions in which the rows of a reference vary most, for the reconstruction error (monitoring §10.6).
 *
 *   columns ─▶ z = (x − mean)/σ, missing → 0 ─▶ correlations ─▶ eigenvectors, greatest first ─▶ as few as explain the share
 *
 * Eigenvectors by Jacobi's rotations: slow for thousands of features, exact and short for the two hundred that there are.
 * Features that never vary say nothing and are left out.
 *
 * Must not know files, or how errors are judged.
 */
import { castFor, numberIn } from './cleaning.js';
import type { Column } from './profile-build.js';
import type { Pca } from './reconstruction.js';

export interface ComponentsOptions {
  /** Of the variance, which as few components as can be must explain. */
  readonly share?: number;
  /** Instead of the share. */
  readonly components?: number;
}

const shareUsual = 0.9;
const componentsMost = 64;
/** Of more rows an even sample: correlations do not get better by the second million. */
const rowsMost = 20_000;
const rowsLeast = 50;
const sweepsMost = 60;
/** A component is a direction; nine digits say where it points. */
const digits = 9;

/** @returns undefined where there is nothing that could drift together: fewer than three numbers that vary, or few rows */
export function principalComponents(columns: readonly Column[], options: ComponentsOptions = {}): Pca | undefined {
  const rows = Math.min(...columns.map(({ values }) => values.length));
  if (columns.length < 3 || rows < rowsLeast) return undefined;
  const step = Math.max(1, Math.ceil(rows / rowsMost));
  const scaled = columns.map((column) => scaledOf(column, step)).filter(({ scale }) => scale > 0);
  if (scaled.length < 3) return undefined;
  const { values, vectors } = eigenOf(correlations(scaled.map(({ z }) => z)));
  const order = values.map((_, i) => i).sort((a, b) => values[b]! - values[a]!);
  const kept = order.slice(
    0,
    countOf(
      order.map((i) => values[i]!),
      options,
    ),
  );
  return {
    features: scaled.map(({ name }) => name),
    mean: scaled.map(({ mean }) => mean),
    scale: scaled.map(({ scale }) => scale),
    components: kept.map((i) => pointed(vectors.map((row) => row[i]!))),
  };
}

interface Scaled {
  readonly name: string;
  readonly mean: number;
  /** 0 for what never varies. */
  readonly scale: number;
  readonly z: Float64Array;
}

function scaledOf({ name, values, datatype }: Column, step: number): Scaled {
  const cast = castFor(datatype);
  const z = new Float64Array(Math.ceil(values.length / step));
  let [n, mean, m2] = [0, 0, 0];
  for (let i = 0; i < z.length; i++) {
    const x = numberIn(values[i * step], cast);
    z[i] = Number.isFinite(x) ? x : NaN;
    if (!Number.isFinite(x)) continue;
    n++;
    const delta = x - mean;
    mean += delta / n;
    m2 += delta * (x - mean);
  }
  const scale = n === 0 ? 0 : Math.sqrt(m2 / n);
  if (!Number.isFinite(scale) || scale === 0) return { name, mean, scale: 0, z };
  for (let i = 0; i < z.length; i++) z[i] = Number.isNaN(z[i]) ? 0 : (z[i]! - mean) / scale;
  return { name, mean, scale, z };
}

function correlations(columns: readonly Float64Array[]): Float64Array[] {
  const matrix = columns.map(() => new Float64Array(columns.length));
  for (const [i, a] of columns.entries()) {
    for (let j = i; j < columns.length; j++) {
      const b = columns[j]!;
      let sum = 0;
      for (let row = 0; row < a.length; row++) sum += a[row]! * b[row]!;
      matrix[i]![j] = sum / a.length;
      matrix[j]![i] = sum / a.length;
    }
  }
  return matrix;
}

/** Never all: with every direction explained no row has an error. */
function countOf(descending: readonly number[], { share = shareUsual, components }: ComponentsOptions): number {
  const most = Math.min(componentsMost, descending.length - 1);
  if (components !== undefined) return Math.max(1, Math.min(most, components));
  const all = descending.reduce((sum, value) => sum + Math.max(0, value), 0);
  let explained = 0;
  const count = descending.findIndex((value) => {
    explained += Math.max(0, value);
    return explained >= share * all;
  });
  return Math.max(1, Math.min(most, count + 1));
}

/** Of a direction and its opposite the one whose greatest number is positive, so that the same rows give the same text. */
function pointed(vector: readonly number[]): number[] {
  const greatest = vector.reduce((most, value) => (Math.abs(value) > Math.abs(most) + 1e-12 ? value : most), 0);
  return vector.map((value) => Number((greatest < 0 ? -value : value).toPrecision(digits)));
}

/** @param matrix symmetric; it is used up. @returns columns of `vectors` are orthonormal */
function eigenOf(matrix: Float64Array[]): { readonly values: number[]; readonly vectors: Float64Array[] } {
  const size = matrix.length;
  const vectors = matrix.map((_, i) => Float64Array.from({ length: size }, (_, j) => Number(i === j)));
  for (let sweep = 0; sweep < sweepsMost && offDiagonal(matrix) > 1e-22 * size * size; sweep++) {
    for (let p = 0; p < size - 1; p++) for (let q = p + 1; q < size; q++) rotate(matrix, vectors, p, q);
  }
  return { values: matrix.map((row, i) => row[i]!), vectors };
}

function offDiagonal(matrix: readonly Float64Array[]): number {
  let sum = 0;
  for (const [i, row] of matrix.entries()) for (let j = i + 1; j < row.length; j++) sum += row[j]! * row[j]!;
  return sum;
}

/** Makes the element at p, q zero. */
function rotate(matrix: Float64Array[], vectors: Float64Array[], p: number, q: number): void {
  const apart = matrix[p]![q]!;
  if (apart === 0) return;
  const theta = (matrix[q]![q]! - matrix[p]![p]!) / (2 * apart);
  const tangent = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const cosine = 1 / Math.sqrt(tangent * tangent + 1);
  const sine = tangent * cosine;
  for (const row of matrix) turn(row, p, q, { cosine, sine });
  const [ofP, ofQ] = [matrix[p]!, matrix[q]!];
  for (let i = 0; i < ofP.length; i++) {
    const [a, b] = [ofP[i]!, ofQ[i]!];
    ofP[i] = cosine * a - sine * b;
    ofQ[i] = sine * a + cosine * b;
  }
  for (const row of vectors) turn(row, p, q, { cosine, sine });
}

function turn(row: Float64Array, p: number, q: number, { cosine, sine }: { cosine: number; sine: number }): void {
  const [a, b] = [row[p]!, row[q]!];
  row[p] = cosine * a - sine * b;
  row[q] = sine * a + cosine * b;
}
