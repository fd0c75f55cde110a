/**
 * The two builds of uWebSockets.js and what we use of them. The only file that loads native HTTP code.
 *
 * Both are optional packages: the first needs glibc 2.38, the second runs on older ones and lacks what came later, so only
 * what both have is named here. Of the second only the native file is loaded, not the package around it.
 *
 * Must not know requests.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { headerBytesMax } from './framing.js';

export interface UwsRequest {
  getUrl(): string;
  getQuery(): string;
  getCaseSensitiveMethod(): string;
  forEach(visit: (name: string, value: string) => void): void;
}

export interface UwsResponse {
  onAborted(listener: () => void): unknown;
  onData(listener: (chunk: ArrayBuffer, isLast: boolean) => void): unknown;
  onWritable(listener: (offset: number) => boolean): unknown;
  writeStatus(status: string): unknown;
  writeHeader(name: string, value: string): unknown;
  end(body: string | Uint8Array, closeConnection: boolean): unknown;
  endWithoutBody(reportedBytes: number, closeConnection: boolean): unknown;
  /** @returns whether all was taken, and whether the answer is complete */
  tryEnd(body: Uint8Array, totalBytes: number): [boolean, boolean];
  getWriteOffset(): number;
  getRemoteAddress(): ArrayBuffer;
  cork(write: () => void): unknown;
  close(): unknown;
}

export interface UwsApp {
  any(pattern: string, listener: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  listen(host: string, port: number, listener: (socket: unknown) => void): UwsApp;
  /** Absent in the older build. */
  close?(): unknown;
  /** Tells 1 for a connection that has come, -1 for one that has gone. Absent in the older build. */
  filter?(listener: (response: unknown, step: number) => void): unknown;
}

export interface UwsBuild {
  App(): UwsApp;
  us_listen_socket_close(socket: unknown): void;
  us_socket_local_port(socket: unknown): number;
}

/** The build of that name, or undefined where it does not load. */
export function loadUws(engine: 'uws' | 'uws-glibc227'): UwsBuild | undefined {
  // Read once by the native code, when it loads.
  process.env.UWS_HTTP_MAX_HEADERS_SIZE = String(headerBytesMax);
  const require = createRequire(import.meta.url);
  try {
    if (engine === 'uws') return require('uWebSockets.js') as UwsBuild;
    const file = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
    return require(join(dirname(require.resolve('uws-glibc227/package.json')), 'binaries', file)) as UwsBuild;
  } catch {
    return undefined;
  }
}
