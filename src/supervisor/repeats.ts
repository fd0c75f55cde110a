/**
 * Requests that control has one gateway process run, and who waits for them.
 *
 *   ask(child, …) ─▶ repeat ─▶ child ─▶ repeated ─▶ answered(…)        a child that ends answers nothing any more
 *
 * Nothing here counts time: a process that hangs is killed, and so ends.
 *
 * Must not know what is run.
 */
import { GatewayError } from '../core/errors.js';
import { errorOf, type FromGateway, type Repeat, type Repeated, type ToGateway } from '../ipc.js';

interface Member {
  send(message: ToGateway): void;
}

interface Waiting {
  readonly member: Member;
  readonly resolve: (value: Repeated) => void;
  readonly reject: (error: GatewayError) => void;
}

const waitingMax = 16;

export class Repeats {
  readonly #waiting = new Map<number, Waiting>();
  #seq = 0;

  /** @throws UNAVAILABLE when there is nobody to ask, or he ends; RESOURCE_EXHAUSTED; what running it threw */
  ask(member: Member | undefined, repeat: Repeat): Promise<Repeated> {
    if (member === undefined) return Promise.reject(new GatewayError('UNAVAILABLE', 'no gateway process is ready'));
    if (this.#waiting.size >= waitingMax) {
      const text = `${waitingMax} requests are being run again already`;
      return Promise.reject(new GatewayError('RESOURCE_EXHAUSTED', text, { retryAfterMs: 1000 }));
    }
    this.#seq++;
    const seq = this.#seq;
    return new Promise((resolve, reject) => {
      this.#waiting.set(seq, { member, resolve, reject });
      member.send({ kind: 'repeat', seq, repeat });
    });
  }

  answered({ seq, value, failure }: Extract<FromGateway, { kind: 'repeated' }>): void {
    const waiting = this.#waiting.get(seq);
    this.#waiting.delete(seq);
    if (value !== undefined) waiting?.resolve(value);
    else waiting?.reject(failure === undefined ? new GatewayError('INTERNAL', 'internal error') : errorOf(failure));
  }

  /** It has ended. */
  gone(member: Member): void {
    for (const [seq, { member: asked, reject }] of [...this.#waiting]) {
      if (asked !== member) continue;
      this.#waiting.delete(seq);
      reject(new GatewayError('UNAVAILABLE', 'the gateway process that ran it has ended'));
    }
  }
}
