/**
 * The transport on node:http: where the native engine does not load, and on the control port.
 *
 * Its parser is strict; what it still lets through (two Host headers, other transfer codings, HTTP/1.0) is refused here, and
 * its times and limits are set to those of the native engine, so that a client or a balancer sees no difference.
 *
 * Must not know URLs or JSON.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../core/errors.js';
import { Cancellation } from '../core/inference.js';
import { BodyBuffer, type BodyFault, ByteBudget } from './body.js';
import { bodyRefusals, checkHead, cleanValue, headerBytesMax, headerOf, refusal, shuttingDown } from './framing.js';
import { statusLine, wholeBody } from './response-bytes.js';
import type { BodyConsumer, Decision, Door, HttpOptions, HttpRequest, HttpResponse, Route } from './transport.js';

/** Answers are written in pieces of this size, so that progress can be seen. */
const pieceBytes = 64 * 1024;

export function listenNode(route: Route, options: HttpOptions): Promise<Door> {
  return new NodeDoor(route, options).listen();
}

class NodeDoor implements Door {
  readonly engine = 'node';
  readonly route: Route;
  readonly options: HttpOptions;
  readonly requestBudget: ByteBudget;
  readonly responseBudget: ByteBudget;
  readonly open = new Set<NodeExchange>();
  port = 0;
  isClosing = false;
  readonly #server: http.Server;
  #sweep: NodeJS.Timeout | undefined;

  constructor(route: Route, options: HttpOptions) {
    this.route = route;
    this.options = options;
    this.requestBudget = new ByteBudget(options.bufferedBytesMax);
    this.responseBudget = new ByteBudget(options.bufferedBytesMax);
    this.#server = http.createServer({
      maxHeaderSize: headerBytesMax,
      headersTimeout: 12_000,
      // Bodies have a deadline of our own, which can answer 408.
      requestTimeout: 0,
      keepAliveTimeout: 10_000,
      connectionsCheckingInterval: 1000,
    });
    // Headers beyond such a limit would vanish without a word; they are counted with the others.
    this.#server.maxHeadersCount = 0;
    this.#server.on('request', (request, response) => new NodeExchange(this, request, response).begin());
    this.#server.on('checkContinue', (request, response) => new NodeExchange(this, request, response).begin());
    this.#server.on('clientError', refuseSocket);
  }

  get inFlight(): number {
    return this.open.size;
  }

  listen(): Promise<Door> {
    const { host, port, bodyTimeoutMs, writeTimeoutMs } = this.options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        this.port = (this.#server.address() as AddressInfo).port;
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
    if (this.isClosing) return;
    this.isClosing = true;
    this.#server.close();
  }

  async close(): Promise<void> {
    this.stopAccepting();
    clearInterval(this.#sweep);
    this.#server.closeAllConnections();
  }
}

/** Answers what the parser itself refused. */
function refuseSocket(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const { body } = refusal(status, status === 431 ? 'Request Header Fields Too Large' : 'Bad Request');
  const head = `HTTP/1.1 ${statusLine(status)}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close`;
  socket.end(`${head}\r\n\r\n${body}`, () => socket.destroy());
}

/** One request and its answer. */
class NodeExchange implements HttpRequest {
  readonly cancellation = new Cancellation();
  readonly receivedAt: number;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly #door: NodeDoor;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #headers: string[];
  #isAnswered = false;
  #isOver = false;
  #body: BodyBuffer | undefined;
  #isBodyWhole = false;
  #consumer: BodyConsumer | undefined;
  #stillSince = 0;
  #heldBytes = 0;

  constructor(door: NodeDoor, request: IncomingMessage, response: ServerResponse) {
    const url = request.url ?? '';
    const mark = url.indexOf('?');
    this.#door = door;
    this.#request = request;
    this.#response = response;
    this.receivedAt = door.options.now();
    this.method = request.method ?? '';
    this.path = mark === -1 ? url : url.slice(0, mark);
    this.query = mark === -1 ? '' : url.slice(mark + 1);
    this.#headers = request.rawHeaders.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));
    door.open.add(this);
    response.on('close', () => this.#close());
    request.on('error', () => {});
  }

  begin(): void {
    this.#guard(() => {
      const refused = checkHead(this.path, this.#headers);
      if (refused !== undefined) return this.#answer(refused);
      if (this.#request.httpVersion !== '1.1') return this.#answer(refusal(505, 'HTTP Version Not Supported'));
      if (this.#door.isClosing) return this.#answer(shuttingDown());
      const decision = this.#door.route(this);
      if (!(decision instanceof Promise)) return this.#follow(decision);
      this.#receive();
      decision.then(
        (late) => this.#guard(() => this.#follow(late)),
        (thrown) => this.#fail(thrown),
      );
    });
  }

  header(name: string): string | undefined {
    return headerOf(this.#headers, name);
  }

  get peer(): string {
    const address = (this.#request.socket as Socket).remoteAddress ?? '';
    return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  }

  checkDeadline(now: number): void {
    const { bodyTimeoutMs, writeTimeoutMs } = this.#door.options;
    if (this.#isAnswered) {
      if (now - this.#stillSince > writeTimeoutMs) this.#request.socket.destroy();
    } else if (this.#body !== undefined && !this.#isBodyWhole && now - this.receivedAt > bodyTimeoutMs) {
      this.#guard(() => this.#refuse({ status: 408, error: bodyRefusals.tooSlow() }));
    }
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
    if (this.header('expect') !== undefined) this.#response.writeContinue();
    this.#request.on('data', (chunk: Buffer) => this.#guard(() => this.#take(chunk)));
    this.#request.on('end', () =>
      this.#guard(() => {
        this.#isBodyWhole = true;
        if (this.#consumer !== undefined) this.#consume();
      }),
    );
  }

  #take(chunk: Buffer): void {
    if (this.#isAnswered || this.#body === undefined) return;
    const fault = this.#body.add(chunk);
    if (fault !== undefined) this.#refuse(fault);
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
      this.#request.socket.destroy();
    }
  }

  /** The exchange is over: the answer is written, or the client has gone. */
  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const consumer = this.#consumer;
    this.#consumer = undefined;
    this.#body?.release();
    this.#door.responseBudget.give(this.#heldBytes);
    this.#door.open.delete(this);
    if (this.#isAnswered) return;
    this.cancellation.cancel();
    consumer?.refuse(499, bodyRefusals.gone());
  }

  #answer(answer: HttpResponse): void {
    if (this.#isAnswered || this.#isOver) return;
    this.#isAnswered = true;
    this.#stillSince = this.#door.options.now();
    const bytes = wholeBody(answer.body);
    const headers: [string, string][] = answer.headers.map(([name, value]) => [name, cleanValue(value)]);
    headers.push(['Content-Length', String(bytes.length)]);
    const isLast = answer.isLast === true || this.#door.isClosing;
    if (isLast) headers.push(['Connection', 'close']);
    if (!this.#door.responseBudget.take(bytes.length)) {
      this.#request.socket.destroy();
      return;
    }
    this.#heldBytes = bytes.length;
    this.#response.writeHead(answer.status, headers.flat());
    if (this.method === 'HEAD' || bytes.length <= pieceBytes) this.#response.end(bytes);
    else this.#writePieces(bytes, 0);
  }

  #writePieces(bytes: Uint8Array, from: number): void {
    let at = from;
    while (at < bytes.length) {
      const isTaken = this.#response.write(bytes.subarray(at, at + pieceBytes));
      at += pieceBytes;
      if (!isTaken && at < bytes.length) {
        this.#response.once('drain', () => {
          this.#stillSince = this.#door.options.now();
          this.#writePieces(bytes, at);
        });
        return;
      }
    }
    this.#response.end();
  }
}
