/**
 * Closed-loop gRPC load, by a process of our own.
 *
 * Must not know servers or cells.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './children.js';
import type { Load } from './load.js';

export interface GrpcLoadOptions {
  readonly address: string;
  readonly message: Buffer;
  readonly connections: number;
  readonly inFlightPerConnection: number;
  readonly kind: 'call' | 'stream';
  readonly directory: string;
}

const program = fileURLToPath(new URL('./grpc-load.js', import.meta.url));
let messages = 0;

export function grpcLoad(options: GrpcLoadOptions): Load {
  const { address, message, connections, inFlightPerConnection, kind, directory } = options;
  messages++;
  const file = join(directory, `message-${messages}.bin`);
  writeFileSync(file, message);
  return async (seconds) => {
    const args = [program, address, file, connections, inFlightPerConnection, seconds, kind];
    const output = await run(process.execPath, args.map(String), (seconds + 20) * 1000);
    const figures = output.split(' ').slice(1).map(Number) as [number, number, number, number, number];
    const [requests, us, p50Us, p99Us, errors] = figures;
    return { requests, seconds: us / 1e6, p50Us, p99Us, errors };
  };
}
