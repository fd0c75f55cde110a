/**
 * What a door holds at a moment, read when somebody asks: nothing is counted on the way of a request.
 *
 * Must not know protocols.
 */
export interface DoorLoad {
  /** Undefined where the engine does not tell. */
  readonly connections: number | undefined;
  /** Of requests that have not come whole yet; undefined where the engine does not tell. */
  readonly requestBytes: number | undefined;
  /** Of answers that their callers have not taken yet; undefined where the engine does not tell. */
  readonly responseBytes: number | undefined;
}
