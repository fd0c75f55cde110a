/**
 * A canary's next step: a pure function from where it stands and what was seen to what happens.
 *
 *   circuit ─▶ rollback · sample ratio ─▶ hold · guardrail fails ─▶ rollback · too little yet ─▶ none
 *   all pass ─▶ advance or promote · out of time ─▶ hold for a person
 *
 * Only differences that the always-valid interval proves roll back, so noise does not, however often one looks. A canary that
 * is held keeps its circuit and its guardrails: it may still go back by itself, never forward.
 *
 * Must not know how weights are set, who is told, or where the counts come from.
 */
import { type BreachRule, breachOf, noTraffic, type Traffic } from './breach.js';
import { type CanaryState, freshPhase, percentOf } from './canary-state.js';
import { type GuardrailNumbers, judgeGuardrails } from './guardrails.js';
import type { Moments } from './moments.js';
import type { CanaryPolicy } from './policy.js';
import { predictionDrift, usedBins } from './prediction-drift.js';
import { isRatioMismatch, type RatioLook, sampleRatio } from './srm.js';

/** What was seen of one arm. */
export interface CanaryArm {
  /** Distinct keys assigned in this phase. */
  readonly keys: number;
  /** Since the last evaluation. */
  readonly interval: Traffic;
  /** Of this phase, by name. */
  readonly metrics: Readonly<Record<string, Moments>>;
  /** Of this phase, by bin of the output; empty where they are not counted. */
  readonly predictions: readonly number[];
}

export interface CanaryEvidence {
  readonly champion: CanaryArm;
  readonly candidate: CanaryArm;
  /** Set when the supervisor blames the candidate for the end of a process in this phase. */
  readonly blamed: 'crashed' | 'hung' | null;
}

export type CanaryAction = 'none' | 'advance' | 'hold' | 'rollback' | 'promote';

/** Plain values for the audit log and the admin API. */
export interface CanaryNumbers {
  readonly step: number;
  readonly percent: number;
  readonly phase: number;
  readonly elapsed_s: number;
  readonly champion_keys: number;
  readonly candidate_keys: number;
  readonly circuit: ReturnType<typeof breachOf>['numbers'];
  readonly breaches: number;
  readonly srm: { readonly chi2: number | null; readonly df: number; readonly p: number; readonly p_seq: number };
  readonly guardrails: readonly GuardrailNumbers[];
}

export interface CanaryDecision {
  readonly state: CanaryState;
  readonly action: CanaryAction;
  /** Sentences that name metric, got and allowed. */
  readonly reasons: readonly string[];
  readonly numbers: CanaryNumbers;
}

const breachesMax = 2;

function circuitRule({ p99HardMs }: CanaryPolicy): BreachRule {
  return { requestsMin: 50, faultShareMin: 0.05, faultRatioMin: 3, faultChanceMax: 0.05, p99RatioMax: 2, p99HardMs };
}

/** @param nowMs of the clock of `stepStartedAtMs`; call it once an interval of the policy */
export function evaluate(
  state: CanaryState,
  evidence: CanaryEvidence,
  nowMs: number,
  policy: CanaryPolicy,
): CanaryDecision {
  const percent = percentOf(state, policy);
  const { champion, candidate } = evidence;
  const reference = percent < 100 ? champion.interval : (state.baseline?.traffic ?? noTraffic);
  const breach = breachOf(candidate.interval, reference, circuitRule(policy));
  const ratio = sampleRatio(
    [
      { weight: 100 - percent, keys: champion.keys },
      { weight: percent, keys: candidate.keys },
    ],
    state.ratioP,
  );
  const compared: Pick<CanaryArm, 'metrics' | 'predictions'> =
    percent < 100 ? champion : (state.baseline ?? { metrics: {}, predictions: [] });
  const judged = judgeGuardrails({
    guardrails: policy.guardrails,
    alpha: policy.alpha,
    champion: compared.metrics,
    candidate: candidate.metrics,
    drift: predictionDrift(...usedBins(compared.predictions, candidate.predictions)),
    before: state.metricP,
  });
  const breaches = breach.isTooFew ? state.breaches : breach.reasons.length === 0 ? 0 : state.breaches + 1;
  const looked: CanaryState = {
    ...state,
    breaches,
    ratioP: ratio.pSequential,
    metricP: Object.fromEntries(judged.map(({ metric, p_always_valid }) => [metric, p_always_valid])),
  };
  const numbers: CanaryNumbers = {
    step: state.step,
    percent,
    phase: state.phase,
    elapsed_s: (nowMs - state.stepStartedAtMs) / 1000,
    champion_keys: champion.keys,
    candidate_keys: candidate.keys,
    circuit: breach.numbers,
    breaches,
    srm: { chi2: ratio.chi2, df: ratio.df, p: ratio.p, p_seq: ratio.pSequential },
    guardrails: judged,
  };
  const { action, reasons } = decide({ state: looked, evidence, policy, ratio, breach: breach.reasons, numbers });
  return { state: followed(looked, action, reasons, { evidence, nowMs, percent }), action, reasons, numbers };
}

interface Seen {
  readonly state: CanaryState;
  readonly evidence: CanaryEvidence;
  readonly policy: CanaryPolicy;
  readonly ratio: RatioLook;
  readonly breach: readonly string[];
  readonly numbers: CanaryNumbers;
}

interface Choice {
  readonly action: CanaryAction;
  readonly reasons: readonly string[];
}

function decide({ state, evidence, policy, ratio, breach, numbers }: Seen): Choice {
  if (state.status === 'promoted' || state.status === 'rolled_back') return { action: 'none', reasons: [] };
  const { blamed } = evidence;
  if (blamed !== null) return { action: 'rollback', reasons: [`the candidate ${blamed} a process`] };
  if (state.breaches >= breachesMax && breach.length > 0) {
    return { action: 'rollback', reasons: breach.map((reason) => breachText(reason, numbers)) };
  }
  const isHeld = state.status === 'held';
  const hold = (reason: string): Choice =>
    isHeld ? { action: 'none', reasons: [state.reason] } : { action: 'hold', reasons: [reason] };
  if (isRatioMismatch(ratio)) return hold(ratioText(numbers));
  const failed = numbers.guardrails.filter(({ verdict }) => verdict === 'fail');
  if (failed.length > 0) return { action: 'rollback', reasons: failed.map(failureText) };
  if (isHeld) return { action: 'none', reasons: [state.reason] };
  const missing = missingOf(numbers, evidence, policy);
  const open = numbers.guardrails.filter(({ verdict }) => verdict === 'continue').map(({ metric }) => metric);
  if (missing.length === 0 && open.length === 0) {
    return {
      action: state.step + 1 < policy.steps.length ? 'advance' : 'promote',
      reasons: ['every guardrail passed'],
    };
  }
  const waiting = missing.length > 0 ? missing : [`not decided yet: ${open.join(', ')}`];
  if (numbers.elapsed_s < policy.maxDurationS) return { action: 'none', reasons: waiting };
  return hold(`undecided after ${policy.maxDurationS} s: ${waiting.join('; ')}`);
}

function breachText(reason: string, { circuit }: CanaryNumbers): string {
  if (reason === 'errors') {
    const against = `the champion ${circuit.reference_faults} of ${circuit.reference_requests}`;
    return `errors: the candidate failed ${circuit.faults} of ${circuit.requests} requests, ${against}`;
  }
  return `p99: above ${circuit.p99_limit_ms} ms, the champion at ${circuit.reference_p99_ms ?? 'no'} ms`;
}

function ratioText({ champion_keys, candidate_keys, percent, srm }: CanaryNumbers): string {
  const got = `${champion_keys} keys to ${candidate_keys}`;
  return `sample ratio mismatch: expected ${100 - percent} to ${percent}, got ${got} (p ${srm.p_seq.toPrecision(3)})`;
}

function failureText({ metric, margin, difference, low, high }: GuardrailNumbers): string {
  const interval = low === null || high === null ? '' : ` (${low.toPrecision(3)} to ${high.toPrecision(3)})`;
  return `${metric}: ${difference?.toPrecision(3)}${interval}, allowed ${margin}`;
}

/** What the policy asks for before anything may advance. */
function missingOf(numbers: CanaryNumbers, evidence: CanaryEvidence, policy: CanaryPolicy): string[] {
  const { champion, candidate } = evidence;
  const missing: string[] = [];
  const least = (what: string, got: number, min: number) => {
    if (got < min) missing.push(`${what}: ${got} of ${min}`);
  };
  least('seconds', Math.floor(numbers.elapsed_s), policy.minDurationS);
  // At 100 % the champion has no keys; its numbers are those of the step before.
  if (numbers.percent < 100) {
    least('champion keys', champion.keys, policy.minKeysPerArm);
    least('champion requests', requestsOf(champion), policy.minSamples);
  }
  least('candidate keys', candidate.keys, policy.minKeysPerArm);
  least('candidate requests', requestsOf(candidate), policy.minSamples);
  for (const { metric, needs_labels, champion_observations, candidate_observations } of numbers.guardrails) {
    if (!needs_labels) continue;
    least(`champion labels of ${metric}`, champion_observations, policy.minLabelsPerArm);
    least(`candidate labels of ${metric}`, candidate_observations, policy.minLabelsPerArm);
  }
  return missing;
}

function requestsOf({ metrics }: CanaryArm): number {
  return metrics.error_rate?.observations ?? 0;
}

interface Ending {
  readonly evidence: CanaryEvidence;
  readonly nowMs: number;
  readonly percent: number;
}

function followed(state: CanaryState, action: CanaryAction, reasons: readonly string[], ending: Ending): CanaryState {
  const reason = reasons.join('; ').slice(0, 1000);
  if (action === 'none') return state;
  if (action === 'hold') return { ...state, status: 'held', reason };
  if (action === 'rollback') return { ...state, status: 'rolled_back', reason };
  if (action === 'promote') return { ...state, status: 'promoted', reason };
  return nextStep(state, ending);
}

function nextStep(state: CanaryState, { evidence, nowMs, percent }: Ending): CanaryState {
  const { metrics, interval, predictions } = evidence.champion;
  const { latency, requests, faults } = interval;
  const traffic = {
    requests,
    faults,
    latency: { boundsMs: [...latency.boundsMs], counts: [...latency.counts] },
  };
  const baseline = percent < 100 ? { metrics: { ...metrics }, traffic, predictions: [...predictions] } : state.baseline;
  return {
    ...state,
    ...freshPhase(state.phase + 1, nowMs),
    status: 'running',
    reason: '',
    step: state.step + 1,
    baseline,
  };
}

/** A person takes it one step on, whatever the guardrails say; after the last step it is promoted. */
export function advancedByHand(
  state: CanaryState,
  evidence: CanaryEvidence,
  nowMs: number,
  policy: CanaryPolicy,
): CanaryState {
  if (state.status !== 'running' && state.status !== 'held') return state;
  if (state.step + 1 >= policy.steps.length) return { ...state, status: 'promoted', reason: 'by hand' };
  return nextStep(state, { evidence, nowMs, percent: percentOf(state, policy) });
}

/** A person takes it back. */
export function rolledBack(state: CanaryState, reason: string): CanaryState {
  return state.status === 'promoted' ? state : { ...state, status: 'rolled_back', reason };
}
