/**
 * PART OF THE ROOT: V2 calls about the whole, which processes and the control port pass on: what each leads to.
 *
 * Must not know who asked over which wire.
 */
import type { JsonObject } from '../audit/canonical.js';
import { withDecimalsAsText } from '../audit/config-hash.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { RelayCall } from '../core/relay.js';
import { labelsOf } from './label-room.js';
import type { MetricsDesk } from './metrics-desk.js';
import type { Rooms } from './rooms.js';
import type { SettingsDesk, WriteDown } from './settings-desk.js';

export interface RelayTools {
  readonly config: Pick<Config, 'models'>;
  readonly rooms: Rooms;
  readonly metrics: MetricsDesk;
  readonly settings: SettingsDesk;
}

/** @param actor what the audit log calls the caller */
export async function relayed(call: RelayCall, actor: string, tools: RelayTools): Promise<unknown> {
  const { rooms, settings } = tools;
  const { registry, audit } = rooms.opened;
  const write: WriteDown = (subject, detail) =>
    audit.append('settings.changed', subject, withDecimalsAsText(detail) as JsonObject, actor);
  switch (call.call) {
    case 'index':
      return registry.index(call.ready);
    case 'statistics':
      return tools.metrics.statistics(call.model, call.version);
    case 'load': {
      checkExplicit(tools.config);
      const config = configOf(call.parameters);
      await audit.append('load', call.model, config === undefined ? {} : { config }, actor);
      return registry.load(call.model, config);
    }
    case 'unload':
      checkExplicit(tools.config);
      await audit.append('unload', call.model, {}, actor);
      return registry.unload(call.model);
    case 'feedback':
      return labelsOf(rooms.labels).take(call.model, call);
    case 'want':
      return registry.want({ model: call.model, version: call.version });
    case 'trace':
      return settings.trace(call.model, call.settings, write);
    case 'logging':
      return settings.logging(call.settings, write);
  }
}

function checkExplicit({ models }: Pick<Config, 'models'>): void {
  if (models.load === 'explicit') return;
  throw new GatewayError('UNAVAILABLE', 'explicit model load / unload is not allowed');
}

/** As JSON: with everything else it must find room in one line of the audit log. */
const configBytesMax = 240 * 1024;

/** The only load parameter there is so far. @throws INVALID_ARGUMENT, PERMISSION_DENIED */
function configOf(parameters: Readonly<Record<string, unknown>>): string | undefined {
  for (const [key, value] of Object.entries(parameters)) {
    if (key.startsWith('file:')) throw new GatewayError('PERMISSION_DENIED', 'file override is not allowed');
    if (key !== 'config') throw new GatewayError('INVALID_ARGUMENT', `Unrecognized load parameter '${key}'`);
    if (typeof value !== 'string')
      throw new GatewayError('INVALID_ARGUMENT', `load parameter 'config' must be a string`);
    const bytes = Buffer.byteLength(JSON.stringify(value));
    if (bytes > configBytesMax) {
      const text = `load parameter 'config' of ${bytes} bytes as JSON, at most ${configBytesMax} are accepted`;
      throw new GatewayError('INVALID_ARGUMENT', text);
    }
  }
  return parameters.config as string | undefined;
}
