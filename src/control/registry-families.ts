/**
 * What the registry is like at this moment, as metric families: states of versions, sources, store, audit log.
 *
 * Must not know who asks.
 */
import type { Family } from '../core/series.js';
import { gauge } from './counts.js';
import type { RegistryRoom } from './registry-room.js';

export function registryFamilies({ registry, supply, store, audit, quarantine }: RegistryRoom): Family[] {
  const records = [...registry.records()];
  const health = supply.health();
  const seconds = health.flatMap(({ name, lastSuccessAt }) =>
    lastSuccessAt === undefined ? [] : [{ labels: { source: name }, value: lastSuccessAt / 1000 }],
  );
  const single = (value: number) => [{ labels: {}, value }];
  return [
    gauge(
      'sluice_model_state',
      '1 for the state that a version is in.',
      records.map(({ id, state }) => ({ labels: { ...id, state }, value: 1 })),
    ),
    gauge(
      'sluice_model_info',
      'Which bytes an open version is.',
      records.flatMap(({ id, spec, isOpen }) =>
        !isOpen || spec?.artifact === undefined
          ? []
          : [{ labels: { ...id, digest: spec.artifact.sha256, source: spec.artifact.source }, value: 1 }],
      ),
    ),
    gauge('sluice_registry_last_success_timestamp_seconds', 'When each source answered last.', seconds),
    gauge(
      'sluice_registry_degraded',
      '1 while a source does not answer.',
      single(health.every(({ isUp }) => isUp) ? 0 : 1),
    ),
    gauge('sluice_store_bytes', 'Size of all versions in the store.', single(store.bytes())),
    gauge(
      'sluice_quarantined_versions',
      'Versions that are not served because of what they did.',
      single(quarantine.list().length),
    ),
    gauge('sluice_audit_head_seq', 'Number of the newest entry of the audit log.', single(audit.head.seq)),
  ];
}
