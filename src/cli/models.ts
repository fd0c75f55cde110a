/**
 * `sluice models`: what a running gateway serves, as a table.
 *
 * Must not know how it is served.
 */
import type { ServedVersion } from '../core/listing.js';
import { ask } from './ask.js';
import { Exit } from './exit.js';
import { table } from './text.js';

export interface ModelsOptions {
  readonly url: string;
  readonly token: string | undefined;
}

export async function showModels({ url, token }: ModelsOptions): Promise<string> {
  const address = `${url.replace(/\/+$/, '')}/admin/models`;
  const answer = (await ask({ url: address, token, of: 'the control port' })) as { models?: readonly ServedVersion[] };
  if (!Array.isArray(answer.models)) throw new Exit(1, `what answers at ${url} is not the control port of a gateway`);
  if (answer.models.length === 0) return 'no models\n';
  const head = ['NAME', 'VERSION', 'STATE', 'DEFAULT', 'BATCH', 'INPUTS → OUTPUTS', 'REASON'];
  return table([head, ...answer.models.map(lineOf)]);
}

function lineOf(served: ServedVersion): string[] {
  const { model, version, state, reason, isDefault, inputs, outputs, maxBatchSize } = served;
  const isRead = inputs.length > 0 || outputs.length > 0;
  const signature = isRead ? `${inputs.join(', ')} → ${outputs.join(', ')}` : '';
  const batch = !isRead ? '' : maxBatchSize === 0 ? 'no' : String(maxBatchSize);
  return [model, version, state, isDefault ? 'yes' : '', batch, signature, reason];
}
