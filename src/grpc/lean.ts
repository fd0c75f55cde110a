/**
 * ModelInfer without grpc-js, on the HTTP/2 server that grpc-js has opened.
 *
 *   stream ─┬▶ POST ModelInfer, no encoding ─▶ LeanCall
 *           └▶ anything else                ─▶ the listener of grpc-js, as if nothing had happened
 *
 * The library spends several times as much on a small call as the inference takes. Its server is kept, because connections
 * are its work: their age, idle time, pings, limits, GOAWAY and drain go on counting, as HTTP/2 itself does, what is answered
 * here. Its public interface leads to no stream, so two fields are looked for by name; where they are not found, nothing is
 * changed and grpc-js answers everything.
 *
 * Must not know V2 messages.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { type LeanOptions, startLeanCall } from './lean-call.js';

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => void;

/** What is needed of the inside of a grpc-js server. */
interface Inside {
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>;
  /** Counts the streams of a connection for its idle time. */
  onStreamOpened(stream: ServerHttp2Stream): void;
}

const hotPath = '/inference.GRPCInferenceService/ModelInfer';

/**
 * @param server a grpc-js server that is bound
 * @returns whether calls are answered here; false leaves the server as it was
 */
export function leanOn(server: object, options: LeanOptions): boolean {
  if (!isInside(server)) return false;
  const found: { http2: Http2Server; theirs: StreamListener }[] = [];
  for (const http2 of server.http2Servers.keys()) {
    const listeners = typeof http2?.listeners === 'function' ? http2.listeners('stream') : [];
    if (listeners.length !== 1) return false;
    found.push({ http2, theirs: listeners[0] as StreamListener });
  }
  for (const { http2, theirs } of found) {
    http2.removeListener('stream', theirs);
    http2.on('stream', (stream, headers, ...rest) => {
      if (!isHot(headers)) return theirs(stream, headers, ...rest);
      server.onStreamOpened(stream);
      startLeanCall(stream, headers, options);
    });
  }
  return found.length > 0;
}

function isInside(server: object): server is Inside {
  const { http2Servers, onStreamOpened } = server as Partial<Inside>;
  return http2Servers instanceof Map && typeof onStreamOpened === 'function';
}

function isHot(headers: IncomingHttpHeaders): boolean {
  if (headers[':path'] !== hotPath || headers[':method'] !== 'POST') return false;
  const type = headers['content-type'];
  if (type !== 'application/grpc' && type !== 'application/grpc+proto') return false;
  const encoding = headers['grpc-encoding'];
  return encoding === undefined || encoding === 'identity';
}
