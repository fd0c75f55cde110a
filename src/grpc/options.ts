/**
 * What the gRPC door is told when it opens, and what that means to grpc-js.
 *
 * Must not know the gRPC library: its options are a record of names and numbers.
 */
import type { RelayPolicy } from './calls.js';
import type { CompressionLevel } from './compression.js';

export interface GrpcOptions {
  /** What answers: our own HTTP/2, or the library. */
  readonly engine: 'own' | 'grpc-js';
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  /** After decompression, in both directions. */
  readonly messageBytesMax: number;
  /** Elements in typed contents of one message. */
  readonly typedElementsMax: number;
  /** BYTES elements of one tensor. */
  readonly stringsMax: number;
  /** Calls of one connection at once. */
  readonly streamsMax: number;
  /** Requests of one ModelStreamInfer at once. */
  readonly streamInFlightMax: number;
  /** Time that a caller may take nothing of what it asked for; the library has no such limit. */
  readonly writeTimeoutMs: number;
  /** Varied by 10 % either way, so that connections do not all end together. */
  readonly connectionAgeMs: number;
  readonly responseCompression: CompressionLevel;
  readonly hasReflection: boolean;
  readonly requestTimeoutMs: number;
  readonly relayRead: RelayPolicy;
  readonly relayChange: RelayPolicy;
  readonly overloadStatus: 429 | 503;
  /** Milliseconds since 1970. */
  readonly epochNow: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Limits that the library leaves open are closed here (reliability §7). Pings of clients are answered however often they come. */
export function channelOptionsOf(options: GrpcOptions): Record<string, number> {
  return {
    'grpc.max_receive_message_length': options.messageBytesMax,
    'grpc.max_send_message_length': options.messageBytesMax,
    'grpc.max_concurrent_streams': options.streamsMax,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.max_connection_age_ms': options.connectionAgeMs,
    'grpc.max_connection_age_grace_ms': 30_000,
    'grpc.max_connection_idle_ms': 300_000,
    'grpc-node.max_session_memory': 64,
  };
}
