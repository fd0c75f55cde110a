/**
 * The transport on uWebSockets.js.
 *
 * Its parser is fast and lenient, its objects die early and its process dies with an uncaught throw, so the rules here are
 * (runtime §5): the abort listener is the first statement; everything that can throw is in a try; the native request is
 * read in the synchronous part and never after; the native response is dropped from the exchange the moment it is answered
 * or aborted, so that nothing can touch it afterwards; chunks are copied; writes are corked.
 *
 * Must not know URLs or JSON.
 */
import { GatewayError } from '../core/errors.js';
import { Cancellation } from '../core/inference.js';
import { BodyBuffer, type BodyFault, ByteBudget } from './body.js';
import { bodyRefusals, checkHead, cleanValue, headerOf, refusal, shuttingDown } from './framing.js';
import { sizeOf, statusLine, wholeBody } from './response-bytes.js';
import type { BodyConsumer, Decision, Door, Engine, HttpOptions, HttpRequest, HttpResponse, Route } from './transport.js';
import type { UwsApp, UwsBuild, UwsRequest, UwsResponse } from './uws-build.js';

/** Above this an answer is offered piece by piece and watched; below, the kernel takes it whole. */
const watchedBytes = 16 * 1024;

export function listenUws(build: UwsBuild, engine: Engine, route: Route, options: HttpOptions): Promise<Door> {
  const door = new UwsDoor(build, engine, route, options);
  return door.listen();
}

class UwsDoor implements Door {
  readonly engine: Engine;
  readonly route: Route;
  readonly options: HttpOptions;
  readonly requestBudget: ByteBudget;
  readonly responseBudget: ByteBudget;
  readonly open = new Set<UwsExchange>();
  port = 0;
  isClosing = false;
  readonly #build: UwsBuild;
  readonly #app: UwsApp;
  #socket: unknown;
  #sweep: NodeJS.Timeout | undefined;

  constructor(build: UwsBuild, engine: Engine, route: Route, options: HttpOptions) {
    this.engine = engine;
    this.route = route;
    this.options = options;
    this.requestBudget = new ByteBudget(options.bufferedBytesMax);
    this.responseBudget = new ByteBudget(options.bufferedBytesMax);
    this.#build = build;
    this.#app = build.App();
    this.#app.any('/*', (response, request) => new UwsExchange(this, response).begin(request));
  }

  get inFlight(): number {
    return this.open.size;
  }

  listen(): Promise<Door> {
    const { host, port, bodyTimeoutMs, writeTimeoutMs } = this.options;
    return new Promise((resolve, reject) => {
      this.#app.listen(host, port, 0, (socket) => {
        if (!socket) return reject(new Error(`cannot listen on ${host}:${port}`));
        this.#socket = socket;
        this.port = this.#build.us_socket_local_port(socket);
        const everyMs = Math.max(10, Math.min(1000, bodyTimeoutMs / 4, writeTimeoutMs / 4));
        this.#sweep = setInterval(() => this.#checkDeadlines(), everyMs);
        this.#sweep.unref();
        resolve(this);
      });
    });
  }

  #checkDeadlines(): void {
    const now = this.options.now();
    for (const exchange of this.open) exchange.checkDeadline(now);
  }

  stopAccepting(): void {
    this.isClosing = true;
    if (this.#socket === undefined) return;
    this.#build.us_listen_socket_close(this.#socket);
    this.#socket = undefined;
  }

  async close(): Promise<void> {
    this.stopAccepting();
    clearInterval(this.#sweep);
    for (const exchange of this.open) exchange.disconnect();
    this.#app.close?.();
  }
}

/** One request and its answer. */
class UwsExchange implements HttpRequest {
  readonly cancellation = new Cancellation();
  readonly receivedAt: number;
  method = '';
  path = '';
  query = '';
  readonly #door: UwsDoor;
  readonly #headers: string[] = [];
  /** Undefined from the moment the exchange is answered or aborted. */
  #response: UwsResponse | undefined;
  #body: BodyBuffer | undefined;
  #isBodyWhole = false;
  #consumer: BodyConsumer | undefined;
  /** Since when the answer has stood still; 0 = it is not being written. */
  #stillSince = 0;
  #heldBytes = 0;

  constructor(door: UwsDoor, response: UwsResponse) {
    response.onAborted(() => this.#abort());
    this.#door = door;
    this.#response = response;
    this.receivedAt = door.options.now();
    door.open.add(this);
  }

  /** Never throws: an exception that reaches native code ends the process. */
  begin(request: UwsRequest): void {
    try {
      const headers = this.#headers;
      this.method = request.getCaseSensitiveMethod();
      this.path = request.getUrl();
      this.query = request.getQuery() ?? '';
      request.forEach((name, value) => {
        headers.push(name, value);
      });
      const refused = checkHead(this.path, headers);
      if (refused !== undefined) return this.#answer(refused);
      if (this.#door.isClosing) return this.#answer(shuttingDown());
      const decision = this.#door.route(this);
      if (!(decision instanceof Promise)) return this.#follow(decision);
      this.#receive();
      decision.then(
        (late) => this.#guard(() => this.#follow(late)),
        (thrown) => this.#fail(thrown),
      );
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  header(name: string): string | undefined {
    return headerOf(this.#headers, name);
  }

  get peer(): string {
    return this.#response === undefined ? '' : addressText(new Uint8Array(this.#response.getRemoteAddress()));
  }

  /** Every second or so: cuts bodies and readers that have stood still for too long. */
  checkDeadline(now: number): void {
    const { bodyTimeoutMs, writeTimeoutMs } = this.#door.options;
    if (this.#stillSince > 0) {
      if (now - this.#stillSince > writeTimeoutMs) this.disconnect();
    } else if (this.#body !== undefined && !this.#isBodyWhole && now - this.receivedAt > bodyTimeoutMs) {
      this.#guard(() => this.#refuse({ status: 408, error: bodyRefusals.tooSlow() }));
    }
  }

  /** Ends the connection. */
  disconnect(): void {
    // Calls the abort listener, which cleans up.
    this.#response?.close();
  }

  #follow(decision: Decision): void {
    if (!('consume' in decision)) return this.#answer(decision);
    if (this.cancellation.isCancelled) {
      decision.refuse(499, bodyRefusals.gone());
      return;
    }
    this.#consumer = decision;
    const declared = Number(this.header('content-length') ?? 0);
    const { bodyBytesMax } = this.#door.options;
    if (declared > bodyBytesMax) this.#refuse({ status: 413, error: bodyRefusals.tooLarge(declared, bodyBytesMax) });
    else if (this.#isBodyWhole) this.#consume();
    else if (this.#body === undefined) this.#receive();
  }

  #receive(): void {
    const isChunked = this.header('transfer-encoding') !== undefined;
    this.#body = new BodyBuffer(this.#door.requestBudget, this.#door.options.bodyBytesMax, isChunked);
    this.#response!.onData((chunk, isLast) => this.#take(chunk, isLast));
  }

  #take(chunk: ArrayBuffer, isLast: boolean): void {
    if (this.#body === undefined || this.#response === undefined) return;
    try {
      const fault = this.#body.add(new Uint8Array(chunk));
      if (fault !== undefined) return this.#refuse(fault);
      if (!isLast) return;
      this.#isBodyWhole = true;
      if (this.#consumer !== undefined) this.#consume();
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #consume(): void {
    const answer = this.#consumer!.consume(this.#body!.whole());
    this.#consumer = undefined;
    if (!(answer instanceof Promise)) return this.#answer(answer);
    answer.then(
      (late) => this.#guard(() => this.#answer(late)),
      (thrown) => this.#fail(thrown),
    );
  }

  /** A body that cannot be had. While the route is undecided the transport answers by itself. */
  #refuse(fault: BodyFault): void {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    const answer = consumer?.refuse(fault.status, fault.error) ?? refusal(fault.status, fault.error.message);
    this.#answer({ ...answer, isLast: true });
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    try {
      this.#answer(refusal(500, GatewayError.from(thrown).message));
    } catch {
      this.disconnect();
    }
  }

  #abort(): void {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    this.#end();
    this.cancellation.cancel();
    try {
      consumer?.refuse(499, bodyRefusals.gone());
    } catch {
      // Nobody is left to be told, and a throw here would end the process.
    }
  }

  /** The native response is not ours any more. */
  #end(): void {
    this.#response = undefined;
    this.#body?.release();
    this.#body = undefined;
    this.#door.responseBudget.give(this.#heldBytes);
    this.#heldBytes = 0;
    this.#door.open.delete(this);
  }

  #answer(answer: HttpResponse): void {
    this.#response?.cork(() => this.#write(answer));
  }

  #write(answer: HttpResponse): void {
    const response = this.#response!;
    const { headers } = answer;
    const isLast = answer.isLast === true || this.#door.isClosing;
    if (answer.status !== 200) response.writeStatus(statusLine(answer.status));
    for (let i = 0; i < headers.length; i++) response.writeHeader(headers[i]![0], cleanValue(headers[i]![1]));
    if (this.method === 'HEAD') {
      response.endWithoutBody(sizeOf(answer.body), isLast);
      return this.#end();
    }
    const { body } = answer;
    const isSmall = typeof body === 'string' && body.length < watchedBytes / 4;
    if (isSmall) {
      response.end(body, isLast);
      return this.#end();
    }
    const bytes = wholeBody(body);
    if (bytes.length <= watchedBytes) {
      response.end(bytes, isLast);
      return this.#end();
    }
    if (isLast) response.writeHeader('Connection', 'close');
    this.#offer(response, bytes);
  }

  /** A large answer: as much as the socket takes now, the rest when it is writable again. */
  #offer(response: UwsResponse, bytes: Uint8Array): void {
    const from = response.getWriteOffset();
    if (response.tryEnd(bytes, bytes.length)[1]) return this.#end();
    if (!this.#door.responseBudget.take(bytes.length)) return this.disconnect();
    this.#heldBytes = bytes.length;
    this.#stillSince = this.#door.options.now();
    response.onWritable((offset) => {
      if (this.#response === undefined) return true;
      this.#stillSince = this.#door.options.now();
      const [isTaken, isDone] = response.tryEnd(bytes.subarray(offset - from), bytes.length);
      if (isDone) this.#end();
      return isTaken;
    });
  }
}

/** 4 or 16 bytes as an address; IPv4 inside IPv6 is written as IPv4. */
function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const isMapped = bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
  if (isMapped) return bytes.subarray(12).join('.');
  const groups: string[] = [];
  for (let i = 0; i + 1 < bytes.length; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  return groups.join(':');
}
