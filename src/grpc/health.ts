/**
 * grpc.health.v1: what is serving, asked once or watched.
 *
 * Names: empty and the inference service stand for the server, `model/<name>` for a model. Watchers are looked at once a
 * second, and at once when a drain begins.
 *
 * Must not know the gRPC library.
 */
import { GatewayError } from '../core/errors.js';
import type { DataPlane } from '../core/inference.js';

export type HealthStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

export interface Watcher {
  send(status: HealthStatus): void;
  /** The listener closes. */
  end(): void;
}

const lookEveryMs = 1000;
const serviceName = 'inference.GRPCInferenceService';

export class Health {
  readonly #plane: DataPlane;
  readonly #watchers = new Map<Watcher, { readonly name: string; last: HealthStatus }>();
  #isServing = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(plane: DataPlane) {
    this.#plane = plane;
  }

  get isServing(): boolean {
    return this.#isServing;
  }

  setServing(isServing: boolean): void {
    this.#isServing = isServing;
    this.#look();
  }

  /** @throws NOT_FOUND for a name that stands for nothing */
  check(name: string): HealthStatus {
    const status = this.#statusOf(name);
    if (status === 'SERVICE_UNKNOWN') throw new GatewayError('NOT_FOUND', `unknown service '${name}'`);
    return status;
  }

  /** Sends the status now and whenever it changes. */
  watch(name: string, watcher: Watcher): void {
    const last = this.#statusOf(name);
    this.#watchers.set(watcher, { name, last });
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref();
    watcher.send(last);
  }

  unwatch(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  stop(): void {
    for (const watcher of [...this.#watchers.keys()]) {
      this.unwatch(watcher);
      watcher.end();
    }
  }

  #look(): void {
    for (const [watcher, watched] of this.#watchers) {
      const status = this.#statusOf(watched.name);
      if (status === watched.last) continue;
      watched.last = status;
      watcher.send(status);
    }
  }

  #statusOf(name: string): HealthStatus {
    if (name === '' || name === serviceName) {
      const state = this.#plane.state();
      return this.#isServing && state.isReady && !state.isDraining ? 'SERVING' : 'NOT_SERVING';
    }
    if (!name.startsWith('model/')) return 'SERVICE_UNKNOWN';
    try {
      const { isReady } = this.#plane.readiness(name.slice('model/'.length), {});
      return this.#isServing && isReady ? 'SERVING' : 'NOT_SERVING';
    } catch {
      // The only refusal of `readiness` is that there is no such model.
      return 'SERVICE_UNKNOWN';
    }
  }
}
