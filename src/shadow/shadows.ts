/**
 * All shadows of a gateway process, by route.
 *
 *   const exposure = shadows.begin(request)      before the primary runs: afterwards its inputs may be gone
 *   version.infer(request) ─▶ reply
 *   exposure?.end(reply)                         the copies start in a later turn, when the reply is with its socket
 *
 * `begin` is on the path of every request: without shadows it is one comparison; for a shadow it decides, counts and, if
 * somebody agrees, keeps the inputs once for all who do.
 *
 * Must not know how versions are opened or replies are sent.
 */
import type { GatewayError } from '../core/errors.js';
import type { InferenceReply, InferenceRequest } from '../core/inference.js';
import type { Version, VersionId } from '../core/model.js';
import { type Family, mergeFamilies } from '../core/series.js';
import { heldBytesMax, type ShadowPlan } from '../core/shadow-plan.js';
import type { ShadowReport } from '../core/shadow-report.js';
import type { Copy } from './copy.js';
import { counterFamilies, gaugeFamilies } from './families.js';
import { Holdings, sizeOfAll } from './held.js';
import { Original } from './original.js';
import { Shadow, type ShadowClock } from './shadow.js';

export interface ShadowsOptions extends ShadowClock {
  /** The version if it is open in this process. */
  readonly target: (id: VersionId) => Version | undefined;
  readonly heldBytesMax?: number;
}

/** A request that at least one shadow agreed to. `end` is called once, however the primary ended. */
export class Exposure {
  readonly #original: Original;
  readonly #copies: readonly (readonly [Shadow, Copy])[];

  constructor(original: Original, shadows: readonly Shadow[]) {
    this.#original = original;
    // Until the primary is done its answer may still have to be kept.
    original.use();
    this.#copies = shadows.map((shadow) => [shadow, shadow.open(original)]);
  }

  end(result: InferenceReply | GatewayError): void {
    const hasOutputs = this.#original.answer(result);
    for (const [shadow, copy] of this.#copies) shadow.primaryDone(copy, hasOutputs);
    this.#original.release();
  }
}

export class Shadows {
  readonly #options: ShadowsOptions;
  readonly #holdings: Holdings;
  #byRoute = new Map<string, readonly Shadow[]>();
  /** Counts of shadows that are gone. */
  #past: Family[] = [];

  constructor(options: ShadowsOptions) {
    this.#options = options;
    this.#holdings = new Holdings(options.heldBytesMax ?? heldBytesMax);
  }

  /** From now on these and no others. A shadow whose plan has not changed goes on as it is. */
  publish(plans: readonly ShadowPlan[]): void {
    const known = new Map(this.#all().map((shadow) => [JSON.stringify(shadow.plan), shadow]));
    const byRoute = new Map<string, Shadow[]>();
    for (const plan of plans) {
      const key = JSON.stringify(plan);
      const shadow = known.get(key) ?? this.#make(plan);
      known.delete(key);
      byRoute.set(plan.route, [...(byRoute.get(plan.route) ?? []), shadow]);
    }
    this.#byRoute = byRoute;
    for (const gone of known.values()) {
      gone.close();
      this.#past = mergeFamilies(this.#past, counterFamilies([gone.report('none')]));
    }
  }

  #make(plan: ShadowPlan): Shadow {
    const { now, loopLagMs, later, inAMoment, onAnswer, target } = this.#options;
    return new Shadow({ plan, now, loopLagMs, later, inAMoment, onAnswer, target: () => target(plan.version) });
  }

  #all(): Shadow[] {
    return [...this.#byRoute.values()].flat();
  }

  /** @returns undefined when no shadow takes a copy */
  begin(request: InferenceRequest): Exposure | undefined {
    if (this.#byRoute.size === 0) return undefined;
    const shadows = this.#byRoute.get(request.model);
    return shadows === undefined ? undefined : this.#expose(shadows, request);
  }

  #expose(shadows: readonly Shadow[], request: InferenceRequest): Exposure | undefined {
    const willing: Shadow[] = [];
    let bytes = -1;
    for (const shadow of shadows) {
      let reason = shadow.reasonAgainst(request);
      if (reason === undefined) {
        if (bytes === -1) bytes = sizeOfAll(request.inputs);
        if (bytes > shadow.plan.requestBytesMax) reason = 'body_too_large';
      }
      if (reason === undefined) willing.push(shadow);
      else shadow.count(reason);
    }
    if (willing.length === 0) return undefined;
    if (this.#holdings.take(bytes)) return new Exposure(new Original(request, this.#holdings, bytes), willing);
    for (const shadow of willing) shadow.count('bytes');
    return undefined;
  }

  /** @param examples mismatches with their request ids, up to a thousand for each shadow, or only counts */
  reports(examples: 'all' | 'none'): ShadowReport[] {
    return this.#all().map((shadow) => shadow.report(examples));
  }

  families(): Family[] {
    if (this.#byRoute.size === 0 && this.#past.length === 0) return [];
    const shadows = this.#all();
    const gauges = shadows.map((shadow) => ({
      route: shadow.plan.route,
      shadow: shadow.plan.name,
      inFlight: shadow.inFlight,
      depth: shadow.depth,
      isBreakerOpen: shadow.isBreakerOpen,
    }));
    const counters = mergeFamilies(this.#past, counterFamilies(shadows.map((shadow) => shadow.report('none'))));
    return [...counters, ...gaugeFamilies(gauges, this.#holdings.bytes)];
  }
}
