/**
 * The cases of the ONNX backend test data: a model, and inputs with the outputs that they must give.
 *
 *   data/<group>/<case>/model.onnx, test_data_set_0/{input_0.pb, …, output_0.pb, …}
 *
 * Must not know runtimes or protocols.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../../../src/core/tensor.js';
import { readTensorProto } from './tensor-proto.js';

export interface Case {
  /** Of the case, and of the model that is served for it. */
  readonly name: string;
  readonly directory: string;
}

/** Where the package lies, or undefined when it is not installed. */
export function testdataDirectory(): string | undefined {
  const { stdout } = spawnSync('dpkg', ['-L', 'libonnx-testdata'], { encoding: 'utf8' });
  return stdout?.split('\n').find((path) => path.endsWith('/data'));
}

export function listCases(root: string): Case[] {
  const directories = readdirSync(root).flatMap((group) =>
    readdirSync(join(root, group)).map((name) => join(root, group, name)),
  );
  return directories
    .filter((directory) => existsSync(join(directory, 'model.onnx')))
    .map((directory) => ({ name: directory.slice(directory.lastIndexOf('/') + 1), directory }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Data sets of a case, by directory. */
export function dataSetsOf({ directory }: Case): string[] {
  const names = readdirSync(directory).filter((name) => name.startsWith('test_data_set_'));
  return names.map((name) => join(directory, name));
}

/** `input_0.pb`, `input_1.pb`, … in this order. */
export function readTensors(dataSet: string, kind: 'input' | 'output'): Tensor[] {
  const count = readdirSync(dataSet).filter((name) => name.startsWith(`${kind}_`)).length;
  return Array.from({ length: count }, (_, i) => readTensorProto(readFileSync(join(dataSet, `${kind}_${i}.pb`))));
}
