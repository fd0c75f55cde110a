/**
 * Whether a model is to be trained again: a pure decision on signals, by a policy, with its state in and out.
 *
 *   signals ─▶ each sign: how many windows has it held? ─▶ any / all ─▶ open already? cooldown? enough this week? ─▶ fire
 *
 * A sign counts when it has held for `forWindows` windows beyond the one in which it began. A time of a cron sign counts once,
 * also when nobody was there at that time. While a request is open, a sign that is new to it is added to it.
 *
 * Must not know where signals come from, or what a request sets going.
 */
import { comparison, type RetrainCondition, type RetrainSign, type RetrainSignals } from '../core/trigger.js';
import { nextCronMs, parseCron } from './cron.js';

export interface RetrainPolicy {
  readonly name: string;
  readonly when: RetrainCondition;
  readonly forWindows: number;
  readonly cooldownMs: number;
  readonly perWeekMax: number;
  /** Decides and says so, and nothing else. */
  readonly isDryRun: boolean;
}

/** A request that has not led to a version yet. */
export interface OpenRequest {
  /** The trigger id that a version names in its lineage. */
  readonly id: string;
  readonly openedMs: number;
  readonly reasons: readonly string[];
  /** How often the policy has fired into it. */
  readonly firings: number;
}

export interface RetrainState {
  /** In how many windows each sign has held, up to now. */
  readonly held: Readonly<Record<string, number>>;
  /** Requests of the last week. */
  readonly firedMs: readonly number[];
  /** Up to when times of cron signs have been seen to. */
  readonly cronSeenMs: number;
  readonly open: OpenRequest | null;
}

export interface RetrainLook {
  readonly nowMs: number;
  /** Of a new request, should there be one. */
  readonly id: string;
  readonly signals: RetrainSignals;
}

export interface RetrainDecision {
  /** added = into the open request; held = it would have fired, but for the cooldown or the week. */
  readonly act: 'none' | 'fired' | 'added' | 'held';
  readonly reasons: readonly string[];
  readonly next: RetrainState;
}

const weekMs = 7 * 86_400_000;
/** An open request that nobody answers is closed after 14 days. */
const openMsMax = 14 * 86_400_000;

export function freshRetrain(nowMs: number): RetrainState {
  return { held: {}, firedMs: [], cronSeenMs: nowMs, open: null };
}

export function isExpired({ open }: RetrainState, nowMs: number): boolean {
  return open !== null && nowMs - open.openedMs >= openMsMax;
}

export function decideRetrain(policy: RetrainPolicy, look: RetrainLook, before: RetrainState): RetrainDecision {
  const { nowMs, signals, id } = look;
  const held = heldAfter(policy.when, signals, before.held);
  const counts = (sign: RetrainSign): boolean =>
    'cron' in sign ? isCronDue(sign.cron, before.cronSeenMs, nowMs) : (held[textOf(sign)] ?? 0) > policy.forWindows;
  const { holds, reasons } = judge(policy.when, counts);
  const cronSeenMs = signsOf(policy.when).some((sign) => 'cron' in sign && counts(sign)) ? nowMs : before.cronSeenMs;
  const firedMs = before.firedMs.filter((atMs) => nowMs - atMs < weekMs);
  const next = { ...before, held, firedMs, cronSeenMs };
  if (!holds) return { act: 'none', reasons: [], next };
  const { open } = before;
  if (open !== null) return added(open, reasons, next);
  const lastMs = firedMs.at(-1);
  const isCooling = lastMs !== undefined && nowMs - lastMs < policy.cooldownMs;
  if (isCooling || firedMs.length >= policy.perWeekMax) return { act: 'held', reasons, next };
  const request = policy.isDryRun ? null : { id, openedMs: nowMs, reasons, firings: 1 };
  return { act: 'fired', reasons, next: { ...next, firedMs: [...firedMs, nowMs], open: request } };
}

function added(open: OpenRequest, reasons: readonly string[], next: RetrainState): RetrainDecision {
  const fresh = reasons.filter((reason) => !open.reasons.includes(reason));
  if (fresh.length === 0) return { act: 'none', reasons: [], next };
  const request = { ...open, reasons: [...open.reasons, ...fresh], firings: open.firings + 1 };
  return { act: 'added', reasons: fresh, next: { ...next, open: request } };
}

/** The first time of any cron sign after what has been seen to. */
export function nextLookMs(policy: RetrainPolicy, { cronSeenMs }: RetrainState): number | undefined {
  const times = signsOf(policy.when).flatMap((sign) =>
    'cron' in sign ? (nextCronMs(parseCron(sign.cron), cronSeenMs) ?? []) : [],
  );
  return times.length === 0 ? undefined : Math.min(...times);
}

function isCronDue(cron: string, seenMs: number, nowMs: number): boolean {
  const atMs = nextCronMs(parseCron(cron), seenMs);
  return atMs !== undefined && atMs <= nowMs;
}

/** A sign that was not looked at stands as it stood. */
function heldAfter(
  condition: RetrainCondition,
  signals: RetrainSignals,
  before: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const held: Record<string, number> = {};
  for (const sign of signsOf(condition)) {
    const name = textOf(sign);
    const isThere = stands(sign, signals);
    const windows = before[name] ?? 0;
    if (isThere === undefined) held[name] = windows;
    else held[name] = isThere ? windows + 1 : 0;
  }
  return held;
}

/** @returns undefined when it was not looked at */
function stands(sign: RetrainSign, signals: RetrainSignals): boolean | undefined {
  if ('drift_share' in sign) return compares(signals.driftShare, sign.drift_share);
  if ('labels_since_training' in sign) return compares(signals.labelsSinceTraining, sign.labels_since_training);
  if ('quality' in sign) return signals.quality === undefined ? undefined : signals.quality === sign.quality;
  if ('cbpe' in sign) return signals.cbpe === undefined ? undefined : signals.cbpe === sign.cbpe;
  return undefined;
}

function compares(value: number | undefined, text: string): boolean | undefined {
  const [, operator, bound] = comparison.exec(text) ?? [];
  if (value === undefined || operator === undefined) return undefined;
  const limit = Number(bound);
  switch (operator) {
    case '>=':
      return value >= limit;
    case '<=':
      return value <= limit;
    case '>':
      return value > limit;
    default:
      return value < limit;
  }
}

function judge(
  condition: RetrainCondition,
  counts: (sign: RetrainSign) => boolean,
): { readonly holds: boolean; readonly reasons: readonly string[] } {
  if ('any' in condition || 'all' in condition) {
    const parts = ('any' in condition ? condition.any : condition.all).map((part) => judge(part, counts));
    const holds = 'any' in condition ? parts.some((part) => part.holds) : parts.every((part) => part.holds);
    return { holds, reasons: holds ? [...new Set(parts.flatMap((part) => part.reasons))] : [] };
  }
  const holds = counts(condition);
  return { holds, reasons: holds ? [textOf(condition)] : [] };
}

function signsOf(condition: RetrainCondition): readonly RetrainSign[] {
  if ('any' in condition) return condition.any.flatMap(signsOf);
  return 'all' in condition ? condition.all.flatMap(signsOf) : [condition];
}

/** `drift_share >=0.3`. */
function textOf(sign: RetrainSign): string {
  const [[name, value]] = Object.entries(sign) as [[string, string]];
  return `${name} ${value}`;
}
