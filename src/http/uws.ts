/**
 * The transport on uWebSockets.js.
 *
 * Its parser is fast and lenient, its objects die early and its process dies with an uncaught throw, so the rules here are
 * (runtime §5): the abort listener is the first statement; the native request is read in the synchronous part and never
 * after; the native response is dropped the moment it is answered or aborted, so that nothing can touch it afterwards;
 * writes are corked.
 *
 * Must not know URLs or JSON.
 */
import type { DoorLoad } from '../core/door-load.js';
import { Exchange, type Head, type Wire } from './exchange.js';
import { cleanValue } from './framing.js';
import { piecesOf, sizeOf, statusLine, wholeBody } from './response-bytes.js';
import { Traffic } from './traffic.js';
import type { Door, Engine, HttpOptions, HttpResponse, Route } from './transport.js';
import type { UwsApp, UwsBuild, UwsRequest, UwsResponse } from './uws-build.js';

/** Above this an answer is offered piece by piece and watched; below, the kernel takes it whole. */
const watchedBytes = 16 * 1024;

export function listenUws(build: UwsBuild, engine: Engine, route: Route, options: HttpOptions): Promise<Door> {
  const { host, port } = options;
  const traffic = new Traffic(route, options);
  const app = build.App().any('/*', (response, request) => accept(traffic, response, request));
  if (app.filter?.((_, step) => traffic.counted(step)) !== undefined) traffic.counted(0);
  return new Promise((resolve, reject) => {
    // The library shares the port (SO_REUSEPORT) with other processes, unless it is 0.
    app.listen(host, port, (socket) => {
      if (socket) resolve(new UwsDoor(build, engine, { app, socket, traffic }));
      else {
        traffic.end();
        reject(new Error(`cannot listen on ${host}:${port}`));
      }
    });
  });
}

class UwsDoor implements Door {
  readonly engine: Engine;
  readonly port: number;
  readonly #build: UwsBuild;
  readonly #app: UwsApp;
  readonly #traffic: Traffic;
  readonly #socket: unknown;
  #isListening = true;

  constructor(build: UwsBuild, engine: Engine, parts: { app: UwsApp; socket: unknown; traffic: Traffic }) {
    this.engine = engine;
    this.port = build.us_socket_local_port(parts.socket);
    this.#build = build;
    this.#app = parts.app;
    this.#socket = parts.socket;
    this.#traffic = parts.traffic;
  }

  get inFlight(): number {
    return this.#traffic.open.size;
  }

  get load(): DoorLoad {
    return this.#traffic.load;
  }

  stopListening(): void {
    if (!this.#isListening) return;
    this.#isListening = false;
    this.#build.us_listen_socket_close(this.#socket);
  }

  stopAccepting(): void {
    this.stopListening();
    this.#traffic.isClosing = true;
  }

  async close(): Promise<void> {
    this.stopAccepting();
    this.#traffic.end();
    this.#app.close?.();
  }
}

/** Never throws: an exception that reaches native code ends the process. */
function accept(traffic: Traffic, response: UwsResponse, request: UwsRequest): void {
  const wire = new UwsWire(response);
  response.onAborted(() => wire.abort());
  try {
    wire.exchange = new Exchange(traffic, wire, headOf(request));
    wire.exchange.begin();
  } catch {
    wire.disconnect();
  }
}

function headOf(request: UwsRequest): Head {
  const headers: string[] = [];
  request.forEach((name, value) => {
    headers.push(name, value);
  });
  return { method: request.getCaseSensitiveMethod(), path: request.getUrl(), query: request.getQuery() ?? '', headers };
}

class UwsWire implements Wire {
  exchange: Exchange | undefined;
  /** Undefined from the moment the exchange is answered or aborted. */
  #response: UwsResponse | undefined;

  constructor(response: UwsResponse) {
    this.#response = response;
  }

  get peer(): string {
    return this.#response === undefined ? '' : addressText(new Uint8Array(this.#response.getRemoteAddress()));
  }

  receive(): void {
    this.#response?.onData((chunk, isLast) => {
      try {
        this.exchange!.take(new Uint8Array(chunk));
        if (isLast) this.exchange!.takeEnd();
      } catch {
        this.disconnect();
      }
    });
  }

  refuse(answer: () => void): void {
    // The parser reads on after an answer, but closes the connection when a request follows one that has none yet. So the
    // answer waits until the whole packet has been read.
    setImmediate(answer);
  }

  abort(): void {
    this.#response = undefined;
    this.exchange?.over();
  }

  disconnect(): void {
    // Calls the abort listener.
    this.#response?.close();
  }

  send(answer: HttpResponse, isLast: boolean): void {
    this.#response?.cork(() => this.#write(this.#response!, answer, isLast));
  }

  #write(response: UwsResponse, { status, headers, common, body }: HttpResponse, isLast: boolean): void {
    if (status !== 200) response.writeStatus(statusLine(status));
    if (headers.length > 0) {
      // The library writes name and value as they are. One call for all headers saves a microsecond: a call costs more than text.
      let rest = cleanValue(headers[0]![1]);
      for (let i = 1; i < headers.length; i++) rest += `\r\n${headers[i]![0]}: ${cleanValue(headers[i]![1])}`;
      response.writeHeader(headers[0]![0], common === undefined ? rest : rest + common.text);
    }
    if (this.exchange!.method === 'HEAD') {
      response.endWithoutBody(sizeOf(body), isLast);
      this.abort();
      return;
    }
    // A character is at most three bytes, so a short text is known to be small without being measured.
    const isShort = typeof body === 'string' && body.length <= watchedBytes / 3;
    const bytes = isShort ? body.length : sizeOf(body);
    if (isShort || bytes <= watchedBytes) {
      response.end(isShort ? body : wholeBody(body), isLast);
      this.abort();
      return;
    }
    if (isLast) response.writeHeader('Connection', 'close');
    this.#offer(response, piecesOf(body), bytes);
  }

  /**
   * A large answer: as much as the socket takes now, the rest when it is writable again. Its pieces are never joined: a copy
   * of a megabyte for each request keeps the collector busy.
   */
  #offer(response: UwsResponse, pieces: readonly Uint8Array[], bytes: number): void {
    const exchange = this.exchange!;
    const from = response.getWriteOffset();
    /** @returns whether the socket took what it was offered */
    const offer = (offset: number): boolean => {
      for (let at = offset - from; ; at = response.getWriteOffset() - from) {
        const [isTaken, isDone] = response.tryEnd(restFrom(pieces, at), bytes);
        if (isDone) this.abort();
        if (isDone || !isTaken) return isTaken;
      }
    };
    offer(from);
    if (this.#response === undefined) return;
    if (!exchange.hold(bytes)) {
      this.disconnect();
      return;
    }
    response.onWritable((offset) => {
      if (this.#response === undefined) return true;
      exchange.progress();
      return offer(offset);
    });
  }
}

/** What is left of the piece in which byte `at` of all of them lies. */
function restFrom(pieces: readonly Uint8Array[], at: number): Uint8Array {
  let left = at;
  for (const piece of pieces) {
    if (left < piece.length) return left === 0 ? piece : piece.subarray(left);
    left -= piece.length;
  }
  return new Uint8Array(0);
}

/** 4 or 16 bytes as an address; IPv4 inside IPv6 is written as IPv4. */
function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const isMapped = bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
  if (isMapped) return bytes.subarray(12).join('.');
  const groups: string[] = [];
  for (let i = 0; i + 1 < bytes.length; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  return groups.join(':');
}
