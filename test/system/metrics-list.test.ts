/** The metrics that monitoring is built on, by name, kind and labels: what others rely on does not go unnoticed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { liveThrough, startEverything } from './everything.js';
import { eventually } from './versions-fixture.js';

type Kind = 'counter' | 'gauge' | 'histogram';

const promised: readonly (readonly [name: string, kind: Kind, labels: string])[] = [
  ['sluice_requests_total', 'counter', 'model version variant protocol code'],
  ['sluice_request_duration_seconds', 'histogram', 'model version variant protocol'],
  ['sluice_queue_duration_seconds', 'histogram', 'model version'],
  ['sluice_inference_duration_seconds', 'histogram', 'model version'],
  ['sluice_batch_size', 'histogram', 'model version'],
  ['sluice_batch_fill_ratio', 'histogram', 'model version'],
  ['sluice_queue_depth', 'gauge', 'model version'],
  ['sluice_inflight', 'gauge', 'model version'],
  ['sluice_rejected_total', 'counter', 'model reason'],
  ['sluice_workers', 'gauge', 'state'],
  ['sluice_worker_restarts_total', 'counter', 'reason'],
  ['sluice_process_restarts_total', 'counter', 'reason'],
  ['sluice_processes', 'gauge', 'state'],
  ['sluice_event_loop_lag_seconds', 'histogram', 'thread'],
  ['sluice_connections', 'gauge', 'protocol'],
  ['sluice_buffered_bytes', 'gauge', 'protocol direction'],
  ['sluice_drain_seconds', 'histogram', 'what'],
  ['sluice_build_info', 'gauge', 'version http_engine onnxruntime'],
  ['sluice_model_info', 'gauge', 'model version digest source'],
  ['sluice_model_state', 'gauge', 'model version state'],
  ['sluice_model_load_duration_seconds', 'histogram', 'model'],
  ['sluice_model_load_failures_total', 'counter', 'reason'],
  ['sluice_model_memory_bytes', 'gauge', 'model version'],
  ['sluice_swaps_total', 'counter', 'result'],
  ['sluice_swap_duration_seconds', 'histogram', ''],
  ['sluice_rollbacks_total', 'counter', 'reason'],
  ['sluice_prediction_log_events_total', 'counter', 'sink result'],
  ['sluice_prediction_log_dropped_total', 'counter', 'sink reason'],
  ['sluice_prediction_log_bytes_total', 'counter', ''],
  ['sluice_prediction_log_damaged_total', 'counter', 'reason'],
  ['sluice_labels_damaged_total', 'counter', 'file'],
  ['sluice_shadow_requests_total', 'counter', 'model shadow result'],
  ['sluice_shadow_disagreement_ratio', 'gauge', 'model shadow'],
  ['sluice_drift_score', 'gauge', 'model version feature stat'],
  ['sluice_drift_state', 'gauge', 'model version family'],
  ['sluice_drift_samples', 'gauge', 'model version'],
  ['sluice_data_quality_ratio', 'gauge', 'model version feature check'],
  ['sluice_quality', 'gauge', 'model version metric'],
  ['sluice_label_coverage_ratio', 'gauge', 'model version'],
  ['sluice_label_lag_seconds', 'gauge', 'model version percentile'],
  ['sluice_cache_requests_total', 'counter', 'model result'],
  ['sluice_changes_total', 'counter', 'kind'],
  ['sluice_metrics_series', 'gauge', 'family'],
  ['sluice_route_decisions_total', 'counter', 'model reason'],
  ['sluice_assignments_total', 'counter', 'route variant reason'],
  ['sluice_experiment_keys', 'gauge', 'experiment variant'],
  ['sluice_experiment_srm_p', 'gauge', 'experiment'],
  ['sluice_experiment_p', 'gauge', 'experiment variant metric'],
  ['sluice_canary_step', 'gauge', 'model'],
  ['sluice_outbox_pending', 'gauge', 'endpoint'],
  ['sluice_webhook_deliveries_total', 'counter', 'result'],
  ['sluice_registry_last_success_timestamp_seconds', 'gauge', 'source'],
  ['sluice_registry_degraded', 'gauge', ''],
  ['sluice_registry_polls_total', 'counter', 'source result'],
  ['sluice_pull_bytes_total', 'counter', 'source'],
  ['sluice_pull_duration_seconds', 'histogram', 'source'],
  ['sluice_pull_failures_total', 'counter', 'source reason'],
  ['sluice_security_events_total', 'counter', 'kind'],
  ['sluice_auth_failures_total', 'counter', 'reason'],
  ['sluice_admission_total', 'counter', 'verdict'],
  ['sluice_admission_duration_seconds', 'histogram', ''],
  ['sluice_quarantined_versions', 'gauge', ''],
  ['sluice_store_bytes', 'gauge', ''],
  ['sluice_audit_head_seq', 'gauge', ''],
];

interface Shown {
  readonly kind: string;
  readonly labels: ReadonlySet<string>;
}

function shownIn(text: string): Map<string, Shown> {
  const shown = new Map<string, { kind: string; labels: Set<string> }>();
  for (const line of text.split('\n')) {
    const [, name = '', kind = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== '') shown.set(name, { kind, labels: new Set() });
    if (line.startsWith('#')) continue;
    const [sample = ''] = line.split(/[{ ]/);
    const one = shown.get(sample) ?? shown.get(sample.replace(/_(bucket|sum|count)$/, ''));
    for (const [, label] of line.matchAll(/[{,](\w+)="/g)) if (label !== 'le') one?.labels.add(label!);
  }
  return shown;
}

test('every metric of the list is there, of its kind and with its labels, once everything has happened', {
  timeout: 180_000,
}, async (context) => {
  const everything = await startEverything(context);
  await liveThrough(everything);
  await eventually(async () => {
    const shown = shownIn(await (await fetch(`${everything.server.admin}/metrics`)).text());
    const found = promised.map(([name]) => {
      const one = shown.get(name);
      return [name, one?.kind ?? 'missing', [...(one?.labels ?? [])].sort().join(' ')];
    });
    assert.deepEqual(
      found,
      promised.map(([name, kind, labels]) => [name, kind, labels.split(' ').sort().join(' ')]),
    );
    const threads = (await (await fetch(`${everything.server.admin}/metrics`)).text()).matchAll(
      /^sluice_event_loop_lag_seconds_count\{thread="(\w+)"/gm,
    );
    assert.deepEqual(Array.from(threads, ([, thread]) => thread).sort(), ['main', 'observer']);
  }, 60_000);
});
