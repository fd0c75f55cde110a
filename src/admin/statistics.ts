/**
 * V2 statistics of the whole server: the parts of all processes added up, those of ended ones kept.
 *
 * Counters of a version live as long as control does, also when its processes are replaced; only the memory it holds goes
 * with the process. The answer holds integers only, with bigint where a sum of nanoseconds may pass 2^53: clients abort on
 * `1.5` and `1e9`, and rounding would make a counter stand still.
 *
 * Must not know who asks, or which versions are ready.
 */
import type { VersionId } from '../core/model.js';
import {
  type BatchStatistics,
  type DurationSum,
  emptyStatistics,
  mergeStatistics,
  type VersionStatistics,
} from '../core/statistics.js';

const endedMax = 1000;

export class StatisticsRoom {
  readonly #living = new Map<string, readonly VersionStatistics[]>();
  readonly #ended = new Set<string>();
  #retained: readonly VersionStatistics[] = [];

  /** The latest counts of a process, whole since its start; ignored after its end. */
  put(incarnation: string, statistics: readonly VersionStatistics[]): void {
    if (this.#ended.has(incarnation)) return;
    const told = new Set(statistics.map(keyOf));
    const untold = (this.#living.get(incarnation) ?? []).filter((one) => !told.has(keyOf(one)));
    if (untold.length > 0) this.#retain(untold);
    this.#living.set(incarnation, statistics);
  }

  end(incarnation: string): void {
    const last = this.#living.get(incarnation) ?? [];
    this.#living.delete(incarnation);
    this.#retain(last);
    this.#ended.add(incarnation);
    if (this.#ended.size > endedMax) this.#ended.delete(this.#ended.values().next().value!);
  }

  /** What a process does not tell any more goes on counting. */
  #retain(statistics: readonly VersionStatistics[]): void {
    this.#retained = mergeAll([...this.#retained, ...statistics.map((one) => ({ ...one, memoryBytes: 0 }))]);
  }

  /** Of these versions, in this order; one that was never asked has zeros. */
  of(ids: readonly VersionId[]): VersionStatistics[] {
    const known = new Map(mergeAll([this.#retained, ...this.#living.values()].flat()).map((one) => [keyOf(one), one]));
    return ids.map((id) => known.get(keyOf(id)) ?? emptyStatistics(id.model, id.version));
  }

  /** The V2 answer (protocol §8.3). */
  answer(ids: readonly VersionId[]): { model_stats: Record<string, unknown>[] } {
    return { model_stats: this.of(ids).map(statisticsJson) };
  }
}

function keyOf(id: VersionId): string {
  return `${id.model}@${id.version}`;
}

function mergeAll(parts: readonly VersionStatistics[]): VersionStatistics[] {
  const merged = new Map<string, VersionStatistics>();
  for (const part of parts) {
    const known = merged.get(keyOf(part));
    merged.set(keyOf(part), known === undefined ? part : mergeStatistics(known, part));
  }
  return [...merged.values()];
}

/** The JSON form of ModelStatistics. */
export function statisticsJson(one: VersionStatistics): Record<string, unknown> {
  return {
    name: one.model,
    version: one.version,
    last_inference: Math.trunc(one.lastInference),
    inference_count: one.inferenceCount,
    execution_count: one.executionCount,
    inference_stats: {
      success: durationJson(one.success),
      fail: durationJson(one.fail),
      queue: durationJson(one.queue),
      compute_input: durationJson(one.computeInput),
      compute_infer: durationJson(one.computeInfer),
      compute_output: durationJson(one.computeOutput),
      cache_hit: durationJson(one.cacheHit),
      cache_miss: durationJson(one.cacheMiss),
    },
    response_stats: {},
    batch_stats: one.batches.map(batchJson),
    memory_usage: one.memoryBytes > 0 ? [{ type: 'CPU', id: 0, byte_size: Math.trunc(one.memoryBytes) }] : [],
  };
}

function batchJson(batch: BatchStatistics): Record<string, unknown> {
  return {
    batch_size: batch.rows,
    compute_input: durationJson(batch.computeInput),
    compute_infer: durationJson(batch.computeInfer),
    compute_output: durationJson(batch.computeOutput),
  };
}

function durationJson({ count, ns }: DurationSum): { count: number; ns: bigint } {
  return { count, ns };
}
