/**
 * What passes through one door: the exchanges that are open, the bytes they hold, and the sweep that cuts those which stand
 * still. One timer for all of them, because a timer for each request costs 1 µs.
 *
 * Must not know engines.
 */
import type { DoorLoad } from '../core/door-load.js';
import { ByteBudget } from './body.js';
import type { Exchange } from './exchange.js';
import { OpenExchanges } from './open-exchanges.js';
import type { HttpOptions, Route } from './transport.js';

export class Traffic {
  readonly route: Route;
  readonly options: HttpOptions;
  readonly requestBudget: ByteBudget;
  readonly responseBudget: ByteBudget;
  readonly open = new OpenExchanges<Exchange>();
  /** The port is closed: what still arrives is refused, and every answer ends its connection. */
  isClosing = false;
  readonly #sweep: NodeJS.Timeout;
  /** Undefined where the engine has not told of any. */
  #connections: number | undefined;

  constructor(route: Route, options: HttpOptions) {
    const { bufferedBytesMax, bodyTimeoutMs, writeTimeoutMs } = options;
    this.route = route;
    this.options = options;
    this.requestBudget = new ByteBudget(bufferedBytesMax);
    this.responseBudget = new ByteBudget(bufferedBytesMax);
    this.#sweep = setInterval(
      () => this.#checkDeadlines(),
      Math.max(10, Math.min(1000, bodyTimeoutMs / 4, writeTimeoutMs / 4)),
    );
    this.#sweep.unref();
  }

  /** @param step 1 = a connection has come, -1 = one has gone */
  counted(step: number): void {
    this.#connections = (this.#connections ?? 0) + step;
  }

  get load(): DoorLoad {
    const { requestBudget, responseBudget } = this;
    return { connections: this.#connections, requestBytes: requestBudget.held, responseBytes: responseBudget.held };
  }

  #checkDeadlines(): void {
    const now = this.options.now();
    for (const exchange of this.open.all()) exchange.checkDeadline(now);
  }

  /** Ends every exchange, answered or not. */
  end(): void {
    clearInterval(this.#sweep);
    for (const exchange of this.open.all()) exchange.disconnect();
  }
}
