/**
 * What the nodes of a model say about its run: how many there are, whether anything repeats, whether a size is taken from
 * the contents of an input, and which files beside the model hold weights.
 *
 * A value is *fixed* when its elements follow from constants and from the shapes of the inputs alone. An operator that takes
 * the size of its output from a value that is not fixed (a Range up to a number the caller sends) can run for any time.
 * Unknown means not fixed, so a graph in an odd order is judged too strictly, never too kindly.
 *
 * Must not know signatures, files or the runtime.
 */
import { AdmissionRefusal } from './admission-refusal.js';
import type { ProtobufMessage } from './protobuf.js';

/** The runtime's own reader gives up at about 33 graphs in each other. */
const nestingMax = 40;
const nodesMax = 2_000_000;
const externalFilesMax = 10_000;
const externalEntriesMax = 100;
export const nameBytesMax = 64 * 1024;

/** Operators that run a graph again and again, or decode token by token inside. */
const loops = new Set(['Loop', 'Scan', 'SequenceMap', 'BeamSearch', 'GreedySearch', 'Sampling', 'WhisperBeamSearch']);

/** Operators that take the size of their output from the contents of an input: from which input on. */
const sizedFrom: ReadonlyMap<string, number> = new Map([
  ['Range', 0],
  ['ConstantOfShape', 0],
  ['BlackmanWindow', 0],
  ['HammingWindow', 0],
  ['HannWindow', 0],
  ['MelWeightMatrix', 0],
  ['Expand', 1],
  ['Tile', 1],
  ['Pad', 1],
  ['Resize', 1],
  ['Upsample', 1],
  ['OneHot', 1],
  ['AffineGrid', 1],
  ['CenterCropPad', 1],
  ['Col2Im', 1],
  ['DFT', 1],
  ['STFT', 1],
  ['MaxUnpool', 2],
]);

export interface GraphFacts {
  nodeCount: number;
  hasLoop: boolean;
  hasContentSizedOp: boolean;
  /** By location as written: the bytes that the file there must have at least. */
  readonly externalFiles: Map<string, number>;
}

/** Names of fixed values that a graph and the graphs around it know. */
interface Scope {
  readonly fixed: Set<string>;
  readonly outer: Scope | undefined;
}

interface Node {
  operator: string;
  readonly inputs: string[];
  readonly outputs: string[];
  readonly graphs: ProtobufMessage[];
}

function isFixed(name: string, scope: Scope | undefined): boolean {
  for (let at = scope; at !== undefined; at = at.outer) if (at.fixed.has(name)) return true;
  return name === '';
}

/** Reads the nodes of one graph and of all graphs inside it. @returns the names of its initializers */
export function readGraph(graph: ProtobufMessage, facts: GraphFacts): ReadonlySet<string> {
  return readNested(graph, undefined, facts, 0);
}

function readNested(graph: ProtobufMessage, outer: Scope | undefined, facts: GraphFacts, depth: number): Set<string> {
  if (depth > nestingMax) throw refused(`graphs are nested more than ${nestingMax} deep`);
  const initializers = new Set<string>();
  while (graph.next()) {
    if (graph.isBytes(5)) initializers.add(readTensor(graph.message(), facts));
    else if (graph.isBytes(15)) initializers.add(readSparse(graph.message(), facts));
    else graph.skip();
  }
  // Initializers may be written after the nodes that use them, so the nodes are read in a second pass.
  const nodes = graph.again();
  const scope = { fixed: new Set(initializers), outer };
  while (nodes.next()) {
    if (nodes.isBytes(1)) judge(readNode(nodes.message(), facts), scope, facts, depth);
    else nodes.skip();
  }
  return initializers;
}

/** The body of a model-local function; nothing that enters it is fixed. */
export function readFunction(body: ProtobufMessage, facts: GraphFacts): void {
  const scope = { fixed: new Set<string>(), outer: undefined };
  while (body.next()) {
    if (body.isBytes(7)) judge(readNode(body.message(), facts), scope, facts, 0);
    else body.skip();
  }
}

function judge(node: Node, scope: Scope, facts: GraphFacts, depth: number): void {
  facts.nodeCount++;
  if (facts.nodeCount > nodesMax) throw refused(`it has more than ${nodesMax} nodes`);
  if (loops.has(node.operator)) facts.hasLoop = true;
  const from = sizedFrom.get(node.operator);
  if (from !== undefined && node.inputs.some((name, index) => index >= from && !isFixed(name, scope))) {
    facts.hasContentSizedOp = true;
  }
  for (const graph of node.graphs) readNested(graph, scope, facts, depth + 1);
  const tellsShape = node.operator === 'Shape' || node.operator === 'Size';
  if (tellsShape || (node.graphs.length === 0 && node.inputs.every((name) => isFixed(name, scope)))) {
    for (const output of node.outputs) scope.fixed.add(output);
  }
}

function readNode(message: ProtobufMessage, facts: GraphFacts): Node {
  const node: Node = { operator: '', inputs: [], outputs: [], graphs: [] };
  while (message.next()) {
    if (message.isBytes(1)) node.inputs.push(message.text(nameBytesMax));
    else if (message.isBytes(2)) node.outputs.push(message.text(nameBytesMax));
    else if (message.isBytes(4)) node.operator = message.text(nameBytesMax);
    else if (message.isBytes(5)) readAttribute(message.message(), node, facts);
    else message.skip();
  }
  return node;
}

function readAttribute(message: ProtobufMessage, node: Node, facts: GraphFacts): void {
  while (message.next()) {
    if (message.isBytes(6) || message.isBytes(11)) node.graphs.push(message.message());
    else if (message.isBytes(5) || message.isBytes(10)) readTensor(message.message(), facts);
    else if (message.isBytes(22) || message.isBytes(23)) readSparse(message.message(), facts);
    else message.skip();
  }
}

/** Notes where the bytes of a tensor lie. @returns its name */
function readTensor(message: ProtobufMessage, facts: GraphFacts): string {
  let name = '';
  const entries: [key: string, value: string][] = [];
  while (message.next()) {
    if (message.isBytes(8)) name = message.text(nameBytesMax);
    else if (message.isBytes(13)) entries.push(readPair(message.message()));
    else message.skip();
    if (entries.length > externalEntriesMax)
      throw refused(`a tensor has more than ${externalEntriesMax} entries of external data`);
  }
  if (entries.length > 0) noteExternal(name, entries, facts);
  return name;
}

/**
 * Locations count whatever `data_location` says: a file may write the two in pieces that only merge later. For the same
 * reason every location goes with every extent, and an extent must come with a location.
 */
function noteExternal(tensor: string, entries: readonly (readonly [string, string])[], facts: GraphFacts): void {
  let [offset, length] = [0, 0];
  for (const [key, value] of entries) {
    if (key === 'offset') offset = Math.max(offset, extentOf(tensor, key, value));
    if (key === 'length') length = Math.max(length, extentOf(tensor, key, value));
  }
  const locations = entries.filter(([key]) => key === 'location');
  if (locations.length === 0) throw refused(`tensor '${tensor}' has external data without a location`);
  for (const [, location] of locations) {
    const known = facts.externalFiles.get(location) ?? 0;
    facts.externalFiles.set(location, Math.max(known, offset + length));
  }
  if (facts.externalFiles.size > externalFilesMax)
    throw refused(`it names more than ${externalFilesMax} external files`);
}

function extentOf(tensor: string, key: string, value: string): number {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw refused(`tensor '${tensor}' has external data with ${key} '${value.slice(0, 40)}', expected bytes`);
}

function readSparse(message: ProtobufMessage, facts: GraphFacts): string {
  let name = '';
  while (message.next()) {
    if (message.isBytes(1)) name = readTensor(message.message(), facts);
    else if (message.isBytes(2)) readTensor(message.message(), facts);
    else message.skip();
  }
  return name;
}

/** A StringStringEntryProto. */
export function readPair(entry: ProtobufMessage): [key: string, value: string] {
  let key = '';
  let value = '';
  while (entry.next()) {
    if (entry.isBytes(1)) key = entry.text(nameBytesMax);
    else if (entry.isBytes(2)) value = entry.text(1024 * 1024);
    else entry.skip();
  }
  return [key, value];
}

export function refused(reason: string): AdmissionRefusal {
  return new AdmissionRefusal('parse', `not a readable ONNX file: ${reason}`);
}
