/** A tiny V2 server for the tests of `sluice bench`: one model, answers at once, and can be told to stall, refuse or stop. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TinyServer {
  readonly url: string;
  /** Infer calls so far. */
  readonly asked: () => number;
  /** Answers nothing for this long, then everything. */
  stall(durationMs: number): void;
  /** Every `nth` infer call is answered with this status; 0 = none. */
  refuse(nth: number, status: number): void;
  /** Ends every connection and stops listening. */
  stop(): void;
}

const metadata = {
  name: 'tiny',
  versions: ['1'],
  platform: 'test',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }],
};
const answer = JSON.stringify({
  model_name: 'tiny',
  outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [0.5] }],
});

export async function startTinyServer(context: { after(work: () => void): void }): Promise<TinyServer> {
  let asked = 0;
  let nth = 0;
  let refusal = 429;
  let held: (() => void)[] | undefined;
  const send = (response: ServerResponse, status: number, text: string) => {
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    response.end(text);
  };
  const infer = (response: ServerResponse) => {
    asked++;
    const isRefused = nth > 0 && asked % nth === 0;
    const reply = () => send(response, isRefused ? refusal : 200, isRefused ? '{"error":"too much"}' : answer);
    if (held === undefined) reply();
    else held.push(reply);
  };
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      if (request.url === '/v2/models/tiny') return send(response, 200, JSON.stringify(metadata));
      if (request.url === '/v2/models/tiny/infer') return infer(response);
      send(response, 404, '{"error":"Request for unknown model is not found"}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  context.after(stop);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: () => asked,
    stall: (durationMs) => {
      held = [];
      setTimeout(() => {
        const waiting = held ?? [];
        held = undefined;
        for (const reply of waiting) reply();
        // A test that is over does not wait for it.
      }, durationMs).unref();
    },
    refuse: (every, status) => {
      nth = every;
      refusal = status;
    },
    stop,
  };
}
