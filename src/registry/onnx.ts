/**
 * Reads model.onnx without running anything: names, types and shapes of its inputs and outputs, opsets, loops, and the
 * files beside it that hold weights.
 *
 * It comes before the runtime, in the process that must never load it, and its input is hostile: lengths are checked
 * before use, depth and counts have limits, and weights are skipped, not copied. A field that occurs twice is merged as
 * protobuf says, for the runtime merges it too and both must see the same model.
 *
 * Must not know onnxruntime, configurations or what is accepted.
 */
import type { DataType } from '../core/tensor.js';
import { type GraphFacts, nameBytesMax, readFunction, readGraph, readPair, refused } from './onnx-graph.js';
import { ProtobufMessage } from './protobuf.js';

/** A fixed size, a symbolic name, or nothing. */
type OnnxDimension = number | string | undefined;

export interface OnnxTensor {
  readonly name: string;
  /** False for sequences, maps, optionals and sparse tensors. */
  readonly isTensor: boolean;
  /** Undefined when the type has no V2 name. */
  readonly datatype: DataType | undefined;
  /** As the runtime writes it: `tensor(float)`, `seq(map(int64,tensor(float)))`. */
  readonly onnxType: string;
  /** Undefined when the file says nothing about the shape, not even its rank. */
  readonly dims: readonly OnnxDimension[] | undefined;
}

export interface OnnxFacts {
  readonly irVersion: number;
  /** The default domain is `''`. */
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  /** Name and version of the tool that wrote the file; may be empty. */
  readonly producer: string;
  /** In the order of the graph; without those that are also initializers. */
  readonly inputs: readonly OnnxTensor[];
  readonly outputs: readonly OnnxTensor[];
  /** A loop somewhere, in whatever depth. */
  readonly hasLoop: boolean;
  /** An operator somewhere takes the size of its output from the contents of an input. */
  readonly hasContentSizedOp: boolean;
  /** Locations of external data exactly as written: not yet checked. */
  readonly externalFiles: readonly string[];
  /** For each of `externalFiles` the bytes that the file must have at least. */
  readonly externalBytes: readonly number[];
  readonly nodeCount: number;
  /** metadata_props of the model. */
  readonly properties: Readonly<Record<string, string>>;
}

const valuesMax = 65_536;
const rankMax = 1_024;
const typeNestingMax = 16;
const propertiesMax = 1_000;

/** ONNX element types by number: the runtime's name and, where there is one, V2's. */
const elementTypes: readonly (readonly [onnx: string, v2?: DataType])[] = [
  ['undefined'],
  ['float', 'FP32'],
  ['uint8', 'UINT8'],
  ['int8', 'INT8'],
  ['uint16', 'UINT16'],
  ['int16', 'INT16'],
  ['int32', 'INT32'],
  ['int64', 'INT64'],
  ['string', 'BYTES'],
  ['bool', 'BOOL'],
  ['float16', 'FP16'],
  ['double', 'FP64'],
  ['uint32', 'UINT32'],
  ['uint64', 'UINT64'],
  ['complex64'],
  ['complex128'],
  ['bfloat16', 'BF16'],
  ['float8e4m3fn'],
  ['float8e4m3fnuz'],
  ['float8e5m2'],
  ['float8e5m2fnuz'],
  ['uint4'],
  ['int4'],
  ['float4e2m1'],
  ['float8e8m0'],
  ['uint2'],
  ['int2'],
];

/** What a model is put together from while its fields are read. */
interface Draft extends GraphFacts {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  hasGraph: boolean;
  readonly opsets: { domain: string; version: number }[];
  readonly inputs: OnnxTensor[];
  readonly outputs: OnnxTensor[];
  readonly initializers: Set<string>;
  readonly properties: Map<string, string>;
}

/**
 * @param bytes the whole file; only read, never copied
 * @throws FAILED_PRECONDITION with a reason when this is not an ONNX model, or one beyond the limits
 */
export function readOnnx(bytes: Uint8Array): OnnxFacts {
  if (bytes.length === 0) throw refused('it is empty');
  const draft: Draft = {
    irVersion: 0,
    producerName: '',
    producerVersion: '',
    hasGraph: false,
    opsets: [],
    inputs: [],
    outputs: [],
    initializers: new Set(),
    properties: new Map(),
    nodeCount: 0,
    hasLoop: false,
    hasContentSizedOp: false,
    externalFiles: new Map(),
  };
  const message = new ProtobufMessage(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  while (message.next()) readModelField(message, draft);
  if (!draft.hasGraph) throw refused('it holds no graph');
  if (draft.irVersion < 1) throw refused('it has no IR version');
  return {
    irVersion: draft.irVersion,
    opsets: draft.opsets,
    producer: `${draft.producerName} ${draft.producerVersion}`.trim(),
    inputs: draft.inputs.filter((input) => !draft.initializers.has(input.name)),
    outputs: draft.outputs,
    hasLoop: draft.hasLoop,
    hasContentSizedOp: draft.hasContentSizedOp,
    externalFiles: [...draft.externalFiles.keys()],
    externalBytes: [...draft.externalFiles.values()],
    nodeCount: draft.nodeCount,
    properties: Object.fromEntries(draft.properties),
  };
}

function readModelField(message: ProtobufMessage, draft: Draft): void {
  if (message.isVarint(1)) draft.irVersion = message.varint();
  else if (message.isBytes(2)) draft.producerName = message.text(nameBytesMax);
  else if (message.isBytes(3)) draft.producerVersion = message.text(nameBytesMax);
  else if (message.isBytes(7)) readMainGraph(message.message(), draft);
  else if (message.isBytes(8)) draft.opsets.push(readOpset(message.message()));
  else if (message.isBytes(14)) {
    const [key, value] = readPair(message.message());
    if (draft.properties.size < propertiesMax) draft.properties.set(key, value);
  } else if (message.isBytes(25)) readFunction(message.message(), draft);
  else message.skip();
  if (draft.opsets.length > 1_000) throw refused('it imports more than 1000 opsets');
}

function readOpset(message: ProtobufMessage): { domain: string; version: number } {
  const opset = { domain: '', version: 0 };
  while (message.next()) {
    if (message.isBytes(1)) opset.domain = message.text(nameBytesMax);
    else if (message.isVarint(2)) opset.version = message.varint();
    else message.skip();
  }
  return opset;
}

function readMainGraph(graph: ProtobufMessage, draft: Draft): void {
  draft.hasGraph = true;
  for (const name of readGraph(graph, draft)) draft.initializers.add(name);
  const values = graph.again();
  while (values.next()) {
    if (values.isBytes(11)) draft.inputs.push(readValue(values.message()));
    else if (values.isBytes(12)) draft.outputs.push(readValue(values.message()));
    else values.skip();
    if (draft.inputs.length > valuesMax || draft.outputs.length > valuesMax) {
      throw refused(`it has more than ${valuesMax} inputs or outputs`);
    }
  }
}

interface DraftType {
  text: string;
  isTensor: boolean;
  elementType: number;
  dims: OnnxDimension[] | undefined;
}

function readValue(message: ProtobufMessage): OnnxTensor {
  let name = '';
  const type: DraftType = { text: '', isTensor: false, elementType: 0, dims: undefined };
  while (message.next()) {
    if (message.isBytes(1)) name = message.text(nameBytesMax);
    else if (message.isBytes(2)) readType(message.message(), type, 0);
    else message.skip();
  }
  const { isTensor, dims, text } = type;
  const datatype = isTensor ? elementTypes[type.elementType]?.[1] : undefined;
  return { name, isTensor, datatype, onnxType: text === '' ? 'unknown' : text, dims: isTensor ? dims : undefined };
}

/** A TypeProto: one of tensor, sequence, map, optional, sparse tensor, opaque; the last one written holds. */
function readType(message: ProtobufMessage, type: DraftType, depth: number): void {
  if (depth > typeNestingMax) throw refused(`types are nested more than ${typeNestingMax} deep`);
  while (message.next()) {
    if (message.isBytes(1)) readTensorType(message.message(), type);
    else if (message.isBytes(4)) setOther(type, `seq(${elementOf(message.message(), 1, depth)})`);
    else if (message.isBytes(5)) setOther(type, `map(${mapTextOf(message.message(), depth)})`);
    else if (message.isBytes(9)) setOther(type, `optional(${elementOf(message.message(), 1, depth)})`);
    else {
      if (message.isBytes(8)) setOther(type, 'sparse_tensor');
      if (message.isBytes(7)) setOther(type, 'opaque');
      message.skip();
    }
  }
}

function setOther(type: DraftType, text: string): void {
  type.text = text;
  type.isTensor = false;
  type.dims = undefined;
}

/** The type in field `field` of a sequence, optional or map, as text. */
function elementOf(message: ProtobufMessage, field: number, depth: number): string {
  const element: DraftType = { text: 'unknown', isTensor: false, elementType: 0, dims: undefined };
  while (message.next()) {
    if (message.isBytes(field)) readType(message.message(), element, depth + 1);
    else message.skip();
  }
  return element.text;
}

function mapTextOf(message: ProtobufMessage, depth: number): string {
  const value = elementOf(message.again(), 2, depth);
  let key = 0;
  while (message.next()) {
    if (message.isVarint(1)) key = message.varint();
    else message.skip();
  }
  return `${nameOfElement(key)},${value}`;
}

function nameOfElement(elementType: number): string {
  return elementTypes[elementType]?.[0] ?? `type ${elementType}`;
}

function readTensorType(message: ProtobufMessage, type: DraftType): void {
  if (!type.isTensor) {
    type.isTensor = true;
    type.elementType = 0;
    type.dims = undefined;
  }
  while (message.next()) {
    if (message.isVarint(1)) type.elementType = message.varint();
    else if (message.isBytes(2)) type.dims = readShape(message.message(), type.dims ?? []);
    else message.skip();
  }
  type.text = `tensor(${nameOfElement(type.elementType)})`;
}

function readShape(message: ProtobufMessage, dims: OnnxDimension[]): OnnxDimension[] {
  while (message.next()) {
    if (message.isBytes(1)) dims.push(readDimension(message.message()));
    else message.skip();
    if (dims.length > rankMax) throw refused(`a shape has more than ${rankMax} dimensions`);
  }
  return dims;
}

function readDimension(message: ProtobufMessage): OnnxDimension {
  let dimension: OnnxDimension;
  while (message.next()) {
    if (message.isVarint(1)) dimension = message.varint();
    else if (message.isBytes(2)) dimension = message.text(nameBytesMax);
    else message.skip();
  }
  // Some tools write −1 or an empty name for "varies".
  return dimension === '' || (typeof dimension === 'number' && dimension < 0) ? undefined : dimension;
}
