/**
 * The same counts under the names that Triton gives them, so that its dashboards and autoscaling recipes work.
 *
 * Durations are cumulative microseconds of successful requests, each of which counts the whole time of its batch. Failures
 * and the queue come from the families, everything else from the V2 statistics, whose sums do not round.
 *
 * Must not know who asked for it.
 */
import { nameOf, type VersionId } from '../core/model.js';
import type { Family, Series } from '../core/series.js';
import type { DurationSum, VersionStatistics } from '../core/statistics.js';

/** Triton knows four reasons. */
const reasonOf: Readonly<Record<string, string>> = {
  RESOURCE_EXHAUSTED: 'REJECTED',
  UNAVAILABLE: 'REJECTED',
  DEADLINE_EXCEEDED: 'REJECTED',
  CANCELLED: 'CANCELED',
  INTERNAL: 'BACKEND',
};

/**
 * @param families added up over all processes
 * @param versions those that are served
 */
export function tritonFamilies(families: readonly Family[], versions: readonly VersionStatistics[]): Family[] {
  const served = new Set(versions.map(nameOf));
  const counter = (name: string, help: string, value: (one: VersionStatistics) => number): Family => ({
    name: `nv_inference_${name}`,
    help,
    type: 'counter',
    series: versions.map((one) => ({ labels: labelsOf(one), value: value(one) })),
  });
  const duration = (name: string, help: string, of: (one: VersionStatistics) => DurationSum): Family =>
    counter(`${name}_duration_us`, `Cumulative ${help}, in microseconds.`, (one) => Number(of(one).ns / 1000n));
  return [
    counter('request_success', 'Successful inference requests.', ({ success }) => success.count),
    failures(seriesOf(families, 'sluice_requests_total'), served),
    counter('count', 'Inferences done, a batch of n counting n.', ({ inferenceCount }) => inferenceCount),
    counter('exec_count', 'Runs of the model.', ({ executionCount }) => executionCount),
    duration('request', 'time of requests', ({ success }) => success),
    duration('queue', 'time that requests waited', ({ queue }) => queue),
    duration('compute_input', 'time of preparing inputs', ({ computeInput }) => computeInput),
    duration('compute_infer', 'time of running the model', ({ computeInfer }) => computeInfer),
    duration('compute_output', 'time of taking outputs apart', ({ computeOutput }) => computeOutput),
    {
      name: 'nv_inference_pending_request_count',
      help: 'Requests that wait for a batch.',
      type: 'gauge',
      series: seriesOf(families, 'sluice_queue_depth').flatMap(({ labels, value }) =>
        served.has(nameOf(versionOf(labels))) ? [{ labels: labelsOf(versionOf(labels)), value }] : [],
      ),
    },
  ];
}

function failures(requests: readonly Series[], served: ReadonlySet<string>): Family {
  const byVersion = new Map<string, { readonly labels: Record<string, string>; value: number }>();
  for (const { labels, value } of requests) {
    const id = versionOf(labels);
    if (labels.code === 'OK' || !served.has(nameOf(id))) continue;
    const reason = reasonOf[labels.code ?? ''] ?? 'OTHER';
    const key = `${reason} ${nameOf(id)}`;
    const sum = byVersion.get(key) ?? { labels: { ...labelsOf(id), reason }, value: 0 };
    sum.value += value;
    byVersion.set(key, sum);
  }
  const help = 'Failed inference requests, by reason.';
  return { name: 'nv_inference_request_failure', help, type: 'counter', series: [...byVersion.values()] };
}

function seriesOf(families: readonly Family[], name: string): readonly Series[] {
  return families.find((family) => family.name === name)?.series ?? [];
}

function versionOf({ model = '', version = '' }: Series['labels']): VersionId {
  return { model, version };
}

function labelsOf({ model, version }: VersionId): Record<string, string> {
  return { model, version };
}
