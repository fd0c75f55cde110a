/**
 * The closed loop: N connections, each sending its next request when the last one has been answered.
 *
 * HTTP goes through autocannon, gRPC through callers of our own. A closed loop measures what a server can do at a given
 * concurrency; it waits when the server waits, so its latencies are those of callers that never pile up. For what users see
 * when the server stalls there is the open loop.
 *
 * Must not know windows or reports.
 */
import autocannon, { type Client } from 'autocannon';
import { type Caller, type CallerFactory, wordOf } from './caller.js';
import type { HttpCallOptions } from './http-caller.js';
import { type Load, sweepOverdue } from './load.js';
import type { Meter } from './meter.js';
import type { Payload } from './target.js';

export interface ClosedOptions {
  readonly connections: number;
  readonly timeoutMs: number;
  readonly meter: Meter;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Longer than any run: autocannon is stopped, it does not stop. */
const endlessS = 7 * 24 * 3600;

export function closedHttp(payloads: readonly Payload[], call: HttpCallOptions, options: ClosedOptions): Load {
  const { meter, now } = options;
  let isStopped = false;
  const requests = payloads.map(({ body, headers }) => ({
    method: 'POST' as const,
    path: call.path,
    headers: { ...call.headers, ...headers },
    body,
  }));

  let number = 0;
  /** Latencies are taken here, in microseconds: autocannon's own histogram counts whole milliseconds. */
  const watch = (client: Client) => {
    const start = number++ % requests.length;
    client.setRequests([...requests.slice(start), ...requests.slice(0, start)]);
    let sentAt = 0;
    client.on('request', () => {
      // A connection that ended without a word: autocannon opens another and sends the next request.
      if (sentAt !== 0 && !isStopped) meter.lose('closed');
      sentAt = now();
    });
    client.on('response', (status: number) => {
      const at = now();
      const latencyUs = (at - sentAt) * 1000;
      sentAt = 0;
      if (isStopped) return;
      if (status >= 200 && status < 300) meter.answer(latencyUs, at);
      else meter.refuse(String(status), latencyUs, at);
    });
    client.on('connError', (error: unknown) => {
      sentAt = 0;
      if (!isStopped) meter.lose(wordOf(error));
    });
    client.on('timeout', () => {
      // Comes after the next request has been written.
      sentAt = now();
      if (!isStopped) meter.lose('timeout');
    });
  };

  const running = autocannon({
    url: `${call.url}${call.path}`,
    connections: options.connections,
    duration: endlessS,
    timeout: options.timeoutMs / 1000,
    sampleInt: 100,
    excludeErrorStats: true,
    skipAggregateResult: true,
    setupClient: watch,
  });
  return {
    stop: async () => {
      isStopped = true;
      running.stop();
      await running;
    },
  };
}

export function closedCallers(openCaller: CallerFactory, requestCount: number, options: ClosedOptions): Load {
  const { meter, now } = options;
  let isStopped = false;
  let index = 0;
  const sendNext = (caller: Caller) => {
    if (isStopped || !caller.isReady || caller.isBusy) return;
    caller.sentAt = now();
    caller.send(index);
    index = (index + 1) % requestCount;
  };
  const events = {
    ready: sendNext,
    answered: (caller: Caller, code: string) => {
      const at = now();
      const latencyUs = (at - caller.sentAt) * 1000;
      if (isStopped) return;
      if (code === '') meter.answer(latencyUs, at);
      else meter.refuse(code, latencyUs, at);
      sendNext(caller);
    },
    lost: (_: Caller, code: string) => {
      if (!isStopped) meter.lose(code);
    },
    failed: (code: string) => {
      if (!isStopped) meter.lose(code);
    },
  };
  const callers = Array.from({ length: options.connections }, () => openCaller(events));
  for (const caller of callers) caller.open();
  const stopSweeping = sweepOverdue(callers, options);
  return {
    stop: async () => {
      isStopped = true;
      stopSweeping();
      for (const caller of callers) caller.close();
    },
  };
}
