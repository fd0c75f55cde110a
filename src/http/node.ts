/**
 * The transport on node:http: where the native engine does not load, and on the control port.
 *
 * Its parser is strict; what it still lets through (two Host headers, other transfer codings, HTTP/1.0) is refused as on the
 * native engine, and its times and limits are set to those, so that a client or a balancer sees no difference.
 *
 * Must not know URLs or JSON.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { DoorLoad } from '../core/door-load.js';
import { Exchange, type Wire } from './exchange.js';
import { cleanValue, headerBytesMax, refusal } from './framing.js';
import { statusLine, wholeBody } from './response-bytes.js';
import { Traffic } from './traffic.js';
import type { Door, HttpOptions, HttpResponse, Route } from './transport.js';

/** Large answers are written in pieces of this size, so that progress can be seen. */
const pieceBytes = 64 * 1024;

export function listenNode(route: Route, options: HttpOptions): Promise<Door> {
  const traffic = new Traffic(route, options);
  traffic.counted(0);
  const server = http.createServer({
    maxHeaderSize: headerBytesMax,
    headersTimeout: 12_000,
    // Bodies have a deadline of our own, which answers 408.
    requestTimeout: 0,
    keepAliveTimeout: 10_000,
    connectionsCheckingInterval: 1000,
    // A request without Host is refused with the others, in our form.
    requireHostHeader: false,
  });
  // Headers beyond such a limit would vanish without a word; they are counted instead.
  server.maxHeadersCount = 0;
  const connections = new WeakMap<Socket, Connection>();
  const accept = (request: IncomingMessage, response: ServerResponse) => {
    const connection = connections.get(request.socket);
    if (connection !== undefined && !connection.isEnding)
      new NodeWire(traffic, connection, { request, response }).begin();
  };
  server.on('connection', (socket) => {
    const connection: Connection = { open: new Set(), isEnding: false };
    connections.set(socket, connection);
    traffic.counted(1);
    // An answer that waits behind another one is never told that its socket is gone.
    socket.on('close', () => {
      traffic.counted(-1);
      for (const exchange of connection.open) exchange.over();
    });
  });
  server.on('request', accept);
  server.on('checkContinue', accept);
  server.on('clientError', refuseSocket);
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      traffic.end();
      reject(error);
    });
    server.listen(options.port, options.host, () => {
      server.removeAllListeners('error');
      resolve(new NodeDoor(server, traffic));
    });
  });
}

class NodeDoor implements Door {
  readonly engine = 'node';
  readonly port: number;
  readonly #server: http.Server;
  readonly #traffic: Traffic;

  constructor(server: http.Server, traffic: Traffic) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#traffic = traffic;
  }

  get inFlight(): number {
    return this.#traffic.open.size;
  }

  get load(): DoorLoad {
    return this.#traffic.load;
  }

  stopListening(): void {
    if (this.#server.listening) this.#server.close();
  }

  stopAccepting(): void {
    this.stopListening();
    this.#traffic.isClosing = true;
  }

  async close(): Promise<void> {
    this.stopAccepting();
    this.#traffic.end();
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

/** What is known of a socket. */
interface Connection {
  readonly open: Set<Exchange>;
  /** Its last answer is given: what is pipelined behind is not served. */
  isEnding: boolean;
}

class NodeWire implements Wire {
  readonly #connection: Connection;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #exchange: Exchange;

  constructor(traffic: Traffic, connection: Connection, pair: { request: IncomingMessage; response: ServerResponse }) {
    const { request, response } = pair;
    const url = request.url ?? '';
    const mark = url.indexOf('?');
    this.#connection = connection;
    this.#request = request;
    this.#response = response;
    this.#exchange = new Exchange(traffic, this, {
      method: request.method ?? '',
      path: mark === -1 ? url : url.slice(0, mark),
      query: mark === -1 ? '' : url.slice(mark + 1),
      headers: request.rawHeaders.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text)),
    });
  }

  begin(): void {
    this.#connection.open.add(this.#exchange);
    this.#response.on('close', () => {
      this.#connection.open.delete(this.#exchange);
      this.#exchange.over();
    });
    this.#request.on('error', () => {});
    if (this.#request.httpVersion === '1.1') this.#exchange.begin();
    else this.refuse(() => this.send(refusal(505, 'HTTP Version Not Supported'), true));
  }

  get peer(): string {
    const address = this.#request.socket.remoteAddress ?? '';
    return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  }

  receive(): void {
    if (this.#request.headers.expect !== undefined) this.#response.writeContinue();
    this.#request.on('data', (chunk: Buffer) => this.#exchange.take(chunk));
    this.#request.on('end', () => this.#exchange.takeEnd());
  }

  refuse(answer: () => void): void {
    this.#connection.isEnding = true;
    answer();
  }

  disconnect(): void {
    this.#request.socket.destroy();
  }

  send(answer: HttpResponse, isLast: boolean): void {
    const bytes = wholeBody(answer.body);
    const headers: string[] = [];
    for (const [name, value] of [...answer.headers, ...(answer.common?.headers ?? [])])
      headers.push(name, cleanValue(value));
    headers.push('Content-Length', String(bytes.length));
    if (isLast) {
      headers.push('Connection', 'close');
      this.#connection.isEnding = true;
    }
    if (!this.#exchange.hold(bytes.length)) {
      this.disconnect();
      return;
    }
    this.#response.writeHead(answer.status, headers);
    if (this.#exchange.method === 'HEAD' || bytes.length <= pieceBytes) this.#response.end(bytes);
    else this.#writePieces(bytes, 0);
  }

  #writePieces(bytes: Uint8Array, from: number): void {
    for (let at = from; at < bytes.length; at += pieceBytes) {
      const isTaken = this.#response.write(bytes.subarray(at, at + pieceBytes));
      if (isTaken) continue;
      this.#response.once('drain', () => {
        this.#exchange.progress();
        this.#writePieces(bytes, at + pieceBytes);
      });
      return;
    }
    this.#response.end();
  }
}
