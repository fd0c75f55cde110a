/**
 * Methods beside inference, whose messages the proto loader reads and writes. Requests are looked over first, because it
 * decodes whatever it is given, and refused with our text, because it throws its own.
 *
 * Must not know what a message means, or an engine.
 */
import { GatewayError } from '../core/errors.js';
import { Bytes, type Call, type CallUser, type Method } from './call.js';
import type { UnaryCall } from './calls.js';
import type { Health, Watcher } from './health.js';
import { decodeRepositoryMessage } from './repository.js';
import { peerOf, statusFor } from './terms.js';
import { checkFields, malformed } from './wire.js';

/** Chosen: requests beside inference and load are names and settings. */
const plainBytesMax = 65_536;

/** A method as the proto loader describes it. */
export interface Described {
  readonly path: string;
  readonly requestDeserialize: (bytes: Buffer) => object;
  readonly responseSerialize: (message: object) => Buffer;
}

type Decode = (bytes: Buffer) => object;

const noNames = { requestId: '', model: '', version: '' };

/** @throws INVALID_ARGUMENT `failed to parse request: …` */
function decoderOf({ path, requestDeserialize }: Described): Decode {
  if (path.endsWith('/RepositoryModelLoad') || path.endsWith('/RepositoryModelUnload')) return decodeRepositoryMessage;
  return (bytes) => {
    checkFields(bytes, plainBytesMax);
    try {
      return requestDeserialize(bytes);
    } catch (thrown) {
      throw malformed(thrown instanceof Error ? thrown.message : 'invalid message');
    }
  };
}

function user(message: CallUser['message'], cancel: () => void = nothing, end: () => void = nothing): CallUser {
  return { message, cancel, end };
}

function nothing(): void {}

/** One request, one answer. */
export function unaryMethod(described: Described, answer: UnaryCall, overloadStatus: 429 | 503): Method {
  const decode = decoderOf(described);
  const run = async (call: Call, bytes: Buffer): Promise<void> => {
    try {
      const reply = await answer(decode(bytes), peerOf(call));
      call.reply(noNames, new Bytes(described.responseSerialize(reply)));
    } catch (thrown) {
      call.fail(statusFor(GatewayError.from(thrown), overloadStatus, true), '');
    }
  };
  const open = (call: Call) => user((bytes) => void run(call, bytes));
  return { path: described.path, isRequestStream: false, isResponseStream: false, open };
}

/** grpc.health.v1.Health/Watch: one request, an answer now and at every change. */
export function watchMethod(described: Described, health: Health): Method {
  const decode = decoderOf(described);
  const open = (call: Call): CallUser => {
    const watcher: Watcher = {
      send: (status) => call.send(new Bytes(described.responseSerialize({ status }))),
      end: () => call.fail(statusFor(new GatewayError('UNAVAILABLE', 'server is shutting down'), 429, true), ''),
    };
    return user(
      (bytes) => {
        try {
          health.watch((decode(bytes) as { service: string }).service, watcher);
        } catch (thrown) {
          call.fail(statusFor(GatewayError.from(thrown), 429, true), '');
        }
      },
      () => health.unwatch(watcher),
    );
  };
  return { path: described.path, isRequestStream: false, isResponseStream: true, open };
}

/** An answer for every request. */
export function exchangeMethod(described: Described, answer: (request: object) => object): Method {
  const decode = decoderOf(described);
  const open = (call: Call): CallUser =>
    user(
      (bytes) => {
        try {
          call.send(new Bytes(described.responseSerialize(answer(decode(bytes)))));
        } catch (thrown) {
          call.fail(statusFor(GatewayError.from(thrown), 429, true), '');
        }
      },
      nothing,
      () => call.finish(),
    );
  return { path: described.path, isRequestStream: true, isResponseStream: true, open };
}
