/**
 * The models that tests run, as the bytes of model.onnx, and the folders they lie in.
 *
 * Each is a function, so a test reads as what it needs: `writeRepository(directory, { simple: addSub() })`. Inputs and
 * outputs are named as in Triton's examples, INPUT0… and OUTPUT0…. fixtures.test.ts runs every one of them.
 *
 * Must not know who serves them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DataType } from '../src/core/tensor.js';
import {
  type Dimension,
  type ElementType,
  externalTensor,
  graph,
  mapType,
  model,
  node,
  sequenceType,
  tensor,
  tensorType,
  typed,
  value,
} from './onnx-writer.js';

/** The V2 datatypes that onnxruntime-node carries. */
export const carriedTypes = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const satisfies readonly DataType[];

const rows = ['batch', 'n'] as const;

function floats(values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

function integers(...values: readonly (number | bigint)[]): Uint8Array {
  return new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
}

const truth = Uint8Array.of(1);

/** INPUT0 → OUTPUT0, unchanged. */
export function identity(datatype: ElementType = 'FP32', dims: readonly Dimension[] = rows): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', datatype, dims)],
      outputs: [value('OUTPUT0', datatype, dims)],
      nodes: [node('Identity', ['INPUT0'], ['OUTPUT0'])],
    }),
  );
}

/** The runtime itself takes BF16, but onnxruntime-node does not. */
export function bf16(): Buffer {
  return identity('BF16');
}

/** A first dimension that does not vary: never batched. */
export function noBatch(): Buffer {
  return identity('FP32', [4, 3]);
}

/** Rows of any length: requests of unlike lengths must not meet in a batch. */
export function twoDynamicDims(): Buffer {
  return identity('FP32', ['batch', 'time', 2]);
}

/** Triton's "simple": OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 − INPUT1. */
export function addSub(datatype: ElementType = 'INT32', dims: readonly Dimension[] = ['batch', 16]): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', datatype, dims), value('INPUT1', datatype, dims)],
      outputs: [value('OUTPUT0', datatype, dims), value('OUTPUT1', datatype, dims)],
      nodes: [node('Add', ['INPUT0', 'INPUT1'], ['OUTPUT0']), node('Sub', ['INPUT0', 'INPUT1'], ['OUTPUT1'])],
    }),
  );
}

/** OUTPUT0 = INPUT0 + 1, both of shape []. */
export function scalar(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', [])],
      outputs: [value('OUTPUT0', 'FP32', [])],
      nodes: [node('Add', ['INPUT0', 'one'], ['OUTPUT0'])],
      initializers: [tensor('one', 'FP32', [], floats([1]))],
    }),
  );
}

/** No inputs: OUTPUT0 = [1, 2, 3]. */
export function constantOnly(): Buffer {
  return model(
    graph({
      outputs: [value('OUTPUT0', 'FP32', [3])],
      nodes: [node('Constant', [], ['OUTPUT0'], { value: { tensor: tensor('', 'FP32', [3], floats([1, 2, 3])) } })],
    }),
  );
}

/** Fully connected layers with ReLU between and softmax at the end; the same weights every time. */
export function dense(sizes: readonly number[] = [30, 64, 32, 2], seed = sizes.length): Buffer {
  const random = pseudoRandom(seed);
  const nodes: Buffer[] = [];
  const initializers: Buffer[] = [];
  const layers = sizes.length - 1;
  for (let layer = 0; layer < layers; layer++) {
    const [from, to] = [sizes[layer]!, sizes[layer + 1]!];
    const weights = Array.from({ length: from * to }, () => (random() - 0.5) * (4 / Math.sqrt(from)));
    initializers.push(tensor(`w${layer}`, 'FP32', [from, to], floats(weights)));
    initializers.push(tensor(`b${layer}`, 'FP32', [to], floats(Array.from({ length: to }, () => random() - 0.5))));
    const input = layer === 0 ? 'INPUT0' : `a${layer}`;
    nodes.push(node('Gemm', [input, `w${layer}`, `b${layer}`], [`z${layer}`]));
    if (layer < layers - 1) nodes.push(node('Relu', [`z${layer}`], [`a${layer + 1}`]));
  }
  nodes.push(node('Softmax', [`z${layers - 1}`], ['OUTPUT0'], { axis: { int: 1 } }));
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', ['batch', sizes[0]])],
      outputs: [value('OUTPUT0', 'FP32', ['batch', sizes.at(-1)])],
      nodes,
      initializers,
    }),
  );
}

/** Mulberry32: numbers in [0, 1), the same for the same seed. */
export function pseudoRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** OUTPUT0 = INPUT0 / INPUT1 in INT32. INT_MIN / −1 ends the process with SIGFPE; a division by zero is a clean error. */
export function divInt(dims: readonly Dimension[] = rows): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'INT32', dims), value('INPUT1', 'INT32', dims)],
      outputs: [value('OUTPUT0', 'INT32', dims)],
      nodes: [node('Div', ['INPUT0', 'INPUT1'], ['OUTPUT0'])],
    }),
  );
}

/** OUTPUT0 = INPUT0 / INPUT0 and OUTPUT1 = 1 / INPUT0: 0 gives NaN and infinity. */
export function nanOut(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', rows)],
      outputs: [value('OUTPUT0', 'FP32', rows), value('OUTPUT1', 'FP32', rows)],
      nodes: [node('Div', ['INPUT0', 'INPUT0'], ['OUTPUT0']), node('Div', ['one', 'INPUT0'], ['OUTPUT1'])],
      initializers: [tensor('one', 'FP32', [], floats([1]))],
    }),
  );
}

/** Runs for ever (2^62 trips) when an element is above 0; else OUTPUT0 = INPUT0 at once. */
export function loopForever(dims: readonly Dimension[] = rows): Buffer {
  return looping(dims, {
    trips: [
      node('ReduceMax', ['INPUT0'], ['highest'], { keepdims: { int: 0 } }),
      node('Greater', ['highest', 'zero'], ['isAbove']),
      node('Where', ['isAbove', 'endless', 'none'], ['trips']),
    ],
    initializers: [
      tensor('zero', 'FP32', [], floats([0])),
      tensor('endless', 'INT64', [], integers(2n ** 62n)),
      tensor('none', 'INT64', [], integers(0)),
    ],
  });
}

/**
 * OUTPUT0 = INPUT0 after as many trips round a loop as its highest element says; a trip multiplies two 64×64 matrices,
 * which takes about 10 µs.
 */
export function slow(dims: readonly Dimension[] = rows): Buffer {
  return looping(dims, {
    trips: [
      node('ReduceMax', ['INPUT0'], ['highest'], { keepdims: { int: 0 } }),
      node('Cast', ['highest'], ['trips'], { to: { int: 7 } }),
    ],
    initializers: [],
  });
}

/** INPUT0 plus nothing, after `trips` turns of a matrix that stays what it is. */
function looping(
  dims: readonly Dimension[],
  parts: { readonly trips: readonly Buffer[]; readonly initializers: readonly Buffer[] },
): Buffer {
  const size = 64;
  const shifted = Array.from({ length: size * size }, (_, index) =>
    index % size === (Math.floor(index / size) + 1) % size ? 1 : 0,
  );
  const body = graph({
    inputs: [value('trip', 'INT64', []), value('goesOn', 'BOOL', []), value('matrix', 'FP32', [size, size])],
    outputs: [value('goesOnNext', 'BOOL', []), value('matrixNext', 'FP32', [size, size])],
    nodes: [node('Identity', ['goesOn'], ['goesOnNext']), node('MatMul', ['matrix', 'turn'], ['matrixNext'])],
  });
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', dims)],
      outputs: [value('OUTPUT0', 'FP32', dims)],
      nodes: [
        ...parts.trips,
        node('Loop', ['trips', 'true', 'turn'], ['turned'], { body: { graph: body } }),
        node('ReduceSum', ['turned'], ['sum'], { keepdims: { int: 0 } }),
        node('Sub', ['sum', 'size'], ['nothing']),
        node('Add', ['INPUT0', 'nothing'], ['OUTPUT0']),
      ],
      initializers: [
        ...parts.initializers,
        tensor('true', 'BOOL', [], truth),
        tensor('turn', 'FP32', [size, size], floats(shifted)),
        tensor('size', 'FP32', [], floats([size])),
      ],
    }),
  );
}

/** OUTPUT0 = 7 for each element that rounds to 0; any other one is beyond the table, and the request is refused. */
export function failsBeyondZero(dims: readonly Dimension[] = rows): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', dims)],
      outputs: [value('OUTPUT0', 'FP32', dims)],
      nodes: [
        node('Cast', ['INPUT0'], ['places'], { to: { int: 7 } }),
        node('Gather', ['table', 'places'], ['OUTPUT0'], { axis: { int: 0 } }),
      ],
      initializers: [tensor('table', 'FP32', [1], floats([7]))],
    }),
  );
}

/** OUTPUT0 = 0, 1, 2, … below INPUT0: the caller decides how large the answer is. */
export function rangeByInput(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'INT64', [1])],
      outputs: [value('OUTPUT0', 'INT64', ['length'])],
      nodes: [node('Squeeze', ['INPUT0', 'axis'], ['limit']), node('Range', ['zero', 'limit', 'one'], ['OUTPUT0'])],
      initializers: [
        tensor('axis', 'INT64', [1], integers(0)),
        tensor('zero', 'INT64', [], integers(0)),
        tensor('one', 'INT64', [], integers(1)),
      ],
    }),
  );
}

/** OUTPUT0 = INPUT0 + the mean of all rows: looks batchable and is not. */
export function mixesRows(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', rows)],
      outputs: [value('OUTPUT0', 'FP32', rows)],
      nodes: [
        node('ReduceMean', ['INPUT0'], ['mean'], { axes: { ints: [0] }, keepdims: { int: 1 } }),
        node('Add', ['INPUT0', 'mean'], ['OUTPUT0']),
      ],
    }),
  );
}

/** Rows of 4 become 2×2; any other length passes every check and fails in the run. */
export function refusesShape(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', rows)],
      outputs: [value('OUTPUT0', 'FP32', ['batch', 2, 2])],
      nodes: [node('Reshape', ['INPUT0', 'shape'], ['OUTPUT0'])],
      initializers: [tensor('shape', 'INT64', [3], integers(0, 2, 2))],
    }),
  );
}

/** OUTPUT0 is a sequence of two tensors: loads, but no protocol carries it. */
export function sequenceOut(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', rows)],
      outputs: [typed('OUTPUT0', sequenceType(tensorType('FP32', rows)))],
      nodes: [node('SequenceConstruct', ['INPUT0', 'INPUT0'], ['OUTPUT0'])],
    }),
  );
}

/** What scikit-learn's converter makes without zipmap=False: a sequence of maps. */
export function zipMapOut(): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', ['batch', 2])],
      outputs: [typed('OUTPUT0', sequenceType(mapType('INT64', tensorType('FP32', []))))],
      nodes: [node('ZipMap', ['INPUT0'], ['OUTPUT0'], { classlabels_int64s: { ints: [0, 1] } }, 'ai.onnx.ml')],
    }),
    { domains: { 'ai.onnx.ml': 3 } },
  );
}

/** OUTPUT0 = INPUT0 + the first float of the file `location`, which lies beside the model. */
export function externalWeight(location = 'weights.bin'): Buffer {
  return model(
    graph({
      inputs: [value('INPUT0', 'FP32', rows)],
      outputs: [value('OUTPUT0', 'FP32', rows)],
      nodes: [node('Add', ['INPUT0', 'weight'], ['OUTPUT0'])],
      initializers: [externalTensor('weight', 'FP32', [1], location)],
    }),
  );
}

/** A model cut off in the middle. */
export function truncated(): Buffer {
  const whole = dense();
  return whole.subarray(0, Math.floor(whole.length / 2));
}

/** Bytes that are no model; the same every time. */
export function garbage(length = 4096): Buffer {
  const random = pseudoRandom(length);
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

/** A version's model, or all its files by path below its directory. */
export type VersionFiles = Buffer | Readonly<Record<string, Buffer | string>>;

export interface ModelFiles {
  readonly versions: Readonly<Record<string, VersionFiles>>;
  /** Files beside the versions by name: a configuration, labels. */
  readonly beside?: Readonly<Record<string, string>>;
}

/** Writes `<directory>/<model>/<version>/model.onnx`. A buffer alone is version 1. @returns the directory */
export function writeRepository(directory: string, models: Readonly<Record<string, Buffer | ModelFiles>>): string {
  for (const [name, files] of Object.entries(models)) {
    const { versions, beside = {} } = Buffer.isBuffer(files) ? { versions: { 1: files } } : (files as ModelFiles);
    for (const [version, contents] of Object.entries(versions)) {
      const named = Buffer.isBuffer(contents)
        ? { 'model.onnx': contents }
        : (contents as Readonly<Record<string, Buffer | string>>);
      for (const [file, bytes] of Object.entries(named)) writeDeep(join(directory, name, version, file), bytes);
    }
    for (const [file, text] of Object.entries(beside)) writeDeep(join(directory, name, file), text);
  }
  return directory;
}

function writeDeep(path: string, contents: Buffer | string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}
