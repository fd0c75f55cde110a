/**
 * PART OF THE ROOT, in the observer thread: where each number of a row lies in a block of rows, before it is in a sketch.
 *
 *   features that are numbers │ prediction, if it is one │ score │ reconstruction error │ what only the error is made of
 *   └────────────────────── as many as the sketch takes ──────────────────────────────┘
 *
 * Must not know values.
 */
import type { WatchedFeature } from '../core/watched.js';
import { errorName, numericCode, predictionName, type SketchLayout, scoreName } from '../monitor/sketch-layout.js';

/** What is looked at of one input. */
export interface InputPlan {
  readonly input: string;
  /** Of each number: its place in the block, in a row of the tensor, and its feature. */
  readonly places: Int32Array;
  readonly columns: Int32Array;
  readonly features: Int32Array;
  /** Categories and ids, which are counted at once. */
  readonly keys: readonly { readonly feature: number; readonly column: number }[];
  /** What the sketch does not take as a number, but the reconstruction error does. */
  readonly extra: readonly { readonly place: number; readonly column: number }[];
}

export class BlockPlan {
  readonly inputs: readonly InputPlan[];
  readonly width: number;
  /** Of the sketch, for the first columns. */
  readonly features: Int32Array;
  /** −1 = none, or none that is a number. */
  readonly predictionPlace: number;
  readonly scorePlace: number;
  readonly errorPlace: number;
  /** Where each feature lies that the error is made of, in the order of the components. */
  readonly explained: Int32Array;

  constructor(layout: SketchLayout, watched: readonly WatchedFeature[], explained: readonly WatchedFeature[]) {
    const features: number[] = [];
    const placeOf = (feature: number): number => {
      const isNumber = feature !== -1 && layout.kinds[feature] === numericCode;
      return isNumber ? features.push(feature) - 1 : -1;
    };
    const places = new Map<WatchedFeature, number>();
    for (const one of watched) places.set(one, placeOf(layout.indexOf('features', one.name)));
    this.predictionPlace = placeOf(layout.indexOf('outputs', predictionName));
    this.scorePlace = placeOf(layout.indexOf('outputs', scoreName));
    this.errorPlace = explained.length === 0 ? -1 : placeOf(layout.indexOf('multivariate', errorName));
    this.features = Int32Array.from(features);
    let width = features.length;
    const extra = new Map<WatchedFeature, number>();
    for (const one of new Set(explained)) if (places.get(one) === -1) extra.set(one, width++);
    this.width = width;
    this.explained = Int32Array.from(explained, (one) => extra.get(one) ?? places.get(one)!);
    this.inputs = [...new Set(watched.map(({ input }) => input))]
      .map((input): InputPlan => {
        const ours = watched.filter((one) => one.input === input);
        const numbers = ours.filter((one) => places.get(one) !== -1);
        const featureOf = ({ name }: WatchedFeature) => layout.indexOf('features', name);
        const keys = ours.filter((one) => places.get(one) === -1 && featureOf(one) !== -1);
        return {
          input,
          places: Int32Array.from(numbers, (one) => places.get(one)!),
          columns: Int32Array.from(numbers, ({ column }) => column),
          features: Int32Array.from(numbers, featureOf),
          keys: keys.map((one) => ({ feature: featureOf(one), column: one.column })),
          extra: ours.flatMap((one) => (extra.has(one) ? [{ place: extra.get(one)!, column: one.column }] : [])),
        };
      })
      .filter(({ places, keys, extra }) => places.length + keys.length + extra.length > 0);
  }
}
