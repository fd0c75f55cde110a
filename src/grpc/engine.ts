/**
 * What serves the methods on a port.
 *
 * Must not know how.
 */
import type { DoorLoad } from '../core/door-load.js';

export interface Engine {
  readonly name: 'own' | 'grpc-js';
  readonly load: DoorLoad;
  /** @returns the port. @throws what the system says when it cannot be bound */
  listen(host: string, port: number): Promise<number>;
  /** No new calls; those in flight may finish within the grace. */
  stop(graceMs: number): Promise<void>;
}
