/**
 * The life of one request, from the first try to the last byte: ended by whoever asked, or by the total deadline.
 *
 * A controller of its own and not `AbortSignal.any`, because a caller's signal may live as long as the process and would
 * collect what was derived from it.
 *
 * Must not know what is asked.
 */
import { GatewayError } from '../../core/errors.js';

export interface LifeOptions {
  readonly host: string;
  readonly signal: AbortSignal;
  readonly totalTimeoutMs: number;
}

export class Life {
  readonly #controller = new AbortController();
  readonly #options: LifeOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #cancel = () => this.#abort(new GatewayError('CANCELLED', `${this.#options.host}: given up by the caller`));

  constructor(options: LifeOptions) {
    this.#options = options;
    const { host, signal, totalTimeoutMs } = options;
    const seconds = totalTimeoutMs / 1000;
    this.#timer = setTimeout(
      () => this.#abort(new GatewayError('UNAVAILABLE', `${host}: not finished within ${seconds} s`)),
      totalTimeoutMs,
    );
    this.#timer.unref();
    if (signal.aborted) this.#cancel();
    else signal.addEventListener('abort', this.#cancel, { once: true });
  }

  /** Its reason is the GatewayError to throw. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#options.signal.removeEventListener('abort', this.#cancel);
  }

  #abort(reason: GatewayError): void {
    this.end();
    this.#controller.abort(reason);
  }
}
