/**
 * Which versions answer a model. The control process makes tables, gateway processes only replace the one they have.
 *
 * An experiment splits a model's requests between variants by a key that the caller brings (monitoring §2 to §4). Everything
 * here is plain values, which travel between processes; names and aliases have become versions before they get here.
 *
 * Must not know how a version is opened.
 */
import type { ShadowPlan } from './shadow-plan.js';

export type ServingState = 'ready' | 'lazy' | 'loading' | 'unloading' | 'unavailable';

export interface VersionEntry {
  readonly version: string;
  readonly state: ServingState;
  readonly reason: string;
}

/** Where in a call something may be found. */
export interface CallPlace {
  readonly source: 'header' | 'param' | 'cookie' | 'jwt';
  /** Of a header in lower case; of a claim with dots between the parts of its path. */
  readonly name: string;
}

export interface Variant {
  readonly name: string;
  readonly model: string;
  readonly version: string;
  /** At least 0; only the ratios of weights matter. */
  readonly weight: number;
}

export interface Condition {
  readonly place: CallPlace;
  readonly is: 'exists' | 'in' | '<' | '<=' | '>' | '>=';
  /** What `in` compares with. */
  readonly values: readonly string[];
  /** What the others compare with. */
  readonly bound: number;
}

/** Where all conditions hold, these variants share the requests. */
export interface TargetingRule {
  readonly conditions: readonly Condition[];
  readonly variants: readonly string[];
}

export interface Experiment {
  readonly name: string;
  /** A period of constant weights, coverage, targeting and versions. */
  readonly phase: number;
  readonly salt: string;
  /** Tried in order. */
  readonly key: readonly CallPlace[];
  /** What a call without a key gets: the default variant, or one by its request id. */
  readonly noKey: 'champion' | 'request';
  /** The variant of everybody who takes no part. */
  readonly champion: string;
  readonly variants: readonly Variant[];
  /** Share of keys that take part. */
  readonly coverage: number;
  /** The range [from, to) of the layer that this experiment owns. */
  readonly layer: { readonly salt: string; readonly from: number; readonly to: number } | undefined;
  readonly holdout: { readonly salt: string; readonly share: number } | undefined;
  /** The first that holds decides which variants; none holds = the champion. Empty = everybody. */
  readonly targeting: readonly TargetingRule[];
  readonly overrides: {
    /** Another header than `x-sluice-variant`, in lower case; empty = none. */
    readonly header: string;
    /** Variants that a caller may ask for. */
    readonly allowed: readonly string[];
    /** Variants of single keys. */
    readonly keys: Readonly<Record<string, string>>;
  };
  /** Above it a request counts as slow; absent as long as nobody knows what is usual. */
  readonly slowMs?: number;
  /** What its variants answer is to be compared. */
  readonly countsPredictions?: true;
}

/** Which rule decided (monitoring §3). */
export type RouteReason =
  | 'explicit'
  | 'override'
  | 'no_key'
  | 'layer'
  | 'holdout'
  | 'targeting'
  | 'coverage'
  | 'weight'
  | 'fallback';

/** What a route decided for one request. */
export interface Assignment {
  readonly experiment: string;
  readonly phase: number;
  /** The variant that answers; empty when a version was named, or when neither variant nor champion is open. */
  readonly variant: string;
  /** The variant that the rules gave: another one than `variant` when that was not ready. */
  readonly assigned: string;
  readonly reason: RouteReason;
  /** False when the key was only the request's id. */
  readonly isSticky: boolean;
  /** The key as a number that no other experiment shares; undefined without a key. */
  readonly keyHash: number | undefined;
  /** The key itself, which nothing may keep but as a keyed digest. */
  readonly key?: string | undefined;
}

export interface Route {
  readonly model: string;
  /** Ascending by number. */
  readonly versions: readonly VersionEntry[];
  /** The version that answers when none is named; undefined when none is ready. */
  readonly champion: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly experiment?: Experiment;
  /** What else sees a copy of the model's requests. */
  readonly shadows?: readonly ShadowPlan[];
}

export interface RouteTable {
  readonly generation: number;
  readonly routes: Readonly<Record<string, Route>>;
  readonly isReady: boolean;
  readonly reason: string;
  readonly isDegraded: boolean;
}

export const emptyTable: RouteTable = {
  generation: 0,
  routes: {},
  isReady: false,
  reason: 'starting',
  isDegraded: false,
};
