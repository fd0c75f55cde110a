/**
 * The signature of a version: what its file says, checked against what its configuration and manifest say, and whether its
 * first dimension counts rows.
 *
 * The file is right about types; a configuration may fix dimensions that the file leaves open, and both may give a shape
 * that the file leaves out. Everything else that differs is refused here, with the tensor's name, instead of surprising
 * a caller later.
 *
 * Must not know policies, the disk or the runtime.
 */
import type { Signature } from '../core/model.js';
import { type DataType, shapeText, type TensorSpec } from '../core/tensor.js';
import { AdmissionRefusal } from './admission-refusal.js';
import type { Manifest } from './manifest.js';
import type { OnnxFacts, OnnxTensor } from './onnx.js';
import type { TritonConfig, TritonTensor } from './triton-config.js';

export interface ReadSignature {
  readonly signature: Signature;
  /** `no`: one request at a time. `contract`: a configuration says so. `likely`: the shapes look like it, a trial decides. */
  readonly batching: 'no' | 'contract' | 'likely';
  readonly warnings: readonly string[];
}

type Kind = 'input' | 'output';

const typeOf: Readonly<Record<string, DataType>> = {
  TYPE_BOOL: 'BOOL',
  TYPE_UINT8: 'UINT8',
  TYPE_UINT16: 'UINT16',
  TYPE_UINT32: 'UINT32',
  TYPE_UINT64: 'UINT64',
  TYPE_INT8: 'INT8',
  TYPE_INT16: 'INT16',
  TYPE_INT32: 'INT32',
  TYPE_INT64: 'INT64',
  TYPE_FP16: 'FP16',
  TYPE_FP32: 'FP32',
  TYPE_FP64: 'FP64',
  TYPE_STRING: 'BYTES',
  TYPE_BF16: 'BF16',
};

/** @throws FAILED_PRECONDITION naming the tensor, what was expected and what is there */
export function signatureOf(facts: OnnxFacts, config: TritonConfig, manifest: Manifest | undefined): ReadSignature {
  if (facts.outputs.length === 0) throw unsupported('the model has no outputs');
  const warnings: string[] = [];
  const isContract = (config.max_batch_size ?? 0) > 0;
  const read = (kind: Kind, tensor: OnnxTensor): TensorSpec => {
    const configured = config[kind]?.find((entry) => entry.name === tensor.name);
    const listed = manifest?.signature[`${kind}s`].find((entry) => entry.name === tensor.name);
    const datatype = datatypeOf(kind, tensor);
    if (listed !== undefined) checkListed(kind, tensor, datatype, listed);
    const shape = openShapeOf(kind, tensor, listed?.shape, configured, isContract, warnings);
    if (configured === undefined) return { name: tensor.name, datatype, shape };
    return {
      name: tensor.name,
      datatype,
      shape: configuredShape(kind, { name: tensor.name, datatype, shape }, configured, isContract),
    };
  };
  const inputs = facts.inputs.map((tensor) => read('input', tensor));
  const outputs = facts.outputs.map((tensor) => read('output', tensor));
  const signature = { inputs, outputs };
  checkNames(signature, config, manifest);
  if (isContract)
    for (const kind of ['input', 'output'] as const) checkBatchable(kind, signature, config.max_batch_size!);
  // A warning here means that a shape was guessed, and a guess is no ground for batches.
  const isCandidate = warnings.length === 0 && isLikely(facts, config, signature);
  return { signature, batching: isContract ? 'contract' : isCandidate ? 'likely' : 'no', warnings };
}

function datatypeOf(kind: Kind, tensor: OnnxTensor): DataType {
  const { name, onnxType } = tensor;
  if (!tensor.isTensor) {
    const advice = onnxType.includes('map(') ? ' (scikit-learn: convert with zipmap=False)' : '';
    throw unsupported(`${kind} '${name}' is ${onnxType}, expected a tensor${advice}`);
  }
  if (tensor.datatype === 'BF16') {
    throw unsupported(
      `${kind} '${name}' is ${onnxType}: onnxruntime-node cannot carry BF16, cast it to FP32 or FP16 inside the model`,
    );
  }
  if (tensor.datatype === undefined) throw unsupported(`${kind} '${name}' is ${onnxType}, which has no V2 datatype`);
  return tensor.datatype;
}

/** The shape in the file with −1 for what varies, or, when the file has none, the one given beside it. */
function openShapeOf(
  kind: Kind,
  tensor: OnnxTensor,
  listed: readonly number[] | undefined,
  configured: TritonTensor | undefined,
  isContract: boolean,
  warnings: string[],
): readonly number[] {
  if (tensor.dims !== undefined)
    return tensor.dims.map((dimension) => (typeof dimension === 'number' ? dimension : -1));
  if (listed !== undefined) return listed;
  if (configured?.dims !== undefined) return isContract ? [-1, ...configured.dims] : configured.dims;
  const advice = 'give its dims in the configuration of the model or in manifest.json';
  if (kind === 'input') throw unsupported(`input '${tensor.name}' has no shape in the file: ${advice}`);
  warnings.push(`output '${tensor.name}' has no shape in the file and is shown as [-1]: ${advice}`);
  return [-1];
}

/** The manifest must say what the file says; a shape that the file leaves out is the manifest's alone. */
function checkListed(kind: Kind, tensor: OnnxTensor, datatype: DataType, listed: TensorSpec): void {
  if (listed.datatype !== datatype) {
    throw refused(`manifest.json: ${kind} '${tensor.name}' is ${listed.datatype}, but the model has ${datatype}`);
  }
  if (tensor.dims === undefined) return;
  const shape = tensor.dims.map((dimension) => (typeof dimension === 'number' ? dimension : -1));
  if (shape.length === listed.shape.length && shape.every((dimension, axis) => dimension === listed.shape[axis]))
    return;
  throw refused(
    `manifest.json: ${kind} '${tensor.name}' has shape ${shapeText(listed.shape)}, but the model has ${shapeText(shape)}`,
  );
}

/** The shape that callers see. A configuration may fix an open dimension, never open a fixed one. */
function configuredShape(
  kind: Kind,
  spec: TensorSpec,
  configured: TritonTensor,
  isContract: boolean,
): readonly number[] {
  const { name, shape } = spec;
  const datatype = configured.data_type === undefined ? undefined : typeOf[configured.data_type];
  if (datatype !== undefined && datatype !== spec.datatype) {
    throw refused(`configuration: ${kind} '${name}' is ${configured.data_type}, but the model has ${spec.datatype}`);
  }
  const reshaped = configured.reshape?.shape ?? (configured.reshape === undefined ? undefined : []);
  if (reshaped !== undefined && shapeText(reshaped) !== shapeText(configured.dims ?? [])) {
    throw unsupported(
      `configuration: ${kind} '${name}' has a reshape, which is not supported: give the dims of the model`,
    );
  }
  const { dims } = configured;
  if (dims === undefined) return shape;
  const hasRows = isContract || (dims.length === shape.length - 1 && shape[0] === -1);
  const full = hasRows ? [shape[0] ?? -1, ...dims] : dims;
  const fits =
    full.length === shape.length && shape.every((expected, axis) => expected === -1 || expected === full[axis]);
  const isValid = dims.every((dimension) => dimension >= -1);
  if (fits && isValid) return full;
  const own = isContract ? `${shapeText(shape.slice(1))} after the batch dimension` : shapeText(shape);
  throw refused(`configuration: ${kind} '${name}' has dims ${shapeText(dims)}, but the model has ${own}`);
}

function checkNames(signature: Signature, config: TritonConfig, manifest: Manifest | undefined): void {
  for (const kind of ['input', 'output'] as const) {
    const own = signature[`${kind}s`];
    const names = `[${own.map((spec) => `'${spec.name}'`).join(',')}]`;
    for (const { name } of config[kind] ?? []) {
      if (name === undefined) throw refused(`configuration: an ${kind} without a name`);
      if (!own.some((spec) => spec.name === name)) {
        throw refused(`configuration: ${kind} '${name}' is not in the model, which has ${names}`);
      }
    }
    if (manifest === undefined) continue;
    const listed = manifest.signature[`${kind}s`];
    for (const { name } of listed) {
      if (!own.some((spec) => spec.name === name)) {
        throw refused(`manifest.json: ${kind} '${name}' is not in the model, which has ${names}`);
      }
    }
    const missing = own.find((spec) => !listed.some((entry) => entry.name === spec.name));
    if (missing !== undefined)
      throw refused(`manifest.json: ${kind} '${missing.name}' of the model is not in the signature`);
  }
}

function checkBatchable(kind: Kind, signature: Signature, rowsMax: number): void {
  for (const { name, shape } of signature[`${kind}s`]) {
    if (shape[0] === -1) continue;
    throw refused(
      `max_batch_size is ${rowsMax}, but ${kind} '${name}' has shape ${shapeText(shape)}: its first dimension must vary`,
    );
  }
}

/**
 * Nobody said anything about batches, and the shapes look like rows: a variable first dimension everywhere, of the same
 * symbolic name wherever there is one. Dims of full rank in a configuration without `max_batch_size` mean "no batches".
 */
function isLikely(facts: OnnxFacts, config: TritonConfig, signature: Signature): boolean {
  if (config.max_batch_size !== undefined || signature.inputs.length === 0) return false;
  const specs = [...signature.inputs, ...signature.outputs];
  if (!specs.every((spec) => spec.shape[0] === -1)) return false;
  const entries = [...(config.input ?? []), ...(config.output ?? [])];
  const isFull = (entry: TritonTensor) =>
    entry.dims?.length === specs.find((spec) => spec.name === entry.name)?.shape.length;
  if (entries.some(isFull)) return false;
  const firsts = [...facts.inputs, ...facts.outputs].map((tensor) => tensor.dims?.[0]);
  return new Set(firsts.filter((dimension) => dimension !== undefined)).size <= 1;
}

function refused(reason: string): AdmissionRefusal {
  return new AdmissionRefusal('signature_mismatch', reason);
}

function unsupported(reason: string): AdmissionRefusal {
  return new AdmissionRefusal('unsupported', reason);
}
