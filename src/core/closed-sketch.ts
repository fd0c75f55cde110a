/**
 * A closed minute of what one process saw of one version, on its way to the control process.
 *
 *   observer thread ─▶ main thread ─▶ control: added up ─▶ { key: number } back: everything up to it is there
 *
 * The numbers are in the bins of the version's profile; whoever reads the buffer has the same one.
 *
 * Must not know profiles.
 */

export interface ClosedSketch {
  /** Of the sketches of one version and role within one process. */
  readonly key: string;
  readonly model: string;
  readonly version: string;
  /** Empty for a version whose bytes have no digest. */
  readonly artifactSha256: string;
  readonly role: string;
  /** Ascending with each minute of the same key. */
  readonly number: number;
  /** When it was, in milliseconds since the epoch. */
  readonly fromMs: number;
  readonly observed: number;
  /** Requests that were never seen. */
  readonly dropped: number;
  readonly buffer: ArrayBuffer;
}

/** The last number by key. */
export type SketchesKept = Readonly<Record<string, number>>;

export function keptOf(closed: readonly ClosedSketch[]): SketchesKept {
  const kept: Record<string, number> = {};
  for (const { key, number } of closed) kept[key] = Math.max(number, kept[key] ?? 0);
  return kept;
}
