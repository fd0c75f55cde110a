/**
 * PART OF THE ROOT: what is looked at when the server starts, so that a mistake is said then and not found later.
 *
 * Must not know how anything is started.
 */
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { nameOf } from '../core/model.js';
import type { Log } from '../log.js';
import { probePort } from '../supervisor/ports.js';
import { noModels } from './check.js';
import type { RegistryRoom } from './registry-room.js';
import { degradation } from './registry-supply.js';

/** Ports that are free, with 0 replaced: all processes must bind the same one. */
export async function withPorts(config: Config): Promise<Config> {
  const [http, grpc] = await Promise.all(
    (['http', 'grpc'] as const).map(async (name) => {
      const { enabled, host, port } = config[name];
      return { port: enabled ? await probePort(`--${name}-port`, host, port) : port };
    }),
  );
  const { admin } = config;
  if (admin.enabled && admin.port !== 0) await probePort('--admin-port', admin.host, admin.port);
  return { ...config, http: { ...config.http, ...http }, grpc: { ...config.grpc, ...grpc } };
}

/** More threads than cores make every one of them slower. */
export function checkCores({ gateway, engine }: Config, cores: number, log: Log): void {
  const { processes } = gateway;
  const { instances, intra_op_threads } = engine;
  const threads = processes * instances * intra_op_threads;
  if (threads > cores) log.warn('cores.oversubscribed', { cores, threads, processes, instances, intra_op_threads });
}

/**
 * A server without a single model is a mistake, unless models are to be loaded by calls.
 * @throws NOT_FOUND, FAILED_PRECONDITION with the reason of each model
 */
export function checkServed({ models, registry: { sources } }: Config, { registry, supply }: RegistryRoom): void {
  const records = [...registry.records()];
  // A source that is down may come back; until then the server is there and not ready.
  const isWaiting = sources.length > 0 && degradation(supply) !== '';
  if (models.load === 'explicit' || isWaiting) return;
  if (records.length === 0) throw new GatewayError('NOT_FOUND', `${models.path}: ${noModels}`);
  if (records.every(({ state }) => state === 'refused' || state === 'failed')) {
    const lines = records.map(({ id, reason }) => `${nameOf(id)}: ${reason}`);
    throw new GatewayError('FAILED_PRECONDITION', `no model could be loaded: ${lines.join('; ')}`);
  }
}

/** Routes that no change could bring are served as far as they can be, and told of: a start must not fail for them. */
export function checkRoutes(config: Config, room: RegistryRoom, log: Log): void {
  try {
    room.foresee(config);
  } catch (error) {
    for (const problem of (error as Error).message.split('\n')) log.warn('routes.problem', { problem });
  }
}
