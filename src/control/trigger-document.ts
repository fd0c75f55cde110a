/**
 * PART OF THE ROOT: triggers as the control port tells them, as a document and as metric families.
 *
 * Must not know how an answer is sent.
 */
import type { Config } from '../config/schema.js';
import { ownOf } from '../core/own.js';
import type { Family } from '../core/series.js';
import type { TriggerType } from '../core/trigger.js';
import type { Outbox, ShownDelivery } from '../triggers/outbox.js';
import type { RetrainPolicy } from '../triggers/policy.js';
import type { RetrainStates } from '../triggers/retraining.js';
import { gauge } from './counts.js';

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

export interface TriggerParts {
  readonly endpoints: Config['triggers']['endpoints'];
  readonly outbox: Outbox;
  readonly states: RetrainStates;
  readonly policies: Readonly<Record<string, RetrainPolicy>>;
  readonly nowMs: number;
}

/** Of long lists the newest. */
export function triggersDocument({ endpoints, outbox, states, policies, nowMs }: TriggerParts): TriggersDocument {
  const { pending, dead, disabled } = outbox.shown();
  const waiting = outbox.pending();
  return {
    endpoints: Object.entries(endpoints).map(([name, { url, types, format }]) => ({
      name,
      host: new URL(url).host,
      types,
      format,
      pending: waiting.get(name) ?? 0,
      is_disabled: disabled.includes(name),
    })),
    pending: pending.slice(-shownMax),
    dead: dead.slice(-shownMax),
    retraining: retrainingOf(states, policies, nowMs),
  };
}

export function triggerFamilies(outbox: Outbox): Family[] {
  const pending = [...outbox.pending()].map(([endpoint, value]) => ({ labels: { endpoint }, value }));
  const dead = [{ labels: {}, value: outbox.shown().dead.length }];
  return [
    gauge('sluice_outbox_pending', 'Events that wait to be delivered, by endpoint.', pending),
    gauge('sluice_outbox_dead_letters', 'Events that could not be delivered and wait for an operator.', dead),
  ];
}

function retrainingOf(
  states: RetrainStates,
  policies: Readonly<Record<string, RetrainPolicy>>,
  nowMs: number,
): TriggersDocument['retraining'] {
  return Object.entries(states).map(([model, { open, firedMs }]) => {
    const policy = ownOf(policies, model);
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
