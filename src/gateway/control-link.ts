/**
 * PART OF THE ROOT: a gateway process's end of the channel to control: what it tells, and what it asks and waits for.
 *
 * Must not know what is said.
 */
import { GatewayError } from '../core/errors.js';
import type { RelayCall } from '../core/relay.js';
import { errorOf, type FromGateway, post, type ToGateway } from '../ipc.js';

export class ControlLink {
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: GatewayError) => void }>();
  #seq = 0;

  send(message: FromGateway): void {
    post(process, message);
  }

  readonly ask = (call: RelayCall): Promise<unknown> => {
    if (!process.connected) return Promise.reject(controlLost());
    this.#seq++;
    const seq = this.#seq;
    return new Promise((resolve, reject) => {
      this.#waiting.set(seq, { resolve, reject });
      this.send({ kind: 'ask', seq, call });
    });
  };

  answer({ seq, value, failure }: Extract<ToGateway, { kind: 'answer' }>): void {
    const waiting = this.#waiting.get(seq);
    this.#waiting.delete(seq);
    if (failure === undefined) waiting?.resolve(value);
    else waiting?.reject(errorOf(failure));
  }

  /** Nobody will answer any more. */
  lose(): void {
    for (const { reject } of this.#waiting.values()) reject(controlLost());
    this.#waiting.clear();
  }
}

function controlLost(): GatewayError {
  return new GatewayError('UNAVAILABLE', 'the control process does not answer', { retryAfterMs: 1000 });
}
