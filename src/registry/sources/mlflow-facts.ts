/**
 * What MLflow's record of a version says: facts to show, digests to check, and what makes it another version.
 *
 * Must not know requests or files.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../../core/errors.js';
import { isFilePath } from '../file-path.js';
import type { VersionFacts } from '../source.js';
import type { ModelVersion } from './mlflow-answers.js';

const tagsMax = 1000;
const metricsMax = 1000;
const textMax = 10_000;
const digestTag = 'sluice.sha256.';

type Metrics = readonly { readonly key: string; readonly value?: unknown }[];

export function factsOf(version: ModelVersion): VersionFacts {
  return {
    tags: Object.fromEntries(version.tags.slice(0, tagsMax).map(({ key, value }) => [key, value.slice(0, textMax)])),
    description: version.description.slice(0, textMax),
    metrics: metricsOf(version.model_metrics),
    runId: version.run_id,
    created: timeText(version.creation_timestamp),
  };
}

/** By name; what is not a finite number is left out. */
export function metricsOf(metrics: Metrics): Readonly<Record<string, number>> {
  const numbers = metrics.flatMap(({ key, value }) =>
    typeof value === 'number' && Number.isFinite(value) ? [[key, value] as const] : [],
  );
  return Object.fromEntries(numbers.slice(0, metricsMax));
}

/** Why it cannot be pulled yet; undefined when it can, or never will. */
export function waitingOf({ status, status_message: message }: ModelVersion): string | undefined {
  if (status === 'READY' || isFailed({ status })) return undefined;
  if (status === 'PENDING_REGISTRATION') return 'its registration is pending';
  return `its status is '${status.slice(0, 64)}'${message && `: ${message.slice(0, 256)}`}`;
}

export function isFailed({ status }: Pick<ModelVersion, 'status'>): boolean {
  return status === 'FAILED_REGISTRATION';
}

/**
 * Changes when the content may have: a model deleted and made again counts from 1 again, and a digest that was corrected is
 * a reason to try again. What people write about a version changes nothing.
 */
export function revisionOf(version: ModelVersion): string {
  const digests = version.tags.filter(({ key }) => key === 'sha256' || key.startsWith(digestTag));
  digests.sort((a, b) => (a.key < b.key ? -1 : 1));
  const { creation_timestamp: created, source, run_id: run, status } = version;
  const parts = [created, source, run, status, ...digests.map(({ key, value }) => `${key}=${value}`)];
  return `${version.version}-${createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16)}`;
}

/** What MLflow itself puts beside a model. */
const ownFiles = new Set([
  'MLmodel',
  'conda.yaml',
  'python_env.yaml',
  'requirements.txt',
  'registered_model_meta',
  'input_example.json',
  'serving_input_example.json',
]);

const isOwn = (path: string) => ownFiles.has(path) || path.startsWith('metadata/');

/**
 * Digests by path, as the tags of a version state them: `sluice.sha256.<path>`, or `sha256` when there is only one file
 * beside MLflow's own.
 * @throws FAILED_PRECONDITION for a tag that is no digest, or names a file that is not there
 */
export function digestsOf(version: ModelVersion, paths: readonly string[]): ReadonlyMap<string, string> {
  const digests = new Map<string, string>();
  const others = paths.filter((path) => !isOwn(path));
  for (const { key, value } of version.tags) {
    const isWhole = key === 'sha256' && others.length === 1;
    if (!isWhole && !key.startsWith(digestTag)) continue;
    const path = isWhole ? others[0]! : key.slice(digestTag.length);
    if (!/^[0-9a-f]{64}$/i.test(value)) throw refused(`tag '${key}' is not a sha256`);
    if (!paths.includes(path)) throw refused(`tag '${key}' is about a file that is not there`);
    if (!isWhole || !digests.has(path)) digests.set(path, value.toLowerCase());
  }
  return digests;
}

/** A path that `isFilePath` refuses is shown cut, for it may be anything. */
export function shownPath(path: string): string {
  return isFilePath(path) ? `'${path}'` : JSON.stringify(path.slice(0, 100));
}

function timeText(epochMs: number): string {
  return epochMs > 0 && epochMs < 8.64e15 ? new Date(epochMs).toISOString() : '';
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}
