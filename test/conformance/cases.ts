/**
 * The list: what is asked of every transport in every form, and what must come back. A row that says nothing of a form holds
 * in all of them.
 *
 * Must not know transports.
 */
import type { DataType } from '../../src/core/tensor.js';
import type { FormName, SentRequest, SentTensor } from './doors.js';
import { bytesOfElements, type Element, prefixed } from './elements.js';

export interface ExpectedTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

export interface Case {
  readonly name: string;
  readonly send: SentRequest;
  readonly forms?: readonly FormName[];
  readonly outputs?: readonly ExpectedTensor[];
  readonly version?: string;
  /** The sign of a NaN that the model made is the processor's own affair. */
  readonly isAnyNaN?: true;
  /** Of a refusal; absent = answered. */
  readonly code?: string;
  readonly text?: string | RegExp;
}

export function input(
  datatype: DataType,
  shape: readonly (number | bigint)[],
  elements: readonly Element[],
  name = 'INPUT0',
): SentTensor {
  return { name, datatype, shape, bytes: bytesOfElements(datatype, elements) };
}

function output(
  datatype: DataType,
  shape: readonly number[],
  elements: readonly Element[],
  name = 'OUTPUT0',
): ExpectedTensor {
  return { name, datatype, shape, bytes: bytesOfElements(datatype, elements) };
}

/** `elements` go through the identity model of their type and come back to the bit. */
function echo(name: string, datatype: DataType, elements: readonly Element[], forms?: readonly FormName[]): Case {
  return {
    name: `${datatype} ${name} come back to the bit`,
    send: { model: `echo_${datatype}`, inputs: [input(datatype, [elements.length], elements)] },
    outputs: [output(datatype, [elements.length], elements)],
    ...(forms === undefined ? {} : { forms }),
  };
}

const notJson: readonly FormName[] = ['binary', 'raw', 'typed'];
const bytesOnly: readonly FormName[] = ['binary', 'raw'];
const two63 = 2n ** 63n;

const roundTrips: readonly Case[] = [
  echo('truths', 'BOOL', [true, false, true]),
  echo('extremes', 'UINT8', [0, 1, 127, 128, 255]),
  echo('extremes', 'UINT16', [0, 1, 32768, 65535]),
  echo('extremes', 'UINT32', [0, 1, 2 ** 31, 2 ** 32 - 1]),
  echo('extremes', 'UINT64', [0n, 1n, 2n ** 53n + 1n, two63, 2n ** 64n - 1n]),
  echo('extremes', 'INT8', [-128, -1, 0, 127]),
  echo('extremes', 'INT16', [-32768, -1, 0, 32767]),
  echo('extremes', 'INT32', [-(2 ** 31), -1, 0, 2 ** 31 - 1]),
  echo('extremes', 'INT64', [-two63, -(2n ** 53n) - 1n, -1n, 0n, 2n ** 53n + 1n, two63 - 1n]),
  echo(
    'bit patterns, NaN and subnormals among them,',
    'FP16',
    [0, 0x8000, 1, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x7e00],
    bytesOnly,
  ),
  echo(
    'extremes, subnormals, −0, 0.1 and 1/3',
    'FP32',
    [
      ...[0, -0, 1.401298464324817e-45, -1.1754942106924411e-38, 1.1754943508222875e-38],
      ...[3.4028234663852886e38, -3.4028234663852886e38, Math.fround(0.1), Math.fround(1 / 3), 16777217, -1],
    ].map(Math.fround),
  ),
  echo('extremes, subnormals, −0, 0.1 and 1/3', 'FP64', [
    0,
    -0,
    5e-324,
    -2.225073858507201e-308,
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    0.1,
    1 / 3,
    2 ** 53,
  ]),
  echo('NaN and infinities', 'FP32', [NaN, Infinity, -Infinity, 1]),
  echo('NaN and infinities', 'FP64', [NaN, Infinity, -Infinity, 1]),
  echo('texts', 'BYTES', [
    '',
    'a',
    'x'.repeat(1000),
    '"quoted" \\back\\',
    '🙂 é ü 漢',
    '\ufeffmark',
    '\n\t\u0001\u007f',
  ]),
];

function empty(model: string, datatype: DataType, shape: readonly number[]): Case {
  return {
    name: `${model} answers shape [${shape}] with the same, and no elements`,
    send: { model, inputs: [input(datatype, shape, [])] },
    outputs: [output(datatype, shape, [])],
  };
}

const emptyAndScalar: readonly Case[] = [
  empty('echo_FP32', 'FP32', [0]),
  empty('echo_INT64', 'INT64', [0]),
  empty('echo_BYTES', 'BYTES', [0]),
  empty('matrix', 'FP32', [0, 16]),
  empty('matrix', 'FP32', [8, 0]),
  empty('series', 'FP32', [3, 0, 2]),
  {
    name: 'a scalar is one element of shape []',
    send: { model: 'scalar', inputs: [input('FP32', [], [2.5])] },
    outputs: [output('FP32', [], [3.5])],
  },
  {
    name: 'a model without inputs needs none',
    send: { model: 'constant', inputs: [] },
    outputs: [output('FP32', [3], [1, 2, 3])],
  },
  {
    name: 'a model without a batch dimension has its own shape',
    send: { model: 'fixed', inputs: [input('FP32', [4, 3], ramp(12))] },
    outputs: [output('FP32', [4, 3], ramp(12))],
  },
  {
    name: 'a model with two free dimensions takes any',
    send: { model: 'series', inputs: [input('FP32', [2, 3, 2], ramp(12))] },
    outputs: [output('FP32', [2, 3, 2], ramp(12))],
  },
];

export function ramp(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}

/** A request of `simple`: INPUT0 counts up, INPUT1 is all ones. */
export function simpleOf(rows: number, more: Partial<SentRequest> = {}): SentRequest {
  const length = rows * 16;
  return {
    model: 'simple',
    inputs: [input('INT32', [rows, 16], ramp(length)), input('INT32', [rows, 16], ramp(length).fill(1), 'INPUT1')],
    ...more,
  };
}

export function sumOf(rows: number): ExpectedTensor {
  return output(
    'INT32',
    [rows, 16],
    ramp(rows * 16).map((value) => value + 1),
  );
}

export function differenceOf(rows: number): ExpectedTensor {
  return output(
    'INT32',
    [rows, 16],
    ramp(rows * 16).map((value) => value - 1),
    'OUTPUT1',
  );
}

const whole = simpleOf(1);
const [first, second] = whole.inputs as [SentTensor, SentTensor];
const ids = { id: 'ein "Kenn"zeichen ü' };

const requests: readonly Case[] = [
  { name: 'one row, sum and difference', send: simpleOf(1), outputs: [sumOf(1), differenceOf(1)] },
  { name: 'eight rows at once', send: simpleOf(8), outputs: [sumOf(8), differenceOf(8)] },
  { name: 'more rows than an assumed maximum run alone', send: simpleOf(33), outputs: [sumOf(33), differenceOf(33)] },
  {
    name: 'inputs in the other order',
    send: { ...whole, inputs: [second, first] },
    outputs: [sumOf(1), differenceOf(1)],
  },
  { name: 'an id comes back unchanged', send: { ...whole, ...ids }, outputs: [sumOf(1), differenceOf(1)] },
  { name: 'one output asked for', send: { ...whole, outputs: [{ name: 'OUTPUT1' }] }, outputs: [differenceOf(1)] },
  {
    name: 'outputs come in the order of the model',
    send: { ...whole, outputs: [{ name: 'OUTPUT1' }, { name: 'OUTPUT0' }] },
    outputs: [sumOf(1), differenceOf(1)],
  },
  {
    name: 'version 1 answers when it is asked',
    send: { model: 'two', version: '1', inputs: [input('FP32', [1, 2], [3, 5])] },
    version: '1',
    outputs: [output('FP32', [1, 2], [3, 5])],
  },
  {
    name: 'version 2 answers when it is asked',
    send: { model: 'two', version: '2', inputs: [input('FP32', [1, 2], [3, 5])] },
    version: '2',
    outputs: [output('FP32', [1, 2], [6, 10])],
  },
  {
    name: 'the highest version answers when none is asked',
    send: { model: 'two', inputs: [input('FP32', [1, 2], [3, 5])] },
    version: '2',
    outputs: [output('FP32', [1, 2], [6, 10])],
  },
  {
    isAnyNaN: true,
    name: 'a model makes NaN and infinities',
    send: { model: 'non_finite', inputs: [input('FP32', [1, 2], [0, -0])] },
    outputs: [output('FP32', [1, 2], [NaN, NaN]), output('FP32', [1, 2], [Infinity, -Infinity], 'OUTPUT1')],
  },
  {
    name: 'priority, timeout, sequence and own parameters are taken',
    send: {
      ...whole,
      parameters: {
        priority: 1,
        timeout: 5_000_000,
        sequence_id: 7,
        sequence_start: true,
        sequence_end: false,
        tenant: 'a',
        weight: 0.5,
      },
    },
    outputs: [sumOf(1), differenceOf(1)],
  },
  {
    name: 'a sequence id may be text',
    send: { ...whole, parameters: { sequence_id: 'dialog', sequence_start: false } },
    outputs: [sumOf(1), differenceOf(1)],
  },
  {
    name: '__proto__ and constructor are parameters like others',
    send: { ...whole, parameters: { ['__proto__']: 'x', constructor: 'y' } },
    outputs: [sumOf(1), differenceOf(1)],
  },
  {
    name: 'a BOOL byte of 7 is true and comes back as 1',
    send: {
      model: 'echo_BOOL',
      inputs: [{ name: 'INPUT0', datatype: 'BOOL', shape: [3], bytes: Buffer.of(7, 0, 255) }],
    },
    forms: bytesOnly,
    outputs: [output('BOOL', [3], [true, false, true])],
  },
];

function classified(name: string, values: readonly number[], classes: number, texts: readonly string[]): Case {
  const shape = [values.length / 4, texts.length / (values.length / 4)];
  return {
    name: `classification: ${name}`,
    send: {
      model: 'classes',
      inputs: [input('FP32', [values.length / 4, 4], values)],
      outputs: [{ name: 'OUTPUT0', classes }],
    },
    outputs: [{ name: 'OUTPUT0', datatype: 'BYTES', shape, bytes: prefixed(texts.map((text) => Buffer.from(text))) }],
  };
}

const classification: readonly Case[] = [
  classified('the best two, with labels where there are some', [1, 101, 0.5, 7], 2, ['101.000000:1:dog', '7.000000:3']),
  classified('every row by itself', [4, 3, 2, 1, 1, 2, 3, 4], 1, ['4.000000:0:cat', '4.000000:3']),
  classified('more classes than there are', [1, 2, 3, 4], 9, [
    '4.000000:3',
    '3.000000:2',
    '2.000000:1:dog',
    '1.000000:0:cat',
  ]),
  classified('equal values by index, NaN last', [NaN, 1, 1, -Infinity], 4, [
    '1.000000:1:dog',
    '1.000000:2',
    '-Infinity:3',
    'NaN:0:cat',
  ]),
  {
    name: 'classification: no classes are refused',
    send: { model: 'classes', inputs: [input('FP32', [1, 4], ramp(4))], outputs: [{ name: 'OUTPUT0', classes: 0 }] },
    code: 'INVALID_ARGUMENT',
    text: /classification/,
  },
  {
    name: 'classification: BYTES have no order',
    send: { model: 'echo_BYTES', inputs: [input('BYTES', [1], ['a'])], outputs: [{ name: 'OUTPUT0', classes: 1 }] },
    code: 'INVALID_ARGUMENT',
    text: "class result not available for output due to unsupported type 'BYTES'",
  },
  {
    name: 'a configured maximum is a contract',
    send: { model: 'classes', inputs: [input('FP32', [9, 4], ramp(36))] },
    code: 'INVALID_ARGUMENT',
    text: "inference request batch-size must be <= 8 for 'classes'",
  },
];

function refused(name: string, send: SentRequest, text: string | RegExp, more: Partial<Case> = {}): Case {
  return { name, send, code: 'INVALID_ARGUMENT', text, ...more };
}

function simpleWith(change: Partial<SentTensor>): SentRequest {
  return { ...whole, inputs: [{ ...first, ...change }, second] };
}

function unfit(shape: readonly number[]): Case {
  const elements = shape.reduce((count, dimension) => count * dimension, 1);
  const text = `unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [${shape}].`;
  const inputs = [
    input('INT32', shape, ramp(elements)),
    input('INT32', [shape[0]!, 16], ramp(shape[0]! * 16), 'INPUT1'),
  ];
  return refused(`shape [${shape}] for [-1,16]`, { ...whole, inputs }, text);
}

function text(bytes: Buffer, shape: readonly number[] = [1]): SentRequest {
  return { model: 'echo_BYTES', inputs: [{ name: 'INPUT0', datatype: 'BYTES', shape, bytes }] };
}

const refusals: readonly Case[] = [
  {
    name: 'an unknown model',
    send: { ...whole, model: 'nobody' },
    code: 'NOT_FOUND',
    text: "Request for unknown model: 'nobody' is not found",
  },
  {
    name: 'an unknown version',
    send: { ...whole, version: '99' },
    code: 'NOT_FOUND',
    text: "Request for unknown model: 'simple' version 99 is not found",
  },
  refused(
    'a version that is no number',
    { ...whole, version: 'abc' },
    "failed to get model version from specified version string 'abc', version should be an integral value > 0",
  ),
  refused(
    'an input less',
    { ...whole, inputs: [first] },
    "expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['INPUT0'], but missing required input(s) ['INPUT1']. Please provide all required input(s).",
  ),
  refused(
    'an extra input',
    { ...whole, inputs: [...whole.inputs, { ...first, name: 'INPUT2' }] },
    "unexpected inference input 'INPUT2' for model 'simple'",
  ),
  refused('an input twice', { ...whole, inputs: [first, first] }, "input 'INPUT0' already exists in request"),
  refused(
    'an output twice',
    { ...whole, outputs: [{ name: 'OUTPUT0' }, { name: 'OUTPUT0' }] },
    "output 'OUTPUT0' already exists in request",
  ),
  refused(
    'an unknown output',
    { ...whole, outputs: [{ name: 'OUTPUT7' }] },
    "unexpected inference output 'OUTPUT7' for model 'simple'",
  ),
  refused(
    'another datatype',
    { ...whole, inputs: [input('FP32', [1, 16], ramp(16)), second] },
    "inference input 'INPUT0' data-type is 'FP32', but model 'simple' expects 'INT32'",
  ),
  ...['FLOAT', 'int32', 'BF17'].map((datatype) =>
    refused(`datatype ${datatype}`, simpleWith({ datatype }), /invalid datatype for input '?INPUT0'?/, {
      forms: bytesOnly,
    }),
  ),
  unfit([1, 15]),
  unfit([1, 16, 1]),
  unfit([4, 4]),
  refused(
    'rows that differ between inputs',
    { ...whole, inputs: [first, input('INT32', [2, 16], ramp(32), 'INPUT1')] },
    "input 'INPUT1' batch size does not match other inputs for 'simple'",
  ),
  refused(
    'no batch dimension',
    simpleWith({ shape: [], bytes: Buffer.alloc(4) }),
    "input 'INPUT0' has no shape but model requires batch dimension for 'simple'",
  ),
  refused(
    'a product of dimensions beyond 2^63',
    {
      model: 'matrix',
      inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [2n ** 31n, 2n ** 33n], bytes: Buffer.alloc(4) }],
    },
    /total element count to exceed|byte size overflow/,
  ),
  refused(
    'bytes beyond 2^63',
    {
      model: 'matrix',
      inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [2n ** 31n, 2n ** 31n], bytes: Buffer.alloc(4) }],
    },
    /byte size overflow/,
  ),
  refused(
    'a large shape with one element',
    {
      model: 'matrix',
      inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [2 ** 20, 2 ** 18], bytes: Buffer.alloc(4) }],
    },
    /Shape does not match|shape does not match|input byte size mismatch/i,
  ),
  refused(
    'an element less',
    simpleWith({ bytes: first.bytes.subarray(4) }),
    /input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 64, got 60/,
    { forms: notJson },
  ),
  refused(
    'an element more',
    simpleWith({ bytes: Buffer.concat([first.bytes, Buffer.alloc(4)]) }),
    /input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 64, got 68/,
    { forms: notJson },
  ),
  refused(
    'an element less in JSON',
    simpleWith({ bytes: first.bytes.subarray(4) }),
    "Failed to parse 'data' field: shape does not match true shape",
    { forms: ['json'] },
  ),
  refused(
    'an element more in JSON',
    simpleWith({ bytes: Buffer.concat([first.bytes, Buffer.alloc(4)]) }),
    "Unable to parse 'data': Shape does not match true shape of 'data' field",
    { forms: ['json'] },
  ),
  refused(
    'a NUL in a text',
    text(prefixed([Buffer.from('abc\0def')])),
    "string element 0 of input 'INPUT0' for model 'echo_BYTES' contains a NUL byte",
  ),
  refused(
    'bytes that are no UTF-8',
    text(prefixed([Buffer.of(0xff, 0xfe)])),
    "string element 0 of input 'INPUT0' for model 'echo_BYTES' is not valid UTF-8",
    { forms: notJson },
  ),
  refused(
    'a text shorter than its prefix',
    text(Buffer.of(5, 0, 0, 0, 97, 98, 99)),
    /incomplete string data for inference input 'INPUT0' for model 'echo_BYTES', expecting string of length 5 but only 3 bytes available/,
    { forms: bytesOnly },
  ),
  refused(
    'a prefix cut off',
    text(Buffer.of(1, 0, 0)),
    /incomplete string length indicator for inference input 'INPUT0' for model 'echo_BYTES', expecting 4 bytes but only 3 bytes available/,
    { forms: bytesOnly },
  ),
  refused(
    'a prefix beyond everything',
    text(Buffer.of(255, 255, 255, 255, 97)),
    /incomplete string data .* length 4294967295 but only 1 bytes available/,
    { forms: bytesOnly },
  ),
  refused(
    'too many texts',
    text(prefixed([Buffer.from('a'), Buffer.from('b')])),
    /unexpected number of string elements 2 for inference input 'INPUT0' for model 'echo_BYTES', expecting 1/,
    { forms: bytesOnly },
  ),
  refused(
    'too few texts',
    text(prefixed([Buffer.from('a')]), [2]),
    "expected 2 string elements for inference input 'INPUT0' for model 'echo_BYTES', got 1",
    { forms: bytesOnly },
  ),
  refused(
    'FP16 in JSON',
    { model: 'echo_FP16', inputs: [input('FP16', [1], [0x3c00])] },
    'sending FP16 data via JSON is not supported. Please use the binary data format for output OUTPUT0',
    { forms: ['json'] },
  ),
  refused('a priority that is none', { ...whole, parameters: { priority: -1 } }, /Unable to parse 'priority'/),
  refused('a timeout that is none', { ...whole, parameters: { timeout: 'soon' } }, /Unable to parse 'timeout'/),
  refused(
    'a reserved parameter',
    { ...whole, parameters: { triton_x: 1 } },
    "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
  ),
  refused('a parameter that only sounds like ours', { ...whole, parameters: { sluice_labl: 'x' } }, /sluice_label/),
  refused('a time limit that is none', { ...whole, headers: { 'x-sluice-timeout-ms': '0' } }, /x-sluice-timeout-ms/),
];

/** The model's own errors: text without paths. */
const faults: readonly Case[] = [
  {
    name: 'a shape that only the graph refuses',
    send: { model: 'picky', inputs: [input('FP32', [1, 3], [1, 2, 3])] },
    code: 'INTERNAL',
    text: /^onnx runtime error: [^/\\]*Reshape[^/\\]*$/,
  },
  {
    name: 'a division by zero',
    send: { model: 'divide', inputs: [input('INT32', [1, 1], [7]), input('INT32', [1, 1], [0], 'INPUT1')] },
    code: 'INTERNAL',
    text: /^onnx runtime error: [^/\\]*zero[^/\\]*$/i,
  },
  {
    name: 'and the next request is served',
    send: { model: 'divide', inputs: [input('INT32', [1, 1], [-7]), input('INT32', [1, 1], [2], 'INPUT1')] },
    outputs: [output('INT32', [1, 1], [-3])],
  },
];

export const cases: readonly Case[] = [
  ...roundTrips,
  ...emptyAndScalar,
  ...requests,
  ...classification,
  ...refusals,
  ...faults,
];
