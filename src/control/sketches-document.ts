/**
 * PART OF THE ROOT: what was counted of each feature, for whoever computes measures of his own.
 *
 * Must not know how it is counted, or what is concluded.
 */
import type { SketchStretch } from '../admin/drift-operations.js';
import { isoOf } from '../monitor/drift-document.js';
import { binNames } from '../monitor/feature-bins.js';
import type { FeatureProfile } from '../monitor/profile.js';
import type { FeatureCounts, Sketch } from '../monitor/sketch.js';
import type { Family } from '../monitor/sketch-layout.js';
import type { SketchWindow } from '../monitor/windows.js';
import type { ShownVersion, VersionDriftDocument } from './model-drift-document.js';

interface SketchedFeatureDocument extends FeatureCounts {
  readonly name: string;
  readonly family: Family;
  readonly kind: FeatureProfile['kind'];
  /** Of a numeric feature: counts are those below lo, of [lo, e₁], (e₁, e₂] … (eₘ, hi], and those above hi. */
  readonly lo?: number | null;
  readonly hi?: number | null;
  readonly edges?: readonly number[];
  /** Of a categorical feature: the key of each count. */
  readonly keys?: readonly string[];
}

export interface RoleSketch {
  readonly role: string;
  /** Null when there is nothing of the stretch that was asked for. */
  readonly window: {
    readonly from: string;
    readonly to: string;
    readonly rows: number;
    readonly degraded: boolean;
  } | null;
  readonly features: readonly SketchedFeatureDocument[];
}

interface VersionSketches {
  readonly version: string;
  readonly sha256: string;
  /** Whose bins these are; null: nothing is counted without a profile. */
  readonly baseline: VersionDriftDocument['baseline'];
  readonly roles: readonly RoleSketch[];
}

export interface ModelSketchesDocument {
  readonly model: string;
  readonly versions: readonly VersionSketches[];
}

export function sketchesOf(
  { id, sha256, series }: ShownVersion,
  stretch: SketchStretch,
  epochMs: number,
): VersionSketches {
  const [first] = series.values();
  return {
    version: id.version,
    sha256,
    baseline: first?.profile.baseline ?? null,
    roles: Array.from(series, ([role, one]) => roleSketch(role, one.window(stretch, epochMs))),
  };
}

function roleSketch(role: string, window: SketchWindow | undefined): RoleSketch {
  if (window === undefined || window.sketch.rows === 0) return { role, window: null, features: [] };
  const { sketch, fromMinute, toMinute, degraded } = window;
  return {
    role,
    window: { from: isoOf(fromMinute), to: isoOf(toMinute + 1), rows: sketch.rows, degraded },
    features: sketch.layout.features.map((_, index) => featureOf(sketch, index)),
  };
}

function featureOf(sketch: Sketch, index: number): SketchedFeatureDocument {
  const { name, family, profile } = sketch.layout.features[index]!;
  return { name, family, kind: profile.kind, ...binsOf(profile), ...sketch.countsOf(index) };
}

function binsOf(profile: FeatureProfile): Pick<SketchedFeatureDocument, 'lo' | 'hi' | 'edges' | 'keys'> {
  if (profile.kind === 'numeric') return { lo: profile.lo, hi: profile.hi, edges: profile.edges };
  return profile.kind === 'categorical' ? { keys: binNames(profile) } : {};
}
