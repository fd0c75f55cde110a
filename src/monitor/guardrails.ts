/**
 * What must not get worse, judged metric by metric: the candidate against the champion, within a margin.
 *
 * Must not know what follows from a verdict.
 */
import { alwaysValid, type GuardrailVerdict, guardrailVerdict, oriented, withDoubt } from './always-valid.js';
import { type Moments, noMoments } from './moments.js';
import { type Guardrail, metricFacts } from './policy.js';
import { driftVerdict, type PredictionDrift } from './prediction-drift.js';

/** Plain values for the audit log and the admin API. Null = not defined. */
export interface GuardrailNumbers {
  readonly metric: string;
  readonly margin: number;
  readonly verdict: GuardrailVerdict;
  readonly champion: number | null;
  readonly candidate: number | null;
  readonly champion_n: number;
  readonly candidate_n: number;
  readonly champion_observations: number;
  readonly candidate_observations: number;
  /** Positive is better, of the interval, too. */
  readonly difference: number | null;
  readonly low: number | null;
  readonly high: number | null;
  /** The smallest of all looks at this phase. */
  readonly p_always_valid: number;
  readonly needs_labels: boolean;
}

export interface GuardrailLook {
  readonly guardrails: readonly Guardrail[];
  readonly alpha: number;
  readonly champion: Readonly<Record<string, Moments>>;
  readonly candidate: Readonly<Record<string, Moments>>;
  readonly drift: PredictionDrift | null;
  /** The smallest p so far, by metric. */
  readonly before: Readonly<Record<string, number>>;
}

/** The interval rests on sums being nearly normal; of fewer units it says nothing. Chosen, as that of the circuit. */
const unitsMin = 50;

export function judgeGuardrails(look: GuardrailLook): GuardrailNumbers[] {
  return look.guardrails.map((guardrail) =>
    guardrail.metric === 'prediction_drift' ? ofDrift(guardrail, look.drift) : ofMetric(guardrail, look),
  );
}

function ofMetric(guardrail: Guardrail, { alpha, champion, candidate, before }: GuardrailLook): GuardrailNumbers {
  const { metric, margin } = guardrail;
  const { better, isShare, needsLabels } = metricFacts(guardrail);
  const [a, b] = [champion[metric] ?? noMoments, candidate[metric] ?? noMoments];
  const look = alwaysValid(isShare ? withDoubt(a) : a, isShare ? withDoubt(b) : b, alpha);
  const interval = look.interval === null ? null : oriented(look.interval, better);
  const isKnown = a.n > 0 && b.n > 0;
  return {
    metric,
    margin,
    verdict: Math.min(a.n, b.n) < unitsMin ? 'continue' : guardrailVerdict(interval, margin),
    champion: a.n > 0 ? a.mean : null,
    candidate: b.n > 0 ? b.mean : null,
    champion_n: a.n,
    candidate_n: b.n,
    champion_observations: a.observations,
    candidate_observations: b.observations,
    difference: isKnown ? (better === 'higher' ? look.difference : -look.difference) : null,
    low: interval?.low ?? null,
    high: interval?.high ?? null,
    p_always_valid: Math.min(before[metric] ?? 1, look.p),
    needs_labels: needsLabels,
  };
}

/** Its difference is the corrected index with its sign turned; it has no interval and no margin of its own. */
function ofDrift({ metric, margin }: Guardrail, drift: PredictionDrift | null): GuardrailNumbers {
  return {
    metric,
    margin,
    verdict: driftVerdict(drift),
    champion: null,
    candidate: null,
    champion_n: drift?.championN ?? 0,
    candidate_n: drift?.candidateN ?? 0,
    champion_observations: drift?.championN ?? 0,
    candidate_observations: drift?.candidateN ?? 0,
    difference: drift === null ? null : -drift.psiCorrected,
    low: null,
    high: null,
    p_always_valid: 1,
    needs_labels: false,
  };
}
