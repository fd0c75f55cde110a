/**
 * PART OF THE ROOT, in the observer thread: the features of a profile, read off the tensors of an event.
 *
 *   inputs  ─▶ numbers of declared features ─▶ ┐ a block of rows ─ full, or flush ─▶ errors, then column by column ─▶ sketch
 *   outputs ─▶ prediction, score            ─▶ ┘
 *   categories, ids, expected outcomes      ─▶ the sketch at once
 *
 * Rows wait in a block because many at once cost half of what they cost one by one (bench/micro/prediction-observer). Whoever
 * reads a sketch, or closes it, flushes first.
 *
 * Values are already as the model had them. Of a tensor that was cut only the whole rows count.
 *
 * Must not know minutes, or where profiles come from.
 */
import type { Watched } from '../core/watched.js';
import { Chances } from '../monitor/cbpe.js';
import type { ReferenceProfile } from '../monitor/profile-document.js';
import { Reconstruction } from '../monitor/reconstruction.js';
import type { Sketch } from '../monitor/sketch.js';
import { errorName, predictionName, type SketchLayout } from '../monitor/sketch-layout.js';
import { BlockPlan, type InputPlan } from './block-plan.js';
import type { Prediction } from './prediction.js';
import {
  type Cell,
  cellAt,
  perItem,
  predictionsOf,
  type SeenEvent,
  type SeenTensor,
  type SeenTensors,
  tensorNamed,
} from './seen.js';

/** Of a block: what its columns take from the processor's nearest cache. */
const blockDoubles = 2048;
const blockRowsMin = 8;

export class TapColumns {
  readonly #watched: Watched;
  readonly #plan: BlockPlan;
  readonly #prediction: number;
  readonly #hasOutputs: boolean;
  /** Undefined where scores are not calibrated, or nobody says what they are of. */
  readonly #chances: Chances | undefined;
  /** Of several classes the score is that of the predicted one. */
  readonly #isBinary: boolean;
  readonly #reconstruction: Reconstruction | undefined;
  readonly #block: { readonly values: Float64Array; readonly width: number; rows: number };
  readonly #rowsMax: number;
  /** Those of the event at hand, in the order of the plan's inputs. */
  readonly #tensors: (SeenTensor | undefined)[] = [];
  /** Whose rows wait. */
  #sketch: Sketch | undefined;
  readonly #row: OpenRow;

  constructor(layout: SketchLayout, profile: ReferenceProfile, watched: Watched) {
    this.#watched = watched;
    const { task, threshold = 0.5 } = watched.semantics ?? {};
    const { calibration } = profile;
    this.#isBinary = task === 'binary';
    this.#chances =
      calibration && (this.#isBinary || task === 'multiclass') ? new Chances({ calibration, threshold }) : undefined;
    const explained = (profile.pca?.features ?? []).flatMap(
      (name) => watched.features.find((feature) => feature.name === name) ?? [],
    );
    const isWhole =
      layout.indexOf('multivariate', errorName) !== -1 && explained.length === profile.pca?.features.length;
    this.#reconstruction = isWhole ? new Reconstruction(profile.pca!) : undefined;
    this.#plan = new BlockPlan(layout, watched.features, isWhole ? explained : []);
    this.#prediction = layout.indexOf('outputs', predictionName);
    const { width, scorePlace } = this.#plan;
    this.#hasOutputs = this.#prediction !== -1 || scorePlace !== -1 || this.#chances !== undefined;
    this.#rowsMax = Math.max(blockRowsMin, Math.floor(blockDoubles / Math.max(1, width)));
    this.#block = { values: new Float64Array(width * this.#rowsMax), width, rows: 0 };
    this.#row = { values: this.#block.values, at: 0, start: 0 };
  }

  /** @returns the rows that were added, or wait to be */
  add(sketch: Sketch, event: SeenEvent, tensors: SeenTensors): number {
    const items = Math.max(1, event.items);
    if (sketch !== this.#sketch) {
      this.flush();
      this.#sketch = sketch;
    }
    const rows = this.#findTensors(tensors.inputs, items);
    const told =
      items > 1 && this.#hasOutputs
        ? predictionsOf(tensors.outputs, { items: event.items, rows, watched: this.#watched })
        : undefined;
    const row = this.#row;
    for (let item = 0; item < rows; item++) {
      if (this.#block.rows === this.#rowsMax) this.flush();
      row.at = this.#block.rows++ * this.#block.width;
      for (let i = 0; i < this.#plan.inputs.length; i++) {
        const tensor = this.#tensors[i];
        if (tensor === undefined) putNothing(row, this.#plan.inputs[i]!);
        else {
          row.start = item * perItem(tensor, items);
          putItem(row, sketch, this.#plan.inputs[i]!, tensor);
        }
      }
      if (!this.#hasOutputs) continue;
      if (told === undefined) this.#putOutput(row, sketch, event.prediction, event.score);
      else this.#putOutput(row, sketch, told[item]!.label, told[item]!.score);
    }
    return rows;
  }

  /** @returns the items of which everything was kept */
  #findTensors(inputs: readonly SeenTensor[], items: number): number {
    let rows = items;
    for (let i = 0; i < this.#plan.inputs.length; i++) {
      const tensor = tensorNamed(inputs, this.#plan.inputs[i]!.input);
      this.#tensors[i] = tensor;
      if (tensor !== undefined) rows = Math.min(rows, wholeRows(tensor, items));
    }
    return rows;
  }

  #putOutput({ values, at }: OpenRow, sketch: Sketch, label: Prediction['label'], score: Prediction['score']): void {
    const { predictionPlace, scorePlace } = this.#plan;
    if (predictionPlace !== -1) values[at + predictionPlace] = label === undefined ? NaN : Number(label);
    else if (this.#prediction !== -1 && label !== undefined) sketch.addKey(this.#prediction, label);
    if (scorePlace !== -1) values[at + scorePlace] = score ?? NaN;
    const chances = this.#chances;
    if (chances !== undefined && score !== undefined && score - score === 0)
      sketch.addExpected(chances.of(score), !this.#isBinary || chances.isPositive(score));
  }

  /** Adds the rows that wait. */
  flush(): void {
    const block = this.#block;
    const sketch = this.#sketch;
    if (block.rows === 0 || sketch === undefined) return;
    const { explained, errorPlace, features } = this.#plan;
    this.#reconstruction?.putErrors(block, explained, errorPlace);
    sketch.addBlock(block, features);
    sketch.addRows(block.rows);
    block.rows = 0;
  }
}

/** Items of which everything was kept. */
function wholeRows(tensor: SeenTensor, items: number): number {
  const width = perItem(tensor, items);
  return width > 0 ? Math.min(items, Math.floor(tensor.data.length / width)) : items;
}

/** A row of the block that is being filled: where it begins there, and in the tensor. */
interface OpenRow {
  readonly values: Float64Array;
  at: number;
  start: number;
}

function putNothing({ values, at }: OpenRow, { places, extra }: InputPlan): void {
  for (let i = 0; i < places.length; i++) values[at + places[i]!] = NaN;
  for (let i = 0; i < extra.length; i++) values[at + extra[i]!.place] = NaN;
}

function putItem({ values, at, start }: OpenRow, sketch: Sketch, input: InputPlan, tensor: SeenTensor): void {
  const { places, columns, features, keys, extra } = input;
  const isFloat = tensor.datatype === 'FP32' || tensor.datatype === 'FP64';
  const numbers = tensor.data as Float32Array;
  if (isFloat) for (let i = 0; i < places.length; i++) values[at + places[i]!] = numbers[start + columns[i]!]!;
  else
    for (let i = 0; i < places.length; i++)
      values[at + places[i]!] = numberIn(cellAt(tensor, start + columns[i]!), sketch, features[i]!);
  for (let i = 0; i < keys.length; i++) addCell(sketch, keys[i]!.feature, cellAt(tensor, start + keys[i]!.column));
  for (let i = 0; i < extra.length; i++) {
    const cell = cellAt(tensor, start + extra[i]!.column);
    values[at + extra[i]!.place] = typeof cell === 'string' || cell === undefined ? NaN : Number(cell);
  }
}

/** A text where a number belongs is invalid, which is counted at once. */
function numberIn(cell: Cell | undefined, sketch: Sketch, feature: number): number {
  if (typeof cell === 'number') return cell;
  if (typeof cell !== 'string') return cell === undefined ? NaN : Number(cell);
  sketch.addKey(feature, cell);
  return NaN;
}

function addCell(sketch: Sketch, feature: number, cell: Cell | undefined): void {
  if (cell === undefined) return;
  if (typeof cell === 'number') sketch.addNumber(feature, cell);
  else sketch.addKey(feature, String(cell));
}
