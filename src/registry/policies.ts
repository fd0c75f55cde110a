/**
 * The batching, queue, session and instance settings of a version: its configuration where that says something, the
 * server's defaults where it does not.
 *
 * Must not know tensors, files or the runtime.
 */
import { GatewayError } from '../core/errors.js';
import type { BatchPolicy, QueuePolicy, SessionPolicy } from '../core/model.js';
import type { TritonConfig, TritonQueuePolicy } from './triton-config.js';

/** What holds for every version that says nothing else. */
export interface SpecDefaults {
  /** Rows merged at most when the batch dimension was found, not configured. */
  readonly rowsMax: number;
  readonly delayUs: number;
  /** `sizeMax` 0 = automatic: room for four full batches of every instance, 1,024 at least. */
  readonly queue: QueuePolicy;
  readonly instances: number;
  readonly session: SessionPolicy;
}

/** With it a closed loop of 64 clients never meets a full queue. */
const queueSizeMin = 1024;
const instancesMax = 256;
const priorityLevelsMax = 1_000;

/** @param rowsMax 0 = no batches */
export function batchPolicyOf(
  config: TritonConfig,
  rowsMax: number,
  instances: number,
  defaults: SpecDefaults,
): BatchPolicy {
  const batching = config.dynamic_batching ?? {};
  const sizeMax = defaults.queue.sizeMax || Math.max(queueSizeMin, 4 * rowsMax * instances);
  const queue = queuePolicyOf(batching.default_queue_policy, { ...defaults.queue, sizeMax });
  const priorityLevels = batching.priority_levels ?? 0;
  const defaultPriority = batching.default_priority_level ?? 0;
  checkPriorities(priorityLevels, defaultPriority);
  const levels: Record<number, QueuePolicy> = {};
  for (const [level, policy] of Object.entries(batching.priority_queue_policy ?? {})) {
    if (!/^[1-9][0-9]{0,8}$/.test(level) || Number(level) > priorityLevels) {
      throw refused(`priority_queue_policy for level ${level}, but priority_levels is ${priorityLevels}`);
    }
    levels[Number(level)] = queuePolicyOf(policy, queue);
  }
  const preferredRows = rowsMax === 0 ? [] : [...(batching.preferred_batch_size ?? [])].sort((a, b) => a - b);
  const odd = preferredRows.find((rows) => rows < 1 || rows > rowsMax);
  if (odd !== undefined) throw refused(`preferred_batch_size ${odd}, but max_batch_size is ${rowsMax}`);
  return {
    rowsMax,
    isContract: rowsMax > 0 && (config.max_batch_size ?? 0) > 0,
    preferredRows,
    delayUs: atLeastZero('max_queue_delay_microseconds', batching.max_queue_delay_microseconds) ?? defaults.delayUs,
    queue,
    priorityLevels,
    defaultPriority,
    levels,
  };
}

function checkPriorities(levels: number, preset: number): void {
  if (levels < 0 || levels > priorityLevelsMax)
    throw refused(`priority_levels ${levels}, expected 0 to ${priorityLevelsMax}`);
  if (levels === 0 ? preset !== 0 : preset < 1 || preset > levels) {
    throw refused(`default_priority_level ${preset}, but priority_levels is ${levels}`);
  }
}

/** A size of 0 means "no limit" to Triton; here it means the default, for there is no queue without a limit. */
function queuePolicyOf(policy: TritonQueuePolicy | undefined, defaults: QueuePolicy): QueuePolicy {
  if (policy === undefined) return defaults;
  const timeoutUs = atLeastZero('default_timeout_microseconds', policy.default_timeout_microseconds);
  const sizeMax = atLeastZero('max_queue_size', policy.max_queue_size) ?? 0;
  return {
    sizeMax: sizeMax === 0 ? defaults.sizeMax : sizeMax,
    timeoutMs: timeoutUs === undefined ? defaults.timeoutMs : timeoutUs / 1000,
    timeoutAction: policy.timeout_action ?? defaults.timeoutAction,
    allowTimeoutOverride: policy.allow_timeout_override ?? defaults.allowTimeoutOverride,
  };
}

export function instancesOf(config: TritonConfig, preset: number): number {
  const counts = (config.instance_group ?? []).flatMap(({ count }) => (count === undefined ? [] : [count]));
  if (counts.length === 0) return preset;
  const instances = counts.reduce((sum, count) => sum + count, 0);
  if (counts.every((count) => count >= 1) && instances <= instancesMax) return instances;
  throw refused(`instance_group counts ${counts.join(' + ')}, expected 1 to ${instancesMax} in all`);
}

/** Triton's parameters of its ONNX Runtime backend; a thread count of 0 leaves the default. */
export function sessionPolicyOf(config: TritonConfig, defaults: SessionPolicy): SessionPolicy {
  const mode = integer(config, 'execution_mode', 0, 1);
  const arena = integer(config, 'enable_mem_arena', 0, 1);
  const pattern = integer(config, 'enable_mem_pattern', 0, 1);
  return {
    intraOpThreads: integer(config, 'intra_op_thread_count', 0, 1024) || defaults.intraOpThreads,
    interOpThreads: integer(config, 'inter_op_thread_count', 0, 1024) || defaults.interOpThreads,
    executionMode: mode === undefined ? defaults.executionMode : mode === 1 ? 'parallel' : 'sequential',
    optimization: optimizationOf(config.optimization?.graph?.level) ?? defaults.optimization,
    cpuMemArena: arena === undefined ? defaults.cpuMemArena : arena === 1,
    memPattern: pattern === undefined ? defaults.memPattern : pattern === 1,
  };
}

function optimizationOf(level: number | undefined): SessionPolicy['optimization'] | undefined {
  if (level === undefined) return undefined;
  if (level === -1) return 'basic';
  if (level === 1) return 'extended';
  return level === 2 ? 'disabled' : 'all';
}

/** Parameters that have a meaning here; others are carried, shown and reported. */
export const knownParameters: readonly string[] = [
  'intra_op_thread_count',
  'inter_op_thread_count',
  'execution_mode',
  'enable_mem_arena',
  'enable_mem_pattern',
];

function integer(config: TritonConfig, name: string, min: number, max: number): number | undefined {
  const text = config.parameters?.[name]?.string_value;
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^[0-9]{1,9}$/.test(text) && value >= min && value <= max) return value;
  throw refused(`parameter '${name}' is '${text}', expected an integer from ${min} to ${max}`);
}

function atLeastZero(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value >= 0) return value;
  throw refused(`${name} ${value}, expected 0 or more`);
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `configuration: ${reason}`);
}
