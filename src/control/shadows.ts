/**
 * PART OF THE ROOT: the instances that shadows run on.
 *
 *   registry ─ open, drain, publish ─▶ the same + one more instance of every version that is a shadow ─▶ processes
 *
 * A shadow has an instance of its own, with one thread of the lowest priority and its own queue, even when the same version
 * answers callers: a copy of a request thus never waits in a caller's way, and a promoted version is warm already.
 *
 * Must not know how a copy is made.
 */
import type { Config } from '../config/schema.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { RouteTable } from '../core/route.js';

export interface ShadowInstancesOptions {
  /** Opens an instance in every process, in the place of one of the same version and role. */
  readonly open: (spec: VersionSpec) => Promise<void>;
  readonly drain: (id: VersionId) => Promise<void>;
  readonly report: (id: VersionId, error: Error) => void;
}

export class ShadowInstances {
  readonly #options: ShadowInstancesOptions;
  /** Versions that are open, as the registry opened them last. */
  readonly #specs = new Map<string, VersionSpec>();
  /** What their shadow instances were opened from. */
  readonly #shadows = new Map<string, VersionSpec>();
  /** A run of these never ended: they get no copies until they are opened anew. */
  readonly #hung = new Map<string, VersionSpec>();
  #wanted: readonly VersionId[] = [];
  #working: Promise<void> = Promise.resolve();

  constructor(options: ShadowInstancesOptions) {
    this.#options = options;
  }

  /** The registry has opened this version. */
  opened(spec: VersionSpec): void {
    this.#specs.set(nameOf(spec.id), spec);
    this.#settle();
  }

  /** The registry closes this version. */
  closed(id: VersionId): void {
    this.#specs.delete(nameOf(id));
    this.#settle();
  }

  /** From this table on these versions are shadows and no others. */
  publish({ routes }: RouteTable): void {
    this.#wanted = Object.values(routes).flatMap(({ shadows = [] }) => shadows.map(({ version }) => version));
    this.#settle();
  }

  /** A run of the version's shadow instance never ended. @returns false when that is known */
  drop(id: VersionId): boolean {
    const name = nameOf(id);
    const spec = this.#specs.get(name);
    if (spec === undefined || this.#hung.get(name) === spec) return false;
    this.#hung.set(name, spec);
    this.#settle();
    return true;
  }

  /** Resolves when processes have what is wanted now. */
  settled(): Promise<void> {
    return this.#working;
  }

  /** One change after the other, each from what is wanted when its turn comes. */
  #settle(): void {
    this.#working = this.#working.then(async () => {
      const wanted = new Map(
        this.#wanted.flatMap((id) => {
          const spec = this.#specs.get(nameOf(id));
          return spec === undefined || this.#hung.get(nameOf(id)) === spec ? [] : [[nameOf(id), spec] as const];
        }),
      );
      for (const [name, { id }] of [...this.#shadows]) {
        if (wanted.has(name)) continue;
        this.#shadows.delete(name);
        await this.#options.drain(id).catch((error: Error) => this.#options.report(id, error));
      }
      for (const [name, spec] of wanted) {
        if (this.#shadows.get(name) === spec) continue;
        this.#shadows.set(name, spec);
        await this.#options
          .open({ ...spec, role: 'shadow', rank: 'background', instances: 1 })
          .catch((error: Error) => this.#options.report(spec.id, error));
      }
    });
  }
}

/** Versions that a model's own route names by number as shadows, and no route as variants. */
export function shadowedVersions(routes: Config['routes'], model: string): string[] {
  const own = Object.hasOwn(routes, model) ? routes[model]!.shadows : [];
  const shadows = own.flatMap(({ model: other = model, version }) =>
    other === model && version !== undefined ? [version] : [],
  );
  const variants = Object.entries(routes).flatMap(([name, route]) =>
    Object.values(route.variants).filter((variant) => (variant.model ?? name) === model),
  );
  return shadows.filter((version) => !variants.some((variant) => variant.version === version));
}
