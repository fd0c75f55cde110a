/**
 * PART OF THE ROOT: retraining policies as configured, and their state as it is kept in the store.
 *
 * Must not know when a policy fires.
 */
import { z } from 'zod';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { RetrainCondition } from '../core/trigger.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';
import { parseCron } from '../triggers/cron.js';
import type { RetrainPolicy } from '../triggers/policy.js';
import type { RetrainStates } from '../triggers/retraining.js';

const hourMs = 3_600_000;

const states: z.ZodType<RetrainStates> = z.record(
  z.string(),
  z.object({
    held: z.record(z.string(), z.number()),
    firedMs: z.array(z.number()),
    cronSeenMs: z.number(),
    open: z
      .object({ id: z.string(), openedMs: z.number(), reasons: z.array(z.string()), firings: z.number() })
      .nullable(),
  }),
);

export function openRetrainStates(state: StateFolder): Promise<StateDocument<RetrainStates>> {
  return StateDocument.open<RetrainStates>(state, 'retraining', states, {});
}

/** @throws INVALID_ARGUMENT for a cron that is none */
export function policiesOf(configured: Config['triggers']['retrain']): Readonly<Record<string, RetrainPolicy>> {
  const policies = Object.entries(configured).map(([model, given]): [string, RetrainPolicy] => {
    try {
      checkCrons(given.when);
    } catch (error) {
      const { code, message } = GatewayError.from(error);
      throw new GatewayError(code, `triggers.retrain.${model}.when: ${message}`);
    }
    const { name, when, for_windows, cooldown_h, max_per_week, dry_run } = given;
    const cooldownMs = cooldown_h * hourMs;
    return [model, { name, when, forWindows: for_windows, cooldownMs, perWeekMax: max_per_week, isDryRun: dry_run }];
  });
  return Object.fromEntries(policies);
}

function checkCrons(condition: RetrainCondition): void {
  if ('any' in condition) condition.any.forEach(checkCrons);
  else if ('all' in condition) condition.all.forEach(checkCrons);
  else if ('cron' in condition) parseCron(condition.cron);
}
