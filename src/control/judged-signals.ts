/**
 * PART OF THE ROOT: what a judged window, of inputs or of labels, says for a retraining policy.
 *
 * Must not know policies.
 */
import type { VersionId } from '../core/model.js';
import type { RetrainSignals } from '../core/trigger.js';

export interface JudgedSignals extends VersionId {
  readonly signals: RetrainSignals;
  /** What whoever trains needs to know: which rows, against what, and the numbers. */
  readonly facts: Readonly<Record<string, unknown>>;
}
