/**
 * Everything that an audit entry can be about: a closed list, so that a reader of the log knows all there is to look for.
 *
 * An operator's act and its effect are two entries: `rollback` says who asked and why, `version.published` what answers from
 * then on. After each `started`, every version that answers has a `version.published` of its own; the history relies on it.
 *
 * Must not know who does what.
 */

export const auditActions = [
  // The process and the log itself.
  'started',
  'stopped',
  'audit.cut',
  // Configuration.
  'config.applied',
  'config.refused',
  'settings.changed',
  // What becomes of a version.
  'version.admitted',
  'version.refused',
  'version.published',
  'version.unloaded',
  'version.quarantined',
  'version.unquarantined',
  'version.held',
  'version.released',
  // What an operator asks for.
  'load',
  'unload',
  'promote',
  'rollback',
  'pin',
  'unpin',
  'gc',
  'source.polled',
  'serial.forced',
  'request.replayed',
  // Names and routes.
  'alias.set',
  'alias.removed',
  'route.changed',
  'stage.changed',
  // Governance.
  'approval.given',
  'approval.used',
  'approval.voided',
  'break_glass',
  'key.added',
  'key.removed',
  'role.changed',
  'security',
  // Experiments, canaries and what is watched.
  'experiment.started',
  'experiment.changed',
  'experiment.stopped',
  'canary.started',
  'canary.advanced',
  'canary.held',
  'canary.resumed',
  'canary.rolled_back',
  'canary.promoted',
  'threshold.changed',
  'trigger.fired',
  'trigger.closed',
  'trigger.tested',
  'trigger.replayed',
  'erasure',
] as const;

export type AuditAction = (typeof auditActions)[number];

/** The detail of `version.published`: from this entry on, `version` answers requests to `model` that name none. */
export type PublishedDetail = {
  readonly model: string;
  readonly version: string;
  /** What answered until now; null = nothing did. */
  readonly previous: string | null;
  readonly source: string;
  /** Of the source, immutable. */
  readonly revision: string;
  readonly artifact_sha256: string;
  /** `configHash` of the model's effective configuration. */
  readonly config_hash: string;
  /** Of the route table that says so. */
  readonly generation: number;
  readonly reason: string;
};
