/**
 * The bytes of an inference reply: JSON, or JSON followed by the blobs of its binary outputs.
 *
 * The text is put together by hand, because the elements of tensors are most of it and have a writer of their own.
 *
 * Must not know requests beyond the form they asked for, nor sockets.
 */
import { classify } from '../core/classification.js';
import { GatewayError } from '../core/errors.js';
import { numberOf } from '../core/half.js';
import type { InferenceReply } from '../core/inference.js';
import type { Version } from '../core/model.js';
import { encodeRaw } from '../core/raw.js';
import type { Assignment } from '../core/route.js';
import type { Tensor, TypedArray } from '../core/tensor.js';
import type { ReplyForm } from './codec.js';
import { booleansText, floatsText, integersText, type NonFinite, quoted, stringsText } from './json-writer.js';

export interface EncodedReply {
  /** The JSON alone, or the JSON and its blobs. */
  readonly body: string | readonly (string | Uint8Array)[];
  /** Bytes of the JSON when blobs follow, else undefined. */
  readonly headerLength: number | undefined;
}

/** @param model the name that was asked for */
export function encodeReply(
  model: string,
  version: Pick<Version, 'batch' | 'labels'>,
  reply: InferenceReply,
  options: { readonly form: ReplyForm; readonly nonFinite: NonFinite; readonly assignment?: Assignment | undefined },
): EncodedReply {
  const { form, nonFinite, assignment } = options;
  const { outputs } = reply;
  let text = form.id === '' ? '{' : `{"id":${JSON.stringify(form.id)},`;
  text += `"model_name":${quoted(model)},"model_version":"${reply.version.version}",`;
  if (assignment !== undefined) text += parametersText(assignment);
  text += '"outputs":[';
  let blobs: Uint8Array[] | undefined;
  let blobBytes = 0;
  for (let i = 0; i < outputs.length; i++) {
    const choice = form.choices?.find((one) => one.name === outputs[i]!.name);
    const output = classified(outputs[i]!, choice?.classes ?? 0, version);
    text += `${i === 0 ? '' : ','}{"name":${quoted(output.name)},"datatype":"${output.datatype}","shape":[${shapeText(output.shape)}],`;
    if (choice?.isBinary ?? form.isBinary) {
      const blob = encodeRaw(output);
      blobs ??= [];
      blobs.push(blob);
      blobBytes += blob.length;
      text += `"parameters":{"binary_data_size":${blob.length}}}`;
    } else {
      text += `"data":${elementsText(output, nonFinite)}}`;
    }
  }
  text += ']}';
  if (blobs === undefined || blobBytes === 0) return { body: text, headerLength: undefined };
  return { body: [text, ...blobs], headerLength: Buffer.byteLength(text) };
}

/** None of the names needs an escape. */
function parametersText({ experiment, variant, reason }: Assignment): string {
  const named = variant === '' ? '' : `"sluice_variant":"${variant}",`;
  return `"parameters":{${named}"sluice_experiment":"${experiment}","sluice_reason":"${reason}"},`;
}

function classified(output: Tensor, classes: number, version: Pick<Version, 'batch' | 'labels'>): Tensor {
  if (classes === 0) return output;
  return classify(output, classes, version.batch.rowsMax > 0, version.labels[output.name] ?? []);
}

/** A shape of one or two dimensions, which nearly all are, without `join`. */
function shapeText(shape: readonly number[]): string {
  if (shape.length === 2) return `${shape[0]},${shape[1]}`;
  return shape.length === 1 ? `${shape[0]}` : shape.join(',');
}

function elementsText({ datatype, data, name }: Tensor, nonFinite: NonFinite): string {
  switch (datatype) {
    case 'FP32':
    case 'FP64':
      return floatsText(data as Float32Array, nonFinite);
    case 'BYTES':
      return stringsText(data as readonly string[]);
    case 'BOOL':
      return booleansText(data as Uint8Array);
    case 'FP16':
      return floatsText(Float64Array.from(data as Uint16Array, numberOf), nonFinite);
    case 'BF16':
      throw new GatewayError('INTERNAL', `output '${name}' is BF16`);
    default:
      return integersText(data as TypedArray);
  }
}
