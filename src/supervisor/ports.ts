/**
 * Whether a port can be had, asked before K processes share it.
 *
 * The HTTP engine binds with SO_REUSEPORT, so a second server on the same port would start without a word and take half of
 * the connections. A bind without that option notices.
 *
 * Must not know what the port is for beyond its name.
 */
import { createServer } from 'node:net';
import { GatewayError } from '../core/errors.js';

/**
 * Binds the port for a moment.
 * @param option name of the option that the port came from
 * @returns the port; for 0 one that is free now
 * @throws UNAVAILABLE naming port and option when it is taken or not allowed
 */
export function probePort(option: string, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be bound (${error.code ?? error.message})`;
      reject(
        new GatewayError('UNAVAILABLE', `port ${port} on ${host} ${why}: free it, or choose another with ${option}`),
      );
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(bound));
    });
  });
}
