/**
 * PART OF THE ROOT: triggers as the control port tells them.
 *
 * Must not know how an answer is sent.
 */
import type { TriggerType } from '../core/trigger.js';
import type { ShownDelivery } from '../triggers/outbox.js';
import type { RetrainPolicy } from '../triggers/policy.js';
import type { RetrainStates } from '../triggers/retraining.js';

export interface TriggersDocument {
  readonly endpoints: readonly {
    readonly name: string;
    readonly host: string;
    /** Empty = all. */
    readonly types: readonly TriggerType[];
    readonly format: string;
    readonly pending: number;
    /** It has said that it wants no more. */
    readonly is_disabled: boolean;
  }[];
  readonly pending: readonly ShownDelivery[];
  readonly dead: readonly ShownDelivery[];
  readonly retraining: readonly {
    readonly model: string;
    /** Null = asked for by hand. */
    readonly policy: string | null;
    readonly dry_run: boolean;
    readonly open: { readonly trigger_id: string; readonly opened: string; readonly reasons: readonly string[] } | null;
    readonly fired_this_week: number;
  }[];
}

const shownMax = 1000;
const weekMs = 7 * 86_400_000;

/** The newest of a long list. */
export function newest<Item>(items: readonly Item[]): readonly Item[] {
  return items.slice(-shownMax);
}

export function retrainingOf(
  states: RetrainStates,
  policies: Readonly<Record<string, RetrainPolicy>>,
  nowMs: number,
): TriggersDocument['retraining'] {
  return Object.entries(states).map(([model, { open, firedMs }]) => {
    const policy = Object.hasOwn(policies, model) ? policies[model] : undefined;
    return {
      model,
      policy: policy?.name ?? null,
      dry_run: policy?.isDryRun ?? false,
      open:
        open === null
          ? null
          : { trigger_id: open.id, opened: new Date(open.openedMs).toISOString(), reasons: open.reasons },
      fired_this_week: firedMs.filter((atMs) => nowMs - atMs < weekMs).length,
    };
  });
}
