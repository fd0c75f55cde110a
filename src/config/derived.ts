/**
 * What the rooms are given, made from the configuration: its names are those that people write, theirs those of the code.
 *
 * Plain values whose shape the rooms declare. Automatic values depend on the machine, which is told.
 *
 * Must not know rooms.
 */

import type { QueuePolicy, SessionPolicy, VersionSpec } from '../core/model.js';
import { ownOf } from '../core/own.js';
import type { Config } from './schema.js';

/**
 * Automatic values in place.
 * @param cores of the machine
 */
export function settled(config: Config, cores: number): Config {
  const processes = config.gateway.processes || Math.max(2, Math.floor(cores / 4));
  const { intra_op_threads } = config.engine;
  const share = Math.floor(cores / (processes * intra_op_threads));
  const instances = config.engine.instances || Math.max(1, share);
  return { ...config, gateway: { ...config.gateway, processes }, engine: { ...config.engine, instances } };
}

/** What holds for every version that says nothing else. */
export function specDefaultsOf({ engine, batching }: Config): {
  readonly rowsMax: number;
  readonly delayUs: number;
  readonly queue: QueuePolicy;
  readonly instances: number;
  readonly session: SessionPolicy;
} {
  return {
    rowsMax: batching.default_max_batch_size,
    delayUs: batching.max_queue_delay_us,
    queue: {
      sizeMax: batching.max_queue_size,
      timeoutMs: batching.default_timeout_ms,
      timeoutAction: 'REJECT',
      allowTimeoutOverride: true,
    },
    instances: engine.instances,
    session: {
      intraOpThreads: engine.intra_op_threads,
      interOpThreads: engine.inter_op_threads,
      executionMode: engine.execution_mode,
      optimization: engine.optimization,
      cpuMemArena: engine.cpu_mem_arena,
      memPattern: engine.mem_pattern,
    },
  };
}

/** What the configuration says of this one model, on top of what the model says itself. */
export function overridden(spec: VersionSpec, { model_overrides }: Config): VersionSpec {
  const own = ownOf(model_overrides, spec.id.model);
  if (own === undefined) return spec;
  const { batch } = spec;
  const isContract = own.max_batch_size !== undefined && own.max_batch_size > 0 && batch.rowsMax > 0;
  return {
    ...spec,
    instances: own.instances || spec.instances,
    rank: own.rank ?? spec.rank,
    config: {
      ...spec.config,
      response_cache: own.response_cache === undefined ? spec.config.response_cache : { enable: own.response_cache },
    },
    session: {
      ...spec.session,
      intraOpThreads: own.intra_op_threads ?? spec.session.intraOpThreads,
      interOpThreads: own.inter_op_threads ?? spec.session.interOpThreads,
      executionMode: own.execution_mode ?? spec.session.executionMode,
      optimization: own.optimization ?? spec.session.optimization,
    },
    batch: {
      ...batch,
      rowsMax: batch.rowsMax === 0 ? 0 : (own.max_batch_size ?? batch.rowsMax),
      isContract: batch.isContract || isContract,
      delayUs: own.max_queue_delay_us ?? batch.delayUs,
      priorityLevels: own.priority_levels ?? batch.priorityLevels,
      defaultPriority: own.priority ?? batch.defaultPriority,
      queue: {
        ...batch.queue,
        sizeMax: own.max_queue_size || batch.queue.sizeMax,
        timeoutMs: own.default_timeout_ms || batch.queue.timeoutMs,
      },
    },
  };
}

/** The HTTP door of a gateway process, but for its clock. */
export function httpOptionsOf({ http }: Config) {
  return {
    host: http.host,
    port: http.port,
    engine: http.engine,
    bodyBytesMax: http.max_input_size,
    bufferedBytesMax: http.max_buffered_bytes,
    bodyTimeoutMs: http.body_timeout_ms,
    writeTimeoutMs: http.write_timeout_ms,
  };
}

/** The V2 API behind it, but for its source of ids. */
export function apiOptionsOf(config: Config) {
  return {
    jsonDepthMax: config.json.max_depth,
    nonFinite: config.json.non_finite,
    fp16Json: config.json.fp16,
    stringsMax: config.limits.max_string_elements,
    bodyBytesMax: config.http.max_input_size,
    compressionBytesMin: config.http.compression_min_bytes,
    requestTimeoutMs: config.request_timeout_ms,
    relayRead: config.relay.read ? ('on' as const) : ('off' as const),
    relayChange: config.relay.change,
    overloadStatus: overloadStatusOf(config),
  };
}

/** The gRPC door, but for its clock and chance. */
export function grpcOptionsOf(config: Config) {
  const { grpc } = config;
  return {
    engine: grpc.engine === 'grpc-js' ? ('grpc-js' as const) : ('own' as const),
    host: grpc.host,
    port: grpc.port,
    writeTimeoutMs: grpc.write_timeout_ms,
    messageBytesMax: grpc.max_message_size,
    typedElementsMax: grpc.max_typed_elements,
    streamsMax: grpc.max_concurrent_streams,
    streamInFlightMax: grpc.stream_max_in_flight,
    connectionAgeMs: grpc.max_connection_age_ms,
    responseCompression: grpc.response_compression,
    hasReflection: grpc.reflection,
    stringsMax: config.limits.max_string_elements,
    requestTimeoutMs: config.request_timeout_ms,
    relayRead: config.relay.read ? ('on' as const) : ('off' as const),
    relayChange: config.relay.change,
    overloadStatus: overloadStatusOf(config),
  };
}

function overloadStatusOf({ overload_status }: Config): 429 | 503 {
  return overload_status === 503 ? 503 : 429;
}
