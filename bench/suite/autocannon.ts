/**
 * Closed-loop HTTP load by autocannon, where there is no wrk. It runs as a process of its own, as wrk does.
 *
 * Its times are whole milliseconds, and it needs about as much CPU as a lean server: ratios between servers come out smaller
 * than they are.
 *
 * Must not know servers or cells.
 */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { run } from './children.js';
import type { Load } from './load.js';
import type { HttpLoadOptions } from './wrk.js';

interface Report {
  readonly '2xx': number;
  readonly non2xx: number;
  readonly errors: number;
  readonly duration: number;
  readonly latency: { readonly p50: number; readonly p99: number };
}

let bodies = 0;

export function autocannonLoad({ url, body, connections, directory }: HttpLoadOptions): Load {
  bodies++;
  const file = join(directory, `autocannon-${bodies}.body`);
  writeFileSync(file, body.bytes);
  const program = createRequire(import.meta.url).resolve('autocannon');
  const headers = Object.entries(body.headers).flatMap(([name, value]) => ['-H', `${name}=${value}`]);
  return async (seconds) => {
    const args = [
      program,
      '-j',
      '-m',
      'POST',
      '-c',
      connections,
      '-d',
      seconds,
      '-i',
      file,
      ...headers,
      url + body.path,
    ];
    const report: Report = JSON.parse(await run(process.execPath, args.map(String), (seconds + 20) * 1000));
    return {
      requests: report['2xx'],
      seconds: report.duration,
      p50Us: report.latency.p50 * 1000,
      p99Us: report.latency.p99 * 1000,
      errors: report.non2xx + report.errors,
    };
  };
}
