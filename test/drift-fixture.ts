/**
 * What the tests of drift share: profiles of given features, and normal values from seeded chance.
 */
import type { FeatureProfile } from '../src/monitor/profile.js';
import type { ReferenceProfile } from '../src/monitor/profile-document.js';
import { Sketch } from '../src/monitor/sketch.js';
import type { SketchLayout } from '../src/monitor/sketch-layout.js';

export function profileOf(
  features: Readonly<Record<string, FeatureProfile>>,
  more: Partial<ReferenceProfile> = {},
): ReferenceProfile {
  return { profile_version: 1, model: 'fraud', version: '7', baseline: 'training', features, ...more };
}

/** Box and Muller's pairs, one at a time. */
export function normals(chance: () => number): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - chance()));
    const angle = 2 * Math.PI * chance();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** Rows of numbers and texts in the order of the layout; null = missing. */
export function sketchOf(layout: SketchLayout, rows: readonly (readonly (number | string | null)[])[]): Sketch {
  const sketch = new Sketch(layout);
  for (const row of rows) {
    for (const [feature, value] of row.entries()) {
      if (typeof value === 'number') sketch.addNumber(feature, value);
      else sketch.addKey(feature, value);
    }
    sketch.addRows(1);
  }
  return sketch;
}
