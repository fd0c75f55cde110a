/** A load that behaves as good clients do: keep-alive, and a new connection when it is told `Connection: close`. */
import { Agent, type IncomingMessage, request } from 'node:http';

export interface LoadResult {
  readonly ok: number;
  /** One text for each request that was sent and not answered with 200. */
  readonly failures: readonly string[];
}

export interface Load {
  readonly answered: () => number;
  /** Ends every loop after its current request. */
  stop(): Promise<LoadResult>;
}

export interface LoadOptions {
  readonly url: string;
  readonly body: string;
  readonly clients: number;
  /** Each answer's text is handed here. */
  readonly onAnswer?: (text: string) => void;
  /** Asked every 20 ms, as a balancer does: nothing more is sent once it does not answer 200. */
  readonly readyUrl?: string;
}

/**
 * Sends requests until told to stop. A connection that was refused ends a loop without counting as a failure: the server
 * had closed its door, nothing was sent.
 */
export function startLoad({ url, body, clients, onAnswer, readyUrl }: LoadOptions): Load {
  const failures: string[] = [];
  let ok = 0;
  let isStopped = false;
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const loop = async () => {
    while (!isStopped) {
      const result = await post(url, body, agent);
      if (result === 'refused') return;
      if (result.status === 200) {
        ok++;
        onAnswer?.(result.text);
      } else failures.push(`${result.status} ${result.text}`);
    }
  };
  const loops = Array.from({ length: clients }, loop);
  const probe = setInterval(async () => {
    if (readyUrl === undefined) return;
    const status = await fetch(readyUrl).then(
      (response) => response.status,
      () => 0,
    );
    if (status !== 200) isStopped = true;
  }, 20);
  return {
    answered: () => ok,
    stop: async () => {
      isStopped = true;
      clearInterval(probe);
      await Promise.all(loops);
      agent.destroy();
      return { ok, failures };
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: IncomingMessage['headers'];
}

/** One request; status 0 = the connection broke. */
export function post(
  url: string,
  body: string,
  agent?: Agent,
  headers: Record<string, string> = {},
): Promise<Answer | 'refused'> {
  return new Promise((resolve) => {
    const sent = request(
      url,
      { method: 'POST', agent, headers: { 'content-type': 'application/json', ...headers } },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
        response.on('error', (error) => resolve({ status: 0, text: error.message, headers: {} }));
      },
    );
    let isConnected = false;
    sent.on('socket', (socket) => {
      if (!socket.connecting) isConnected = true;
      else
        socket.once('connect', () => {
          isConnected = true;
        });
    });
    // Without a connection nothing was sent: closed doors refuse, or reset the hands that still knock.
    sent.on('error', (error: NodeJS.ErrnoException) =>
      resolve(isConnected ? { status: 0, text: `${error.code} ${error.message}`, headers: {} } : 'refused'),
    );
    sent.end(body);
  });
}

/**
 * One request, sent once more when its new connection was reset: one that waits at a door while that closes is lost, unless
 * the kernel moves it to another process (net.ipv4.tcp_migrate_req, README "Operate").
 */
export async function postOrAgain(url: string, body: string): Promise<Answer | 'refused'> {
  const answer = await post(url, body);
  return answer !== 'refused' && answer.status === 0 && answer.text.startsWith('ECONNRESET') ? post(url, body) : answer;
}

export async function getJson(url: string): Promise<{ status: number; json: unknown }> {
  const response = await fetch(url);
  const text = await response.text();
  return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
}
