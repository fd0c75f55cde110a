/**
 * What the control process writes down for the observer threads of all processes about a version that is to be watched.
 *
 *   control ─▶ <name>.watch.json, and <name>.json where a profile came along ─▶ observer threads
 *   observer thread that has seen enough rows of a version without one ─▶ <name>.json ─▶ control, the other threads
 *
 * Files, because the profile of a version must be the same one in every process and after every restart.
 *
 * Must not know profiles.
 */
import type { FeatureSpec, Semantics, VersionId } from './model.js';
import type { DataType } from './tensor.js';

export interface WatchedFeature extends Omit<FeatureSpec, 'kind'> {
  readonly kind: 'numeric' | 'categorical' | 'id';
  readonly datatype: DataType;
}

export interface Watched {
  /** Without those that may not be looked at. */
  readonly features: readonly WatchedFeature[];
  /** Outputs may be looked at. */
  readonly isOutputShown: boolean;
  /** Class labels by output. */
  readonly labels: Readonly<Record<string, readonly string[]>>;
  readonly semantics?: Semantics | undefined;
  /** Rows of which a provisional profile is made; 0 = none is. */
  readonly warmUpRows: number;
}

const digitsShown = 12;

/** Of the files of a version: another content has other ones. */
export function watchNameOf({ model, version }: VersionId, artifactSha256: string): string {
  return `${model}@${version}-${artifactSha256.slice(0, digitsShown) || 'unhashed'}`;
}

export function watchFileOf(name: string): string {
  return `${name}.watch.json`;
}

export function profileFileOf(name: string): string {
  return `${name}.json`;
}
