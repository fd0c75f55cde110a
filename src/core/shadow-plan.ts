/**
 * What a shadow is to do: which version sees which share of a route's requests, within which limits, and how its answers are
 * compared. Plain values: control makes them, and they travel to the gateway processes.
 *
 * Must not know configuration files or how a version is opened.
 */
import type { VersionId } from './model.js';

/** When two answers agree: same first maximum, same label, or every element within the tolerance. */
export type AgreementRule = 'argmax' | 'label' | 'match';

export interface ComparePlan {
  /** Undefined = every output that both answers have. */
  readonly outputs: readonly string[] | undefined;
  readonly rule: AgreementRule;
  /** The outputs are distributions, for which a divergence in nats makes sense. */
  readonly isProbabilities: boolean;
  readonly absolute: number;
  readonly relative: number;
  readonly topK: number;
  /** Elements of one output; a larger one is counted, not compared. Bounds the time that a pair keeps the loop. */
  readonly elementsMax: number;
}

export interface ShadowPlan {
  /** The model name that callers ask for. */
  readonly route: string;
  readonly name: string;
  readonly version: VersionId;
  /** In [0, 1]. */
  readonly share: number;
  /** Shadows with one salt see nested sets of requests. */
  readonly sampleSalt: string;
  readonly when: 'after' | 'parallel';
  readonly inFlightMax: number;
  readonly queueMax: number;
  /** Bytes of inputs held for one request. */
  readonly requestBytesMax: number;
  /** 0 = twice the time that the primary had. */
  readonly timeoutMs: number;
  readonly loopLagMsMax: number;
  readonly compare: ComparePlan;
}

/** The output takes part in the comparison. */
export function isCompared({ compare: { outputs } }: ShadowPlan, output: string): boolean {
  return outputs === undefined || outputs.includes(output);
}

/** Inputs and answers held by all shadows of a process together. */
export const heldBytesMax = 32 * 1024 * 1024;

const compareDefaults: ComparePlan = {
  outputs: undefined,
  rule: 'match',
  isProbabilities: false,
  absolute: 1e-6,
  relative: 1e-4,
  topK: 5,
  elementsMax: 16_384,
};

type Required = Pick<ShadowPlan, 'route' | 'name' | 'version'>;

/** A plan with the specification's defaults (monitoring §9) for everything that is not said. */
export function planOf(
  said: Required & Partial<Omit<ShadowPlan, 'compare'>> & { readonly compare?: Partial<ComparePlan> },
): ShadowPlan {
  return {
    share: 1,
    sampleSalt: said.name,
    when: 'after',
    inFlightMax: 32,
    queueMax: 64,
    requestBytesMax: 4 * 1024 * 1024,
    timeoutMs: 0,
    loopLagMsMax: 20,
    ...said,
    compare: { ...compareDefaults, ...said.compare },
  };
}
