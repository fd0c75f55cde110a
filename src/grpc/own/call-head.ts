/**
 * The head of a call as gRPC reads it: which method, how long, how compressed; or the reply that refuses it at once.
 *
 * It is kept with the header list that it was made of, so that calls with the same block share it.
 *
 * Must not know streams.
 */
import type { Method } from '../call.js';
import type { HeaderList } from '../http2/header-list.js';
import { statusOf } from '../status.js';
import { timeoutMsOf } from '../timeout.js';
import { failureBlock, httpBlock } from './reply-block.js';

/** What grpc-js takes as the value of a text key; it leaves out anything else. */
const metadataText = /^[ -~]*$/;

export class CallHead {
  readonly path: string;
  readonly method: Method | undefined = undefined;
  /** The only header block of the reply, for a call that is none. */
  readonly refusal: Buffer | undefined = undefined;
  /** Infinity = none. */
  readonly timeoutMs: number = Infinity;
  readonly encoding: string;
  readonly #list: HeaderList;

  constructor(list: HeaderList, methods: ReadonlyMap<string, Method>) {
    this.#list = list;
    this.path = list.path;
    this.encoding = list.get('grpc-encoding') ?? 'identity';
    if (list.isTooLarge) {
      this.refusal = httpBlock(431, { code: statusOf.RESOURCE_EXHAUSTED, details: 'the metadata are too large' });
      return;
    }
    if (list.method !== 'POST') {
      this.refusal = httpBlock(405);
      return;
    }
    if (!(list.get('content-type') ?? '').startsWith('application/grpc')) {
      this.refusal = httpBlock(415);
      return;
    }
    this.method = methods.get(list.path);
    if (this.method === undefined) {
      const details = `The server does not implement the method ${list.path}`;
      this.refusal = failureBlock({ code: statusOf.UNIMPLEMENTED, details }, '');
      return;
    }
    const timeout = list.get('grpc-timeout');
    if (timeout === undefined) return;
    const timeoutMs = timeoutMsOf(timeout);
    if (timeoutMs === undefined) {
      const details = `Invalid grpc-timeout value "${timeout}"`;
      this.refusal = failureBlock({ code: statusOf.INTERNAL, details }, '');
    } else this.timeoutMs = timeoutMs;
  }

  /** First value of a metadata key; empty when there is none that is text. */
  text(key: string): string {
    const value = this.#list.get(key);
    return value !== undefined && metadataText.test(value) ? value : '';
  }
}
