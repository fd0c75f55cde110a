/**
 * The part of autocannon 8 that the closed loop uses: the package ships no types.
 *
 * Must not know anything of ours.
 */
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events';

  export interface Request {
    readonly method: 'POST';
    readonly path: string;
    readonly headers: Record<string, string>;
    readonly body: Buffer;
  }

  /** One connection: `request` is emitted when it writes one, `response` with the status when it has been answered. */
  export interface Client extends EventEmitter {
    setRequests(requests: readonly Request[]): void;
  }

  export interface Options {
    readonly url: string;
    readonly connections: number;
    /** Seconds. */
    readonly duration: number;
    /** Seconds. */
    readonly timeout: number;
    readonly sampleInt: number;
    readonly excludeErrorStats: boolean;
    readonly skipAggregateResult: boolean;
    readonly setupClient: (client: Client) => void;
  }

  export interface Instance extends PromiseLike<unknown> {
    stop(): void;
  }

  export default function autocannon(options: Options): Instance;
}
