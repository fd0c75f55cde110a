/**
 * The model configuration that V2 clients read, made from what a version will really do, not from what was written.
 *
 * Load generators decide by it how to batch, so nothing is shown that is not so: no cache, no decoupled replies, the
 * merging policy only where requests are merged.
 *
 * Must not know files or the runtime.
 */
import type { BatchPolicy, ModelConfig, QueuePolicy, Signature, VersionSpec } from '../core/model.js';
import type { DataType, TensorSpec } from '../core/tensor.js';
import type { TritonConfig } from './triton-config.js';

type Json = Readonly<Record<string, unknown>>;

export interface ConfigParts {
  readonly model: string;
  readonly file: string;
  readonly signature: Signature;
  readonly batch: BatchPolicy;
  readonly instances: number;
}

export function modelConfigOf(parts: ConfigParts, written: TritonConfig): ModelConfig {
  const { signature, batch } = parts;
  const dimsOf = (spec: TensorSpec) => (batch.rowsMax > 0 ? spec.shape.slice(1) : spec.shape);
  return {
    name: parts.model,
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    version_policy: written.version_policy ?? { latest: { num_versions: 1 } },
    max_batch_size: batch.rowsMax,
    input: signature.inputs.map((spec) => ({
      name: spec.name,
      data_type: typeNameOf(spec.datatype),
      format: written.input?.find((entry) => entry.name === spec.name)?.format ?? 'FORMAT_NONE',
      dims: dimsOf(spec),
      is_shape_tensor: false,
      allow_ragged_batch: false,
      optional: false,
    })),
    output: signature.outputs.map((spec) => ({
      name: spec.name,
      data_type: typeNameOf(spec.datatype),
      dims: dimsOf(spec),
      label_filename: written.output?.find((entry) => entry.name === spec.name)?.label_filename ?? '',
      is_shape_tensor: false,
    })),
    instance_group: [{ name: `${parts.model}_0`, kind: 'KIND_CPU', count: parts.instances, gpus: [] }],
    default_model_filename: parts.file,
    parameters: Object.fromEntries(
      Object.entries(written.parameters ?? {}).map(([name, { string_value }]) => [
        name,
        { string_value: string_value ?? '' },
      ]),
    ),
    model_warmup: written.model_warmup ?? [],
    ...(batch.rowsMax > 1 ? { dynamic_batching: batchingOf(batch) } : {}),
    model_transaction_policy: { decoupled: false },
    response_cache: { enable: written.response_cache?.enable === true },
  };
}

/** The version with a configuration that shows its policy as it is now, whoever has changed it since it was read. */
export function withPolicyShown(spec: VersionSpec): VersionSpec {
  const { dynamic_batching: _, ...config } = spec.config;
  const { batch, instances } = spec;
  return {
    ...spec,
    config: {
      ...config,
      max_batch_size: batch.rowsMax,
      instance_group: config.instance_group.map((group) => ({ ...group, count: instances })),
      ...(batch.rowsMax > 1 ? { dynamic_batching: batchingOf(batch) } : {}),
    },
  };
}

/** The version without batches: what becomes of a candidate whose rows turned out to depend on each other. */
export function unbatched(spec: VersionSpec): VersionSpec {
  const { dynamic_batching: _, ...config } = spec.config;
  const whole = (entries: readonly Json[], specs: readonly TensorSpec[]) =>
    entries.map((entry, index) => ({ ...entry, dims: specs[index]!.shape }));
  return {
    ...spec,
    batch: { ...spec.batch, rowsMax: 0, isContract: false, preferredRows: [] },
    config: {
      ...config,
      max_batch_size: 0,
      input: whole(config.input, spec.signature.inputs),
      output: whole(config.output, spec.signature.outputs),
    },
  };
}

function typeNameOf(datatype: DataType): string {
  return `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`;
}

function batchingOf(batch: BatchPolicy): Json {
  return {
    preferred_batch_size: batch.preferredRows,
    max_queue_delay_microseconds: batch.delayUs,
    preserve_ordering: false,
    priority_levels: batch.priorityLevels,
    default_priority_level: batch.defaultPriority,
    default_queue_policy: queueOf(batch.queue),
    priority_queue_policy: Object.fromEntries(
      Object.entries(batch.levels).map(([level, queue]) => [level, queueOf(queue)]),
    ),
  };
}

function queueOf(queue: QueuePolicy): Json {
  return {
    timeout_action: queue.timeoutAction,
    default_timeout_microseconds: Math.round(queue.timeoutMs * 1000),
    allow_timeout_override: queue.allowTimeoutOverride,
    max_queue_size: queue.sizeMax,
  };
}
