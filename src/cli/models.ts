/**
 * `sluice models`: what a running gateway serves, as a table.
 *
 * Must not know how it is served.
 */
import type { ServedListing, ServedVersion, SourceState } from '../core/listing.js';
import { ask } from './ask.js';
import { Exit } from './exit.js';
import { harmless, table } from './text.js';

export interface ModelsOptions {
  readonly url: string;
  readonly token: string | undefined;
}

export async function showModels({ url, token }: ModelsOptions): Promise<string> {
  const address = `${url.replace(/\/+$/, '')}/admin/models`;
  const answer = (await ask({ url: address, token, of: 'the control port' })) as Partial<ServedListing>;
  if (!Array.isArray(answer.models)) throw new Exit(1, `what answers at ${url} is not the control port of a gateway`);
  const head = ['NAME', 'VERSION', 'STATE', 'DEFAULT', 'BATCH', 'INPUTS → OUTPUTS', 'SOURCE', 'DIGEST', 'REASON'];
  const models = answer.models.length === 0 ? 'no models\n' : table([head, ...answer.models.map(lineOf)]);
  return models + (answer.sources ?? []).flatMap(staleText).join('');
}

/** A source that does not answer; one that does is not worth a line. */
function staleText({ name, type, isUp, reason, lastSuccess }: SourceState): string[] {
  if (isUp) return [];
  const since = lastSuccess === null ? 'it has not answered since the start' : `it last answered at ${lastSuccess}`;
  return [`source ${name} (${type}) does not answer: ${harmless(reason)}; ${since}\n`];
}

function lineOf(served: ServedVersion): string[] {
  const { model, version, state, reason, isDefault, inputs, outputs, maxBatchSize, source, sha256 } = served;
  const isRead = inputs.length > 0 || outputs.length > 0;
  const signature = isRead ? `${inputs.join(', ')} → ${outputs.join(', ')}` : '';
  const batch = !isRead ? '' : maxBatchSize === 0 ? 'no' : String(maxBatchSize);
  return [model, version, state, isDefault ? 'yes' : '', batch, signature, source, sha256.slice(0, 12), reason];
}
