/**
 * A TCP balancer in its smallest form: a new connection goes to the server that is set now, an old one stays where it is.
 *
 * Must not know HTTP.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface Balancer {
  readonly origin: string;
  /** @param origin as `http://host:port` */
  setTarget(origin: string): void;
  close(): void;
}

export async function startBalancer(origin: string): Promise<Balancer> {
  let target = new URL(origin);
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host: target.hostname, port: Number(target.port), allowHalfOpen: true });
    join(near, far);
    join(far, near);
  });
  const join = (from: Socket, to: Socket) => {
    open.add(from);
    from.setNoDelay(true);
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => open.delete(from));
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    setTarget: (next) => {
      target = new URL(next);
    },
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
