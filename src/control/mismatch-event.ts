/**
 * PART OF THE ROOT: an experiment whose arms do not have the sizes that were promised, as an event.
 *
 * Must not know who is told.
 */
import type { TriggerType } from '../core/trigger.js';
import type { ExperimentAnswer } from './experiments.js';

export function mismatchEvent(
  answer: ExperimentAnswer,
): [type: TriggerType, subject: string, data: Readonly<Record<string, unknown>>] {
  const { model, experiment, phase, since, srm, exposure } = answer;
  const dedup_key = `srm:${experiment}:${phase}`;
  return ['io.sluice.experiment.srm', model, { model, experiment, phase, since, srm, exposure, dedup_key }];
}
