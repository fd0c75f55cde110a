/**
 * PART OF THE ROOT, in the observer thread: the features of a profile, read off the tensors of an event.
 *
 *   inputs  ─▶ columns of declared features ─▶ ┐
 *   outputs ─▶ prediction, score            ─▶ ├ a sketch: row by row, then the number of rows
 *   scores  ─▶ expected outcomes            ─▶ ┤
 *   inputs  ─▶ reconstruction error         ─▶ ┘
 *
 * Values are already as the model had them. Of a tensor that was cut only the whole rows count.
 *
 * Must not know minutes, or where profiles come from.
 */
import type { Watched, WatchedFeature } from '../core/watched.js';
import { Chances } from '../monitor/cbpe.js';
import type { ReferenceProfile } from '../monitor/profile-document.js';
import { Reconstruction } from '../monitor/reconstruction.js';
import type { Sketch } from '../monitor/sketch.js';
import { errorName, predictionName, type SketchLayout, scoreName } from '../monitor/sketch-layout.js';
import type { Prediction } from './prediction.js';
import {
  type Cell,
  cellAt,
  perItem,
  predictionsOf,
  type Rows,
  type SeenEvent,
  type SeenTensor,
  type SeenTensors,
} from './seen.js';

/** What is looked at of one input: each feature's place in the sketch and in a row. */
interface Columns {
  readonly input: string;
  readonly features: Int32Array;
  readonly columns: Int32Array;
  /** Whole numbers of 64 bits are categories by their text where this is 0. */
  readonly isNumeric: Uint8Array;
}

export class TapColumns {
  readonly #watched: Watched;
  readonly #inputs: readonly Columns[];
  readonly #prediction: number;
  readonly #isPredictionNumeric: boolean;
  readonly #score: number;
  readonly #error: number;
  /** Undefined where scores are not calibrated, or nobody says what they are of. */
  readonly #chances: Chances | undefined;
  /** Of several classes the score is that of the predicted one. */
  readonly #isBinary: boolean;
  readonly #pca: { readonly reconstruction: Reconstruction; readonly features: readonly WatchedFeature[] } | undefined;
  readonly #row: Float64Array;

  constructor(layout: SketchLayout, profile: ReferenceProfile, watched: Watched) {
    this.#watched = watched;
    this.#inputs = columnsOf(layout, watched);
    this.#prediction = layout.indexOf('outputs', predictionName);
    this.#isPredictionNumeric = profile.prediction?.kind === 'numeric';
    this.#score = layout.indexOf('outputs', scoreName);
    this.#error = layout.indexOf('multivariate', errorName);
    const { task, threshold = 0.5 } = watched.semantics ?? {};
    const { calibration } = profile;
    this.#isBinary = task === 'binary';
    this.#chances =
      calibration && (this.#isBinary || task === 'multiclass') ? new Chances({ calibration, threshold }) : undefined;
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
    const { inputs } = tensors;
    let rows = items;
    for (const columns of this.#inputs) {
      const tensor = inputs.find(({ name }) => name === columns.input);
      if (tensor !== undefined) rows = Math.min(rows, wholeRows(tensor, items));
    }
    for (const columns of this.#inputs) {
      const tensor = inputs.find(({ name }) => name === columns.input);
      if (tensor !== undefined) addColumns(sketch, columns, tensor, { items, rows });
    }
    if (this.#prediction !== -1 || this.#score !== -1 || this.#chances !== undefined)
      this.#addOutputs(sketch, event, tensors.outputs, rows);
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
    if (score === undefined) return;
    if (this.#score !== -1) sketch.addNumber(this.#score, score);
    const chances = this.#chances;
    if (chances !== undefined && score - score === 0)
      sketch.addExpected(chances.of(score), !this.#isBinary || chances.isPositive(score));
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

function columnsOf(layout: SketchLayout, { features }: Watched): Columns[] {
  const known = features.filter(({ name }) => layout.indexOf('features', name) !== -1);
  return [...new Set(known.map(({ input }) => input))].map((input) => {
    const ours = known.filter((feature) => feature.input === input);
    const places = ours.map(({ name }) => layout.indexOf('features', name));
    return {
      input,
      features: Int32Array.from(places),
      columns: Int32Array.from(ours, ({ column }) => column),
      isNumeric: Uint8Array.from(places, (place) => Number(layout.features[place]!.profile.kind === 'numeric')),
    };
  });
}

/** Items of which everything was kept. */
function wholeRows(tensor: SeenTensor, items: number): number {
  const width = perItem(tensor, items);
  return width > 0 ? Math.min(items, Math.floor(tensor.data.length / width)) : items;
}

/** Row by row: column by column, 23 features of a single row took two to three times as long (measured). */
function addColumns(sketch: Sketch, inputs: Columns, tensor: SeenTensor, { items, rows }: Rows): void {
  const { features, columns } = inputs;
  const width = perItem(tensor, items);
  const isFloat = tensor.datatype === 'FP32' || tensor.datatype === 'FP64';
  const numbers = tensor.data as Float32Array;
  for (let item = 0, start = 0; item < rows; item++, start += width) {
    for (let i = 0; i < features.length; i++) {
      if (isFloat) sketch.addNumber(features[i]!, numbers[start + columns[i]!]!);
      else addCell(sketch, features[i]!, cellAt(tensor, start + columns[i]!), inputs.isNumeric[i] === 1);
    }
  }
}

function addCell(sketch: Sketch, feature: number, cell: Cell | undefined, isNumeric: boolean): void {
  if (cell === undefined) return;
  if (typeof cell === 'number') sketch.addNumber(feature, cell);
  else if (typeof cell === 'string') sketch.addKey(feature, cell);
  else if (isNumeric) sketch.addNumber(feature, Number(cell));
  else sketch.addKey(feature, String(cell));
}
