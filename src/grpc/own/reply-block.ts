/**
 * The header blocks of replies: what every reply says is written once, what a model's replies say is written once for it.
 *
 * Must not know streams.
 */
import type { Assignment } from '../../core/route.js';
import { assignmentTexts, type ReplyNames } from '../call.js';
import type { Encoding } from '../compression.js';
import { fieldBlock, fieldName, statusBlock, valueSize, writeValue } from '../http2/field-block.js';
import type { Outbox } from '../http2/outbox.js';
import type { Stream } from '../http2/stream.js';
import type { Status } from '../terms.js';

const contentType = ['content-type', 'application/grpc+proto'] as const;
/** Chosen: a status travels in one frame, and peers limit blocks to about 8 KiB. */
const messageBytesMax = 8000;

/** Of a reply with a body, but for its encoding. */
const start = Buffer.concat([
  statusBlock(200),
  fieldBlock([contentType, ['grpc-accept-encoding', 'identity,deflate,gzip']]),
]);
const startOf: Readonly<Record<Encoding | 'identity', Buffer>> = {
  identity: Buffer.concat([start, fieldBlock([['grpc-encoding', 'identity']])]),
  gzip: Buffer.concat([start, fieldBlock([['grpc-encoding', 'gzip']])]),
  deflate: Buffer.concat([start, fieldBlock([['grpc-encoding', 'deflate']])]),
};
const requestIdName = fieldName('x-request-id');
const timingName = fieldName('server-timing');

export const successTrailers = fieldBlock([['grpc-status', '0']]);

/** `encodeURI`, cut where a status would not fit into its frame. */
function encodedText(details: string): string {
  let text = details;
  for (;;) {
    const encoded = encodeURI(text.toWellFormed());
    if (encoded.length <= messageBytesMax) return encoded;
    text = text.slice(0, Math.floor((text.length * messageBytesMax) / encoded.length));
  }
}

function statusFields({ code, details }: Status): [string, string][] {
  return [
    ['grpc-status', `${code}`],
    ['grpc-message', encodedText(details)],
  ];
}

/** After a body. */
export function failureTrailers(status: Status): Buffer {
  return fieldBlock(statusFields(status));
}

/** Without a body. */
export function failureBlock(status: Status, requestId: string): Buffer {
  const fields = [contentType, ...statusFields(status)];
  if (requestId !== '') fields.push(['x-request-id', requestId]);
  return Buffer.concat([statusBlock(200), fieldBlock(fields)]);
}

/** For what is no call of gRPC; a client of gRPC reads the status all the same. */
export function httpBlock(code: number, status?: Status): Buffer {
  return Buffer.concat([statusBlock(code), fieldBlock(status === undefined ? [] : statusFields(status))]);
}

/** Chosen: models that are asked for by turns. */
const modelsMax = 256;

/** Writes the header blocks of replies, and remembers those of models. */
export class ReplyHeaders {
  readonly #models = new Map<string, { readonly version: string; readonly block: Buffer }>();

  send(stream: Stream, outbox: Outbox, names: ReplyNames): void {
    const { requestId, model, version, encoding, assignment, timing = '' } = names;
    const head = startOf[encoding ?? 'identity'];
    const block = model === '' ? undefined : this.#blockOf(model, version, assignment);
    const idBytes = requestId === '' ? 0 : requestIdName.length + valueSize(requestId);
    const timingBytes = timing === '' ? 0 : timingName.length + valueSize(timing);
    let at = stream.headers(head.length + (block?.length ?? 0) + idBytes + timingBytes);
    const { bytes } = outbox;
    bytes.set(head, at);
    at += head.length;
    if (block !== undefined) {
      bytes.set(block, at);
      at += block.length;
    }
    if (timing !== '') {
      bytes.set(timingName, at);
      writeValue(bytes, at + timingName.length, timing);
      at += timingBytes;
    }
    if (requestId === '') return;
    bytes.set(requestIdName, at);
    writeValue(bytes, at + requestIdName.length, requestId);
  }

  #blockOf(model: string, version: string, assignment: Assignment | undefined): Buffer {
    // A routed model has a block for each answer that its route may give.
    const key = assignment === undefined ? model : `${model} ${version} ${assignmentTexts(assignment).join(' ')}`;
    const known = this.#models.get(key);
    if (known !== undefined && known.version === version) return known.block;
    if (known === undefined && this.#models.size === modelsMax) this.#models.clear();
    const block = fieldBlock([
      ['x-sluice-model', model],
      ['x-sluice-version', version],
      ...assignmentTexts(assignment).map(([name, text]) => [`x-sluice-${name}`, text] as const),
    ]);
    this.#models.set(key, { version, block });
    return block;
  }
}
