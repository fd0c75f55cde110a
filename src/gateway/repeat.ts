/**
 * PART OF THE ROOT: a request that control wants to see run once more, by the version alone.
 *
 * What stands between callers and versions – routes, quotas, the cache, shadows, the log – is passed by: the answer must be the
 * version's own, and nobody's counts may change by it.
 *
 * Must not know why it is asked for.
 */
import { GatewayError } from '../core/errors.js';
import { Cancellation } from '../core/inference.js';
import { checkInputs, type Version, type VersionId } from '../core/model.js';
import type { Repeat, Repeated } from '../ipc.js';
import type { Router } from '../routing/router.js';

/** @throws NOT_FOUND when the version is not open, INVALID_ARGUMENT when the inputs are of another, and what the run throws */
export async function repeated(
  { id, inputs, timeoutMs }: Repeat,
  router: Router,
  now: () => number,
): Promise<Repeated> {
  const version = await opened(id, router);
  const rows = checkInputs(version, inputs, undefined);
  const at = now();
  const { outputs } = await version.infer({
    id: '',
    model: id.model,
    version,
    inputs: version.signature.inputs.map((spec) => inputs.find(({ name }) => name === spec.name)!),
    rows,
    outputs: undefined,
    parameters: new Map(),
    priority: 0,
    timeoutMs: 0,
    receivedAt: at,
    deadlineAt: at + timeoutMs,
    cancellation: new Cancellation(),
    protocol: 'http',
  });
  return { outputs, sha256: version.artifact?.sha256 ?? '' };
}

async function opened({ model, version }: VersionId, router: Router): Promise<Version> {
  try {
    return await router.find(model, { version });
  } catch (error) {
    throw new GatewayError('NOT_FOUND', (error as Error).message);
  }
}
