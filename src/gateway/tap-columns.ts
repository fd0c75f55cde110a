/**
 * PART OF THE ROOT, in the observer thread: the features of a profile, read off the tensors of an event.
 *
 *   inputs  ─▶ columns of declared features ─▶ ┐
 *   outputs ─▶ prediction, score            ─▶ ├ a sketch: column by column, then the number of rows
 *   both    ─▶ reconstruction error         ─▶ ┘
 *
 * Values are already as the model had them. Of a tensor that was cut only the whole rows count.
 *
 * Must not know minutes, or where profiles come from.
 */
import type { Watched, WatchedFeature } from '../core/watched.js';
import type { ReferenceProfile } from '../monitor/profile-document.js';
import { Reconstruction } from '../monitor/reconstruction.js';
import type { Sketch } from '../monitor/sketch.js';
import { errorName, predictionName, type SketchLayout, scoreName } from '../monitor/sketch-layout.js';
import type { Prediction } from './prediction.js';
import {
  cellAt,
  perItem,
  predictionsOf,
  type Rows,
  type SeenEvent,
  type SeenTensor,
  type SeenTensors,
} from './seen.js';

interface Place {
  /** In the sketch. */
  readonly feature: number;
  readonly input: string;
  readonly column: number;
  /** Whole numbers of 64 bits are categories by their text. */
  readonly isNumeric: boolean;
}

export class TapColumns {
  readonly #watched: Watched;
  readonly #places: readonly Place[];
  readonly #inputs: ReadonlySet<string>;
  readonly #prediction: number;
  readonly #isPredictionNumeric: boolean;
  readonly #score: number;
  readonly #error: number;
  readonly #pca: { readonly reconstruction: Reconstruction; readonly features: readonly WatchedFeature[] } | undefined;
  readonly #row: Float64Array;

  constructor(layout: SketchLayout, profile: ReferenceProfile, watched: Watched) {
    this.#watched = watched;
    this.#places = watched.features.flatMap(({ name, input, column }) => {
      const feature = layout.indexOf('features', name);
      if (feature === -1) return [];
      return [{ feature, input, column, isNumeric: layout.features[feature]!.profile.kind === 'numeric' }];
    });
    this.#inputs = new Set(this.#places.map(({ input }) => input));
    this.#prediction = layout.indexOf('outputs', predictionName);
    this.#isPredictionNumeric = profile.prediction?.kind === 'numeric';
    this.#score = layout.indexOf('outputs', scoreName);
    this.#error = layout.indexOf('multivariate', errorName);
    const features = (profile.pca?.features ?? []).flatMap(
      (name) => watched.features.find((feature) => feature.name === name) ?? [],
    );
    const isWhole = this.#error !== -1 && features.length === profile.pca?.features.length;
    this.#pca = isWhole ? { reconstruction: new Reconstruction(profile.pca!), features } : undefined;
    this.#row = new Float64Array(features.length);
  }

  /** @returns the rows that were added */
  add(sketch: Sketch, event: SeenEvent, tensors: SeenTensors): number {
    const items = Math.max(1, event.items);
    const rows = wholeRows(tensors.inputs, this.#inputs, items);
    for (const place of this.#places) {
      const tensor = tensors.inputs.find(({ name }) => name === place.input);
      if (tensor !== undefined) addColumn(sketch, place, tensor, { items, rows });
    }
    if (this.#prediction !== -1 || this.#score !== -1) this.#addOutputs(sketch, event, tensors.outputs, rows);
    if (this.#pca !== undefined) this.#addErrors(sketch, tensors.inputs, { items, rows });
    sketch.addRows(rows);
    return rows;
  }

  #addOutputs(sketch: Sketch, event: SeenEvent, outputs: readonly SeenTensor[], rows: number): void {
    if (event.items <= 1) {
      this.#addOutput(sketch, { label: event.prediction, score: event.score });
      return;
    }
    const told = predictionsOf(outputs, { items: event.items, rows, watched: this.#watched });
    for (const prediction of told) this.#addOutput(sketch, prediction);
  }

  #addOutput(sketch: Sketch, { label, score }: Prediction): void {
    if (this.#prediction !== -1 && label !== undefined) {
      if (this.#isPredictionNumeric) sketch.addNumber(this.#prediction, Number(label));
      else sketch.addKey(this.#prediction, label);
    }
    if (this.#score !== -1 && score !== undefined) sketch.addNumber(this.#score, score);
  }

  #addErrors(sketch: Sketch, inputs: readonly SeenTensor[], { items, rows }: Rows): void {
    const { features, reconstruction } = this.#pca!;
    const tensors = features.map((feature) => inputs.find(({ name }) => name === feature.input));
    for (let item = 0; item < rows; item++) {
      for (let i = 0; i < features.length; i++) {
        const tensor = tensors[i];
        const cell = tensor && cellAt(tensor, item * perItem(tensor, items) + features[i]!.column);
        this.#row[i] = typeof cell === 'string' || cell === undefined ? NaN : Number(cell);
      }
      sketch.addNumber(this.#error, reconstruction.errorOf(this.#row));
    }
  }
}

/** Items of which everything was kept, in those inputs that are looked at. */
function wholeRows(tensors: readonly SeenTensor[], inputs: ReadonlySet<string>, items: number): number {
  let rows = items;
  for (const tensor of tensors) {
    const width = perItem(tensor, items);
    if (width > 0 && inputs.has(tensor.name)) rows = Math.min(rows, Math.floor(tensor.data.length / width));
  }
  return rows;
}

function addColumn(
  sketch: Sketch,
  { feature, column, isNumeric }: Place,
  tensor: SeenTensor,
  { items, rows }: Rows,
): void {
  const width = perItem(tensor, items);
  const { data, datatype } = tensor;
  if (datatype === 'FP32' || datatype === 'FP64') {
    const numbers = data as Float32Array;
    for (let item = 0, at = column; item < rows; item++, at += width) sketch.addNumber(feature, numbers[at]!);
    return;
  }
  for (let item = 0, at = column; item < rows; item++, at += width) {
    const cell = cellAt(tensor, at);
    if (cell === undefined) continue;
    if (typeof cell === 'number') sketch.addNumber(feature, cell);
    else if (typeof cell === 'string') sketch.addKey(feature, cell);
    else if (isNumeric) sketch.addNumber(feature, Number(cell));
    else sketch.addKey(feature, String(cell));
  }
}
