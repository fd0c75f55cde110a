/**
 * PART OF THE ROOT: all that a front-end may ask for, put together from those who answer.
 *
 * Must not know protocols.
 */
import type { DataPlane } from '../core/inference.js';
import type { Log } from '../log.js';
import type { Router } from '../routing/router.js';

/** The V2 extensions that work. */
const extensions = [
  'binary_tensor_data',
  'classification',
  'logging',
  'model_configuration',
  'model_repository',
  'parameters',
  'schedule_policy',
  'statistics',
  'trace',
] as const;

export interface PlaneOptions extends Pick<DataPlane, 'now' | 'tenant' | 'trace' | 'relay'> {
  readonly router: Router;
  readonly log: Log;
  /** Of the server. */
  readonly name: string;
  readonly version: string;
  readonly isDraining: () => boolean;
}

export function planeOf({ router, log, name, version, isDraining, ...others }: PlaneOptions): DataPlane {
  return {
    ...others,
    server: { name, version, extensions },
    state: () => {
      const { isReady, reason, isDegraded } = router.table;
      if (isDraining()) return { isReady: false, reason: 'draining', isDegraded, isDraining: true };
      return { isReady, reason, isDegraded, isDraining: false };
    },
    models: () => router.models(),
    find: (model, selector) => router.find(model, selector),
    assign: (model, selector, terms) => router.assign(model, selector, terms),
    readiness: (model, selector) => router.readiness(model, selector),
    metadata: (model, selector) => router.metadata(model, selector),
    infer: router.infer,
    refuse: (refusal) => {
      const { error } = refusal;
      if (error.code === 'INTERNAL') log.error('request.failed', { error: error.message, cause: String(error.cause) });
      router.refuse(refusal);
    },
  };
}
