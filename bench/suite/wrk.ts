/**
 * Closed-loop HTTP load by wrk: one thread of C, so that on a machine of few cores the servers get nearly all of them.
 *
 * Must not know servers or cells.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HttpBody } from './bodies.js';
import { run } from './children.js';
import type { Load } from './load.js';

export interface HttpLoadOptions {
  readonly url: string;
  readonly body: HttpBody;
  readonly connections: number;
  /** For files that the generator reads. */
  readonly directory: string;
}

/** wrk is a package of Debian; it tells its version and ends with 1. */
export function hasWrk(): boolean {
  return spawnSync('wrk', ['--version']).error === undefined;
}

let scripts = 0;

export function wrkLoad({ url, body, connections, directory }: HttpLoadOptions): Load {
  scripts++;
  const script = join(directory, `load-${scripts}.lua`);
  const file = join(directory, `load-${scripts}.body`);
  writeFileSync(file, body.bytes);
  writeFileSync(script, scriptOf(body, file));
  return async (seconds) => {
    const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, url + body.path];
    const output = await run('wrk', args, (seconds + 20) * 1000);
    const line = output.split('\n').find((text) => text.startsWith('RESULT '));
    if (line === undefined) throw new Error(`wrk gave no result for ${url}`);
    const [requests, us, p50Us, p99Us, errors] = line.split(' ').slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { requests: requests - errors, seconds: us / 1e6, p50Us, p99Us, errors };
  };
}

/** Without a `request` function wrk builds the request once; `done` prints what its own report rounds. */
function scriptOf(body: HttpBody, file: string): string {
  const headers = Object.entries(body.headers).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`);
  return `wrk.method = "POST"
${headers.join('\n')}
local file = io.open("${file}", "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;
}
