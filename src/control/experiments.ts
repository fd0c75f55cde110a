/**
 * PART OF THE ROOT: read-outs of the experiments that routes are, and from which duration on a request of them is slow.
 *
 *   counts of the phase ─ look, once a minute and when asked ─▶ read-out, and the smallest p so far
 *
 * What a phase remembers is forgotten with its counts at a new phase, and kept with them over a restart: two samples have no
 * common minimum.
 *
 * Must not know who asks.
 */
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { Family } from '../core/series.js';
import { adviceOf } from '../monitor/advice.js';
import { type ExperimentReadOut, readOut } from '../monitor/experiment.js';
import type { ExperimentMemory, ExperimentMetric, ExperimentPlan } from '../monitor/experiment-plan.js';
import { quantileBoundMs } from '../monitor/latency.js';
import { metricFacts } from '../monitor/policy.js';
import { isMismatch } from '../monitor/srm.js';
import type { ArmsSeen, SeenPhase } from './arms-seen.js';
import { rulesOf } from './canary-run.js';
import { gauge } from './counts.js';
import { type EstimateOf, estimatedArm } from './estimated-arm.js';

export interface ExperimentAnswer extends ExperimentReadOut {
  readonly model: string;
  readonly control: string;
  /** When the counts of this phase begin. */
  readonly since: string;
  readonly alpha: number;
  readonly method: ExperimentPlan['method'];
  /** Above it a request counts as slow; null as long as nobody knows what is usual. */
  readonly slow_ms: number | null;
  readonly metrics: readonly { readonly metric: string; readonly better: string; readonly margin: number | null }[];
  readonly advice: string;
}

export interface ExperimentsOptions {
  readonly seen: ArmsSeen;
  readonly routes: () => Config['routes'];
  /** The arms of a phase do not have the sizes that were promised; said once for each phase. */
  readonly onMismatch: (answer: ExperimentAnswer) => void;
  /** How right a version probably is since then, without labels; undefined while nobody can tell. */
  readonly estimateOf: EstimateOf;
  /** What slow meant before a restart, by experiment. */
  readonly slowMs?: ReadonlyMap<string, number>;
}

/** Requests from which on a p95 is more than its slowest ten. */
const requestsMin = 200;

export class Experiments {
  readonly #options: ExperimentsOptions;
  /** By experiment and phase. */
  #memories = new Map<string, ExperimentMemory>();
  readonly #slowMs = new Map<string, number>();
  /** The same of experiments that were there before a restart and may come yet. */
  readonly #slowMsKept: Map<string, number>;

  constructor(options: ExperimentsOptions) {
    this.#options = options;
    this.#slowMsKept = new Map(options.slowMs);
  }

  slowMs(experiment: string): number | undefined {
    return this.#slowMs.get(experiment) ?? this.#slowMsKept.get(experiment);
  }

  /** What looks have found in a phase so far. */
  memoryOf({ experiment, memory }: SeenPhase): ExperimentMemory {
    return this.#memories.get(keyOf(experiment)) ?? memory;
  }

  /** The champion's p95 of a phase, rounded up to a bound, is what slow means from then on. @returns those found now */
  freeze(): { readonly model: string; readonly slowMs: number }[] {
    const found: { model: string; slowMs: number }[] = [];
    const living = new Set(Array.from(this.#options.seen.phases.values(), ({ experiment }) => experiment.name));
    for (const name of this.#slowMs.keys()) if (!living.has(name)) this.#slowMs.delete(name);
    for (const { model, experiment, counts } of this.#options.seen.phases.values()) {
      const known = this.slowMs(experiment.name);
      if (known !== undefined) {
        this.#slowMs.set(experiment.name, known);
        this.#slowMsKept.delete(experiment.name);
        continue;
      }
      const { requests, latency } = counts.trafficOf(experiment.champion);
      const bound = requests < requestsMin ? undefined : quantileBoundMs(latency, 0.95);
      if (bound === undefined || bound === Infinity) continue;
      this.#slowMs.set(experiment.name, bound);
      found.push({ model, slowMs: bound });
    }
    return found;
  }

  /** A look at every experiment. */
  lookAtAll(): ExperimentAnswer[] {
    return [...this.#options.seen.phases.values()].map((phase) => this.#look(phase));
  }

  /** @param name of the experiment, or of the model whose route it is; @throws NOT_FOUND */
  answer(name: string): ExperimentAnswer {
    const phases = [...this.#options.seen.phases.values()];
    const phase = phases.find(({ experiment }) => experiment.name === name) ?? this.#options.seen.phases.get(name);
    if (phase === undefined) {
      const names = phases.map(({ experiment }) => experiment.name).join(', ');
      const known = names === '' ? 'no route has variants' : `there are ${names}`;
      throw new GatewayError('NOT_FOUND', `there is no experiment '${name.slice(0, 128)}': ${known}`);
    }
    return this.#look(phase);
  }

  #look(seen: SeenPhase): ExperimentAnswer {
    const { model, experiment, counts, sinceMs } = seen;
    const plan = this.#planOf(seen);
    const arms = counts.arms().map((arm) => {
      const { version, weight, model: answering } = experiment.variants.find(({ name }) => name === arm.variant)!;
      const estimate = this.#options.estimateOf({ model: answering, version }, sinceMs);
      return { ...estimatedArm(arm, estimate), version, weight };
    });
    const memory = this.memoryOf(seen);
    const look = readOut({ plan, arms, memory, keysOverCap: counts.keys.keysOverCap });
    this.#remember(keyOf(experiment), look.memory);
    const answer: ExperimentAnswer = {
      ...look.readOut,
      model,
      control: plan.control,
      since: new Date(sinceMs).toISOString(),
      alpha: plan.alpha,
      method: plan.method,
      slow_ms: experiment.slowMs ?? null,
      metrics: plan.metrics.map(({ metric, better, margin }) => ({ metric, better, margin })),
      advice: adviceOf(look.readOut),
    };
    if (answer.srm.is_mismatch && !isMismatch(memory.ratioP)) this.#options.onMismatch(answer);
    return answer;
  }

  /** Of phases that are over nothing is kept. */
  #remember(key: string, memory: ExperimentMemory): void {
    this.#memories.set(key, memory);
    const living = new Set(Array.from(this.#options.seen.phases.values(), ({ experiment }) => keyOf(experiment)));
    this.#memories = new Map([...this.#memories].filter(([name]) => living.has(name)));
  }

  #planOf({ model, experiment, labelMetrics, counts }: SeenPhase): ExperimentPlan {
    const route = this.#options.routes()[model];
    const { guardrails, ...rules } = rulesOf(route);
    const metrics = guardrails.map((guardrail): ExperimentMetric => {
      const { better, isShare } = metricFacts(guardrail);
      return { metric: guardrail.metric, better, isShare, margin: guardrail.margin };
    });
    // Of an experiment that is no canary: what labels say, once they say something.
    for (const metric of labelMetrics) {
      const isSilent = counts.arms().every((arm) => (arm.metrics[metric]?.n ?? 0) === 0);
      if (!isSilent && !metrics.some((one) => one.metric === metric)) metrics.push({ metric, ...successOf(metric) });
    }
    return {
      name: experiment.name,
      control: route?.default ?? experiment.champion,
      metrics,
      ...rules,
    };
  }

  families(): Family[] {
    const all = this.lookAtAll();
    return [
      gauge(
        'sluice_experiment_keys',
        'Distinct keys of the present phase by the variant that they were given.',
        all.flatMap(({ experiment, srm }) =>
          Object.entries(srm.keys).map(([variant, value]) => ({ labels: { experiment, variant }, value })),
        ),
      ),
      gauge(
        'sluice_experiment_srm_p',
        'Whether arms have the sizes that their weights promise: below 0.001 they do not.',
        all.map(({ experiment, srm }) => ({ labels: { experiment }, value: srm.p_seq })),
      ),
      gauge(
        'sluice_experiment_p',
        'Always-valid p of the difference to the control.',
        all.flatMap(({ experiment, comparisons }) =>
          comparisons.map(({ variant, metric, p_always_valid }) => ({
            labels: { experiment, variant, metric },
            value: p_always_valid,
          })),
        ),
      ),
    ];
  }
}

function keyOf({ name, phase }: SeenPhase['experiment']): string {
  return `${name}:${phase}`;
}

function successOf(metric: string): Omit<ExperimentMetric, 'metric'> {
  const { better, isShare } = metricFacts({ metric });
  return { better, isShare, margin: null };
}
