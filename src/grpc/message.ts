/**
 * A ModelInferRequest as it stands on the wire: names, shapes and parameters decoded, elements still bytes.
 *
 * One pass decides whether the message is well formed and within the limits; whether it fits a model is decided later, by
 * `tensorsOf` in the codec. Bytes of tensors are views of the message.
 *
 * Must not know models.
 */
import { invalid } from '../core/errors.js';
import type { Parameter } from '../core/inference.js';
import { type Contents, scanContents } from './contents.js';
import { checkEntries, noParameters, parametersMax, readParameter } from './parameters.js';
import { countVarints, malformed, WireReader } from './wire.js';

export interface MessageLimits {
  /** Elements in typed contents of one message. */
  readonly typedElementsMax: number;
  /** BYTES elements of one tensor. */
  readonly stringsMax: number;
}

export interface InputMessage {
  readonly name: string;
  readonly datatype: string;
  /** As sent: negative numbers have not been refused yet. */
  readonly dimensions: readonly (number | bigint)[];
  readonly contents: Contents | undefined;
  readonly isShared: boolean;
}

export interface OutputMessage {
  readonly name: string;
  /** How many classes are asked for; undefined = the tensor itself. */
  readonly classes: Parameter | undefined;
  readonly isShared: boolean;
}

export interface InferMessage {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id: string;
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly inputs: readonly InputMessage[];
  readonly outputs: readonly OutputMessage[];
  readonly raw: readonly Uint8Array[];
  /** For the typed contents, which are read again once they are known to fit. */
  readonly reader: WireReader;
}

const tensorsMax = 1024;
const rankMax = 32;
const idBytesMax = 1024;
/** Chosen: names of tensors and models go into error texts and logs. */
const nameBytesMax = 4096;

/** @throws INVALID_ARGUMENT `failed to parse request: …`, or the text of the limit that was passed */
export function decodeMessage(bytes: Buffer, limits: MessageLimits): InferMessage {
  const reader = new WireReader(bytes);
  let modelName = '';
  let modelVersion = '';
  let id = '';
  let parameters: Map<string, Parameter> | undefined;
  let parameterCount = 0;
  let elementsLeft = limits.typedElementsMax;
  const inputs: InputMessage[] = [];
  const outputs: OutputMessage[] = [];
  const raw: Uint8Array[] = [];
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    switch (tag) {
      case 10:
        modelName = reader.text(nameBytesMax, 'model_name');
        break;
      case 18:
        modelVersion = reader.text(nameBytesMax, 'model_version');
        break;
      case 26:
        id = reader.text(idBytesMax, 'id');
        break;
      case 34:
        if (++parameterCount > parametersMax) throw invalid(`more than ${parametersMax} request parameters`);
        parameters ??= new Map();
        readParameter(reader, parameters);
        break;
      case 42: {
        if (inputs.length === tensorsMax) throw invalid(`more than ${tensorsMax} inputs`);
        const input = decodeInput(reader, elementsLeft);
        if (input.contents !== undefined) elementsLeft -= input.contents.count;
        inputs.push(input);
        break;
      }
      case 50:
        if (outputs.length === tensorsMax) throw invalid(`more than ${tensorsMax} outputs`);
        outputs.push(decodeOutput(reader));
        break;
      case 58:
        if (raw.length === tensorsMax) throw invalid(`more than ${tensorsMax} entries in raw_input_contents`);
        raw.push(reader.view());
        break;
      default:
        reader.skipUnknown(tag, 7, 'ModelInferRequest');
    }
  }
  return { modelName, modelVersion, id, parameters: parameters ?? noParameters, inputs, outputs, raw, reader };
}

function decodeInput(reader: WireReader, elementsMax: number): InputMessage {
  const outer = reader.enter();
  let name = '';
  let datatype = '';
  let contents: Contents | undefined;
  let isShared = false;
  let entries = 0;
  const dimensions: (number | bigint)[] = [];
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    switch (tag) {
      case 10:
        name = reader.text(nameBytesMax, 'input name');
        break;
      case 18:
        datatype = reader.text(nameBytesMax, 'datatype');
        break;
      case 24:
        if (dimensions.length === rankMax) throw tooDeep(name, rankMax + 1);
        dimensions.push(reader.int64());
        break;
      case 26:
        readDimensions(reader, dimensions, name);
        break;
      case 34:
        checkEntries(++entries, 'an input');
        isShared = readTensorParameter(reader) === 'shared' || isShared;
        break;
      case 42:
        if (contents !== undefined) throw malformed(`contents of input '${name}' occur twice`);
        contents = scanContents(reader, elementsMax);
        break;
      default:
        reader.skipUnknown(tag, 5, 'InferInputTensor');
    }
  }
  reader.leave(outer);
  return { name, datatype, dimensions, contents, isShared };
}

function readDimensions(reader: WireReader, dimensions: (number | bigint)[], input: string): void {
  const outer = reader.enter();
  const rank = dimensions.length + countVarints(reader.bytes, reader.at, reader.end);
  if (rank > rankMax) throw tooDeep(input, rank);
  while (reader.at < reader.end) dimensions.push(reader.int64());
  reader.leave(outer);
}

function tooDeep(input: string, rank: number): Error {
  return invalid(`invalid shape for input '${input}': ${rank} dimensions, at most ${rankMax} are accepted`);
}

function decodeOutput(reader: WireReader): OutputMessage {
  const outer = reader.enter();
  let name = '';
  let classes: Parameter | undefined;
  let isShared = false;
  let entries = 0;
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    if (tag === 10) name = reader.text(nameBytesMax, 'output name');
    else if (tag === 18) {
      checkEntries(++entries, 'an output');
      const parameter = readTensorParameter(reader);
      if (parameter === 'shared') isShared = true;
      else if (parameter !== undefined) classes = parameter.classes;
    } else reader.skipUnknown(tag, 2, 'InferRequestedOutputTensor');
  }
  reader.leave(outer);
  return { name, classes, isShared };
}

/** The parameters of a tensor that mean something here; all others are ignored. */
function readTensorParameter(reader: WireReader): 'shared' | { readonly classes: Parameter } | undefined {
  const entry = new Map<string, Parameter>();
  readParameter(reader, entry);
  if (entry.has('shared_memory_region')) return 'shared';
  const classes = entry.get('classification');
  return classes === undefined ? undefined : { classes };
}
