/**
 * PART OF THE ROOT: the doors of a gateway process, HTTP and gRPC: opened together, closed together.
 *
 * Must not know what is behind them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { apiOptionsOf, grpcOptionsOf, httpOptionsOf } from '../config/derived.js';
import type { Config } from '../config/schema.js';
import type { DataPlane } from '../core/inference.js';
import { createRequestIds, type IdSource } from '../core/request-id.js';
import type { Family } from '../core/series.js';
import { type GrpcDoor, listenGrpc } from '../grpc/server.js';
import { createApi } from '../http/api.js';
import { type Door, listenHttp } from '../http/transport.js';
import type { Listening } from '../ipc.js';
import { doorFamilies } from '../observe/doors.js';

/**
 * After the listener has closed, connections that it had just accepted may still bring their request for so long: a client
 * that reconnected a moment ago must not find its connection closed without an answer.
 */
const lingerMs = 500;
/** How often a door is asked whether its last request is answered. */
const lookMs = 10;

export class Doors {
  #http: Door | undefined;
  #grpc: GrpcDoor | undefined;

  /** @throws GatewayError when a port cannot be bound */
  async open(plane: DataPlane, config: Config, clocks: IdSource): Promise<void> {
    const { epochMs, random } = clocks;
    const api = createApi(plane, { ...apiOptionsOf(config), newId: createRequestIds(clocks) });
    if (config.http.enabled) this.#http = await listenHttp(api, { ...httpOptionsOf(config), now: plane.now });
    if (config.grpc.enabled)
      this.#grpc = await listenGrpc(plane, { ...grpcOptionsOf(config), epochNow: epochMs, random });
  }

  get ports(): Pick<Listening, 'httpPort' | 'httpEngine' | 'grpcPort'> {
    return { httpPort: this.#http?.port, httpEngine: this.#http?.engine ?? 'off', grpcPort: this.#grpc?.port };
  }

  /** HTTP asks the plane with each call; gRPC's health has listeners. */
  setServing(isServing: boolean): void {
    this.#grpc?.setServing(isServing);
  }

  families(): Family[] {
    return doorFamilies({ http: this.#http?.load, grpc: this.#grpc?.load });
  }

  /** Resolves when the last request is answered. */
  async close(graceMs: number): Promise<void> {
    // The poll before this has taken what waited at the doors: a connection that waits while its door closes is reset.
    await new Promise(setImmediate);
    await Promise.all([this.#closeHttp(Math.min(lingerMs, graceMs / 4)), this.#grpc?.stop(graceMs)]);
  }

  async #closeHttp(forMs: number): Promise<void> {
    const door = this.#http;
    if (door === undefined) return;
    door.stopListening();
    await sleep(forMs);
    door.stopAccepting();
    while (door.inFlight > 0) await sleep(lookMs);
    await door.close();
  }
}
