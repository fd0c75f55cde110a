/**
 * The gRPC door: methods on one of two engines.
 *
 * Must not know what an engine does.
 */
import type { DoorLoad } from '../core/door-load.js';
import { GatewayError } from '../core/errors.js';
import type { DataPlane } from '../core/inference.js';
import type { Engine } from './engine.js';
import { Methods } from './methods.js';
import type { GrpcOptions } from './options.js';

export interface GrpcDoor {
  readonly port: number;
  readonly engine: Engine['name'];
  readonly load: DoorLoad;
  /** False from the first moment of a drain: health and ServerReady say so, requests are still served. */
  setServing(isServing: boolean): void;
  /** No new calls; those in flight may finish within the grace. */
  stop(graceMs: number): Promise<void>;
}

/** @throws GatewayError when the port cannot be bound */
export async function listenGrpc(plane: DataPlane, options: GrpcOptions): Promise<GrpcDoor> {
  const methods = new Methods(plane, options);
  const engine = await engineOf(plane, methods, options);
  const { host } = options;
  let port: number;
  try {
    port = await engine.listen(host, options.port);
  } catch (cause) {
    const address = `${host.includes(':') ? `[${host}]` : host}:${options.port}`;
    throw new GatewayError('UNAVAILABLE', `gRPC port ${address} cannot be bound`, { cause });
  }
  return {
    port,
    engine: engine.name,
    get load() {
      return engine.load;
    },
    setServing: (isServing) => methods.setServing(isServing),
    stop: (graceMs) => {
      methods.stop();
      return engine.stop(graceMs);
    },
  };
}

/** An engine is loaded only where it is used. */
async function engineOf(plane: DataPlane, methods: Methods, options: GrpcOptions): Promise<Engine> {
  if (options.engine === 'grpc-js') {
    const { GrpcJsEngine } = await import('./grpc-js/grpc-js-engine.js');
    return new GrpcJsEngine(plane, methods, options);
  }
  const { OwnEngine } = await import('./own/own-engine.js');
  return new OwnEngine(plane, methods, options);
}
