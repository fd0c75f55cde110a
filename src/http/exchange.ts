/**
 * One request and its answer, the same on every engine.
 *
 *   begin → route ─┬─ answer ────────────────────────────┐
 *                  └─ receive → take… → consume → answer ┴→ send → over
 *                        └─ too large, slow, gone → refuse ┘
 *
 * It is answered at most once, and nothing that a route or consumer throws leaves it: in the native engine an exception ends
 * the process.
 *
 * Must not know how bytes come and go: that is its `Wire`.
 */
import { GatewayError } from '../core/errors.js';
import { Cancellation } from '../core/inference.js';
import { BodyBuffer, type BodyFault } from './body.js';
import { bodyRefusals, checkHead, headerOf, refusal, shuttingDown } from './framing.js';
import type { Traffic } from './traffic.js';
import type { BodyConsumer, Decision, HttpRequest, HttpResponse } from './transport.js';

/** What an engine does for one exchange. */
export interface Wire {
  readonly peer: string;
  /** Lets the body come: from now on it calls `take` and then `takeEnd`. */
  receive(): void;
  /** Sends the answer and calls `over` when it is gone, `progress` while it goes. Called once at most. */
  send(answer: HttpResponse, isLast: boolean): void;
  /**
   * Calls `answer`, and sees to it that nothing else on this connection is served. Where doubtful framing ends, the next
   * request may be a smuggled one.
   */
  refuse(answer: () => void): void;
  /** Ends the connection, and calls `over`. */
  disconnect(): void;
}

export interface Head {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** Names in lower case and values by turns. */
  readonly headers: readonly string[];
}

export class Exchange implements HttpRequest {
  /** @see OpenExchanges */
  slot = 0;
  readonly cancellation = new Cancellation();
  readonly receivedAt: number;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly #headers: readonly string[];
  readonly #traffic: Traffic;
  readonly #wire: Wire;
  #body: BodyBuffer | undefined;
  #isBodyWhole = false;
  #consumer: BodyConsumer | undefined;
  #isAnswered = false;
  #isOver = false;
  /** Since when the answer has stood still. */
  #stillSince = 0;
  #heldBytes = 0;

  constructor(traffic: Traffic, wire: Wire, head: Head) {
    this.receivedAt = traffic.options.now();
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    this.#headers = head.headers;
    this.#traffic = traffic;
    this.#wire = wire;
    traffic.open.add(this);
  }

  header(name: string): string | undefined {
    return headerOf(this.#headers, name);
  }

  get peer(): string {
    return this.#wire.peer;
  }

  begin(): void {
    try {
      const refused = checkHead(this.path, this.#headers);
      if (refused !== undefined) this.#wire.refuse(() => this.#answer(refused));
      else if (this.#traffic.isClosing) this.#answer(shuttingDown());
      else this.#decide(this.#traffic.route(this));
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #decide(decision: Decision | Promise<Decision>): void {
    if (decision instanceof Promise) {
      // The body would be lost if nobody took it meanwhile.
      this.#receive();
      decision.then((late) => this.#follow(late)).catch((thrown: unknown) => this.#fail(thrown));
    } else this.#follow(decision);
  }

  #follow(decision: Decision): void {
    if (!('consume' in decision)) {
      this.#answer(decision);
      return;
    }
    this.#consumer = decision;
    if (this.#isOver || this.#isAnswered) {
      this.#refuse({ status: 499, error: bodyRefusals.gone() });
      return;
    }
    const declared = Number(this.header('content-length') ?? 0);
    const { bodyBytesMax } = this.#traffic.options;
    if (declared > bodyBytesMax) this.#refuse({ status: 413, error: bodyRefusals.tooLarge(declared, bodyBytesMax) });
    else if (this.#isBodyWhole) this.#consume();
    else if (this.#body === undefined) this.#receive();
  }

  #receive(): void {
    const isChunked = this.header('transfer-encoding') !== undefined;
    this.#body = new BodyBuffer(this.#traffic.requestBudget, this.#traffic.options.bodyBytesMax, isChunked);
    this.#wire.receive();
  }

  /** A piece of the body, which is copied. */
  take(piece: Uint8Array): void {
    if (this.#isAnswered || this.#body === undefined) return;
    const fault = this.#body.add(piece);
    if (fault !== undefined) this.#refuse(fault);
  }

  takeEnd(): void {
    if (this.#isAnswered || this.#isBodyWhole) return;
    this.#isBodyWhole = true;
    if (this.#consumer !== undefined) this.#consume();
  }

  #consume(): void {
    const consumer = this.#consumer!;
    this.#consumer = undefined;
    try {
      const answer = consumer.consume(this.#body!.whole());
      if (!(answer instanceof Promise)) this.#answer(answer);
      else {
        answer.then(
          (late) => this.#answer(late),
          (thrown) => this.#fail(thrown),
        );
      }
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  /** The body cannot be had. While the route is undecided there is no consumer to word the answer. */
  #refuse(fault: BodyFault): void {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    try {
      const answer = consumer?.refuse(fault.status, fault.error) ?? refusal(fault.status, fault.error.message);
      this.#answer({ ...answer, isLast: true });
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    this.#answer(refusal(500, GatewayError.from(thrown).message));
  }

  #answer(answer: HttpResponse): void {
    if (this.#isAnswered || this.#isOver) return;
    this.#isAnswered = true;
    this.#stillSince = this.receivedAt;
    try {
      this.#wire.send(answer, answer.isLast === true || this.#traffic.isClosing);
    } catch {
      // The engine refused the answer itself; what it may have written of it is worth nothing.
      this.disconnect();
    }
  }

  /** Something of the answer was taken. */
  progress(): void {
    this.#stillSince = this.#traffic.options.now();
  }

  /** Counts bytes of the answer that the engine must keep. @returns false when the door holds too many already */
  hold(bytes: number): boolean {
    this.progress();
    if (!this.#traffic.responseBudget.take(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /** Cuts what has stood still for too long. */
  checkDeadline(now: number): void {
    const { bodyTimeoutMs, writeTimeoutMs } = this.#traffic.options;
    if (this.#isAnswered) {
      if (now - this.#stillSince > writeTimeoutMs) this.disconnect();
    } else if (this.#body !== undefined && !this.#isBodyWhole && now - this.receivedAt > bodyTimeoutMs) {
      this.#refuse({ status: 408, error: bodyRefusals.tooSlow() });
    }
  }

  disconnect(): void {
    this.#wire.disconnect();
  }

  /** The answer is sent, or the client is gone. */
  over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#traffic.open.delete(this);
    this.#traffic.responseBudget.give(this.#heldBytes);
    this.#body?.release();
    if (this.#isAnswered) return;
    this.cancellation.cancel();
    if (this.#consumer !== undefined) this.#refuse({ status: 499, error: bodyRefusals.gone() });
  }
}
