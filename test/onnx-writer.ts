/**
 * Writes ONNX files for tests: just enough protobuf to say what a model is, in the words of onnx.proto.
 *
 *   model(graph({ inputs, outputs, nodes, initializers }))  →  the bytes of model.onnx
 *
 * Tests need models that no training tool would make (endless, broken, crashing), at no cost and from no package.
 *
 * Must not know which models the tests need.
 */

/** A fixed size, a symbolic name, or nothing. */
export type Dimension = number | string | undefined;

/** Numbers of TensorProto.DataType. */
export const elementType = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
  COMPLEX64: 14,
  BF16: 16,
} as const;

export type ElementType = keyof typeof elementType;

export type Attribute =
  | { readonly int: number | bigint }
  | { readonly float: number }
  | { readonly text: string }
  | { readonly ints: readonly number[] }
  | { readonly graph: Buffer }
  | { readonly tensor: Buffer }
  | { readonly sparse: Buffer };

/** A varint, negative numbers as ten bytes, as int64 has it. */
export function varint(value: number | bigint): Buffer {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

export function integerField(field: number, value: number | bigint): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

/** A string, bytes or an inner message. */
export function bytesField(field: number, value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as Uint8Array);
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes]);
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint(field * 8 + 5), bytes]);
}

function many<T>(field: number, values: readonly T[], encode: (value: T) => string | Uint8Array): Buffer {
  return Buffer.concat(values.map((value) => bytesField(field, encode(value))));
}

/** StringStringEntryProto. */
function pair([key, value]: readonly [string, string]): Buffer {
  return Buffer.concat([bytesField(1, key), bytesField(2, value)]);
}

export interface ModelParts {
  readonly irVersion?: number;
  readonly opset?: number;
  /** Further opsets by domain. */
  readonly domains?: Readonly<Record<string, number>>;
  readonly producer?: string;
  readonly properties?: Readonly<Record<string, string>>;
  /** FunctionProtos. */
  readonly functions?: readonly Buffer[];
}

/** ModelProto. */
export function model(graphBytes: Buffer, parts: ModelParts = {}): Buffer {
  const opsets = Object.entries({ '': parts.opset ?? 17, ...parts.domains });
  return Buffer.concat([
    integerField(1, parts.irVersion ?? 8),
    bytesField(2, parts.producer ?? 'sluice-test'),
    bytesField(7, graphBytes),
    many(8, opsets, ([domain, version]) => Buffer.concat([bytesField(1, domain), integerField(2, version)])),
    many(14, Object.entries(parts.properties ?? {}), pair),
    many(25, parts.functions ?? [], (bytes) => bytes),
  ]);
}

export interface GraphParts {
  readonly inputs?: readonly Buffer[];
  readonly outputs: readonly Buffer[];
  readonly nodes: readonly Buffer[];
  readonly initializers?: readonly Buffer[];
  readonly sparseInitializers?: readonly Buffer[];
}

/** GraphProto, of ValueInfoProtos, NodeProtos and TensorProtos. */
export function graph(parts: GraphParts): Buffer {
  const same = (bytes: Buffer) => bytes;
  return Buffer.concat([
    many(1, parts.nodes, same),
    bytesField(2, 'graph'),
    many(5, parts.initializers ?? [], same),
    many(15, parts.sparseInitializers ?? [], same),
    many(11, parts.inputs ?? [], same),
    many(12, parts.outputs, same),
  ]);
}

/** NodeProto. */
export function node(
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = '',
): Buffer {
  return Buffer.concat([
    many(1, inputs, (name) => name),
    many(2, outputs, (name) => name),
    bytesField(4, operator),
    many(5, Object.entries(attributes), ([name, value]) => attribute(name, value)),
    bytesField(7, domain),
  ]);
}

/** AttributeProto. */
function attribute(name: string, value: Attribute): Buffer {
  const named = (body: Buffer, type: number) => Buffer.concat([bytesField(1, name), body, integerField(20, type)]);
  if ('int' in value) return named(integerField(3, value.int), 2);
  if ('float' in value) return named(floatField(2, value.float), 1);
  if ('text' in value) return named(bytesField(4, value.text), 3);
  if ('ints' in value) return named(Buffer.concat(value.ints.map((int) => integerField(8, int))), 7);
  if ('graph' in value) return named(bytesField(6, value.graph), 5);
  if ('sparse' in value) return named(bytesField(22, value.sparse), 11);
  return named(bytesField(5, value.tensor), 4);
}

/** TensorProto with its elements inside: little-endian bytes, or strings. */
export function tensor(
  name: string,
  type: ElementType,
  dims: readonly number[],
  data: Uint8Array | readonly string[],
): Buffer {
  return Buffer.concat([
    ...dims.map((dimension) => integerField(1, dimension)),
    integerField(2, elementType[type]),
    data instanceof Uint8Array ? bytesField(9, data) : many(6, data, (text) => text),
    bytesField(8, name),
  ]);
}

/** TensorProto with its elements in another file. */
export function externalTensor(name: string, type: ElementType, dims: readonly number[], location: string): Buffer {
  return Buffer.concat([
    ...dims.map((dimension) => integerField(1, dimension)),
    integerField(2, elementType[type]),
    bytesField(8, name),
    bytesField(13, pair(['location', location])),
    integerField(14, 1),
  ]);
}

/** SparseTensorProto. */
export function sparseTensor(values: Buffer, indices: Buffer, dims: readonly number[]): Buffer {
  return Buffer.concat([
    bytesField(1, values),
    bytesField(2, indices),
    ...dims.map((dimension) => integerField(3, dimension)),
  ]);
}

/** ValueInfoProto of a tensor; without `dims` its shape is unknown. */
export function value(name: string, type: ElementType | number, dims?: readonly Dimension[]): Buffer {
  return typed(name, tensorType(type, dims));
}

/** ValueInfoProto of any type. */
export function typed(name: string, type: Buffer): Buffer {
  return Buffer.concat([bytesField(1, name), bytesField(2, type)]);
}

/** TypeProto. */
export function tensorType(type: ElementType | number, dims?: readonly Dimension[]): Buffer {
  const element = integerField(1, typeof type === 'number' ? type : elementType[type]);
  const shape = dims === undefined ? [] : [bytesField(2, many(1, dims, dimensionOf))];
  return bytesField(1, Buffer.concat([element, ...shape]));
}

/** TypeProto. */
export function sequenceType(element: Buffer): Buffer {
  return bytesField(4, bytesField(1, element));
}

/** TypeProto. */
export function mapType(key: ElementType, element: Buffer): Buffer {
  return bytesField(5, Buffer.concat([integerField(1, elementType[key]), bytesField(2, element)]));
}

function dimensionOf(dimension: Dimension): Buffer {
  if (dimension === undefined) return Buffer.alloc(0);
  return typeof dimension === 'number' ? integerField(1, dimension) : bytesField(2, dimension);
}

/** FunctionProto. */
export function functionBody(
  domain: string,
  name: string,
  parts: { readonly inputs: readonly string[]; readonly outputs: readonly string[]; readonly nodes: readonly Buffer[] },
): Buffer {
  return Buffer.concat([
    bytesField(1, name),
    many(4, parts.inputs, (input) => input),
    many(5, parts.outputs, (output) => output),
    many(7, parts.nodes, (bytes) => bytes),
    bytesField(9, Buffer.concat([bytesField(1, ''), integerField(2, 17)])),
    bytesField(10, domain),
  ]);
}
