/**
 * Answers given before, for models whose configuration says that equal inputs have equal answers.
 *
 *   run(request) ─ key ─▶ known? ─ yes ─▶ the same answer, in no time
 *                            └ no ─▶ under way? ─ yes ─▶ wait for that run
 *                                        └ no ─▶ version.infer ─▶ kept, within bytes and time
 *
 * The key is a digest of the loaded version itself, the outputs asked for and the inputs as they were decoded: JSON and binary,
 * HTTP and gRPC share answers, and a version that was loaded anew shares none. Errors are not kept. Who waits for another's
 * run keeps his own deadline, and when the other gives up he runs by himself.
 *
 * Must not know protocols, or how a version runs.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../core/errors.js';
import type { InferenceReply, InferenceRequest, Timing } from '../core/inference.js';
import { nameOf, type Version } from '../core/model.js';
import type { Family } from '../core/series.js';
import { asBytes, type Tensor, type TypedArray } from '../core/tensor.js';

export interface ResponseCacheOptions {
  readonly bytesMax: number;
  readonly ttlMs: number;
  readonly now: () => number;
}

/** An answer larger than this part of the cache would push out too many others. */
const entryShareMax = 1 / 8;
/** What an answer takes beside its elements. */
const entryBytes = 512;
const atOnce: Timing = { queueMs: 0, inputMs: 0, inferMs: 0, outputMs: 0, batchRows: 0 };
/** The other's failure is his own: his caller left, or his time was over. */
const own: readonly string[] = ['CANCELLED', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED'];

export class ResponseCache {
  readonly #now: () => number;
  readonly #replies: LRUCache<string, InferenceReply>;
  readonly #running = new Map<string, Promise<InferenceReply>>();
  readonly #numbers = new WeakMap<Version, number>();
  readonly #counts = new Map<string, Record<'hit' | 'miss' | 'joined', number>>();
  #versions = 0;

  constructor({ bytesMax, ttlMs, now }: ResponseCacheOptions) {
    this.#now = now;
    this.#replies = new LRUCache({
      maxSize: bytesMax,
      maxEntrySize: Math.max(1, Math.floor(bytesMax * entryShareMax)),
      sizeCalculation: ({ outputs }) => outputs.reduce((sum, { data }) => sum + sizeOf(data), entryBytes),
      ttl: ttlMs,
      ttlResolution: 0,
      perf: { now },
    });
  }

  /** @see Infer */
  readonly run = (request: InferenceRequest): Promise<InferenceReply> => {
    if (request.version.config.response_cache.enable !== true) return request.version.infer(request);
    const key = this.#keyOf(request);
    const known = this.#replies.get(key);
    if (known !== undefined) {
      this.#countsOf(request).hit++;
      return Promise.resolve(known);
    }
    const running = this.#running.get(key);
    if (running !== undefined) return this.#join(running, request);
    return this.#lead(key, request);
  };

  #countsOf({ version }: InferenceRequest): Record<'hit' | 'miss' | 'joined', number> {
    const { model } = version.id;
    let counts = this.#counts.get(model);
    if (counts === undefined) {
      counts = { hit: 0, miss: 0, joined: 0 };
      this.#counts.set(model, counts);
    }
    return counts;
  }

  #lead(key: string, request: InferenceRequest): Promise<InferenceReply> {
    this.#countsOf(request).miss++;
    const run = request.version.infer(request).then(
      (reply) => {
        this.#running.delete(key);
        const outputs = reply.outputs.map(ownCopy);
        this.#replies.set(key, { version: reply.version, outputs, timing: atOnce, cache: 'hit' });
        return { ...reply, cache: 'miss' as const };
      },
      (error: unknown) => {
        this.#running.delete(key);
        throw error;
      },
    );
    this.#running.set(key, run);
    return run;
  }

  #join(running: Promise<InferenceReply>, request: InferenceRequest): Promise<InferenceReply> {
    const { cancellation, deadlineAt } = request;
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      let isOver = false;
      const end = (settle: () => void) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        cancellation.holder = undefined;
        settle();
      };
      if (Number.isFinite(deadlineAt)) {
        const expired = new GatewayError('DEADLINE_EXCEEDED', 'Request timeout expired', { reason: 'deadline' });
        timer = setTimeout(() => end(() => reject(expired)), Math.max(0, deadlineAt - this.#now()));
      }
      cancellation.holder = {
        onCancel: () =>
          end(() =>
            reject(new GatewayError('CANCELLED', 'request was cancelled by its caller', { reason: 'cancelled' })),
          ),
      };
      running.then(
        (reply) =>
          end(() => {
            this.#countsOf(request).joined++;
            resolve({ ...reply, timing: atOnce, cache: 'hit' });
          }),
        (error: unknown) =>
          end(() => {
            if (own.includes(GatewayError.from(error).code)) this.run(request).then(resolve, reject);
            else reject(error);
          }),
      );
    });
  }

  #keyOf({ version, outputs, inputs }: InferenceRequest): string {
    let number = this.#numbers.get(version);
    if (number === undefined) {
      number = ++this.#versions;
      this.#numbers.set(version, number);
    }
    const hash = createHash('sha256');
    hash.update(JSON.stringify([nameOf(version.id), number, outputs ?? null]));
    for (const { name, datatype, shape, data } of inputs) {
      hash.update(JSON.stringify([name, datatype, shape]));
      // A text ends where JSON says so: two neighbours cannot be read as one.
      if (datatype === 'BYTES') hash.update(JSON.stringify(data));
      else hash.update(asBytes(data as TypedArray));
    }
    return hash.digest('base64url');
  }

  families(): Family[] {
    return [
      {
        name: 'sluice_cache_requests_total',
        help: 'Requests of models with a response cache: answered from it, joined with an equal one, run.',
        type: 'counter',
        series: [...this.#counts].flatMap(([model, counts]) =>
          Object.entries(counts).map(([result, value]) => ({ labels: { model, result }, value })),
        ),
      },
      {
        name: 'sluice_cache_bytes',
        help: 'Answers kept in the response cache.',
        type: 'gauge',
        series: [{ labels: {}, value: this.#replies.calculatedSize }],
      },
    ];
  }
}

function sizeOf(data: Tensor['data']): number {
  if (!Array.isArray(data)) return (data as TypedArray).byteLength;
  return (data as readonly string[]).reduce((sum, text) => sum + 2 * text.length + 24, 0);
}

/** Rows of a batch are a part of its buffer, which a kept answer must not hold. */
function ownCopy(tensor: Tensor): Tensor {
  return Array.isArray(tensor.data) ? tensor : { ...tensor, data: (tensor.data as TypedArray).slice() };
}
