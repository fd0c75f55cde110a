/**
 * The runtime's own throughput: loops without a server, as many at a time as are asked for.
 *
 * Must not know the gateway.
 */
import { fileURLToPath } from 'node:url';
import { run } from './children.js';
import type { Load, LoadResult } from './load.js';
import type { Model } from './models.js';

/** `floor-ort` is the binding and the settings of the gateway, `floor-raw` those of onnxruntime-node by itself. */
export type Floor = 'floor-ort' | 'floor-raw';

/** Rows count as requests. @param loops at the same time, each in a process of its own */
export function floorLoad(floor: Floor, model: Model, rows: number, loops: number): Load {
  const program = fileURLToPath(new URL(`../baselines/${floor}.js`, import.meta.url));
  return async (seconds) => {
    const running = Array.from({ length: loops }, () => loop(program, model, rows, seconds));
    return added(await Promise.all(running));
  };
}

async function loop(program: string, model: Model, rows: number, seconds: number): Promise<LoadResult> {
  const args = [program, model.file, String(rows), String(seconds), model.shape.join(',')];
  const output = await run(process.execPath, args, (seconds + 30) * 1000);
  const figures = output.split(' ').slice(1).map(Number) as [number, number, number, number, number, number];
  const [runs, us, p50Us, p99Us, cpuUs, rssBytes] = figures;
  return { requests: runs * rows, seconds: us / 1e6, p50Us, p99Us, errors: 0, cpuUs, rssBytes };
}

/** Loops side by side: their rates add up, so each is brought to the first one's time. */
function added(results: readonly LoadResult[]): LoadResult {
  const { seconds } = results[0]!;
  const total = (of: (result: LoadResult) => number) => results.reduce((sum, result) => sum + of(result), 0);
  return {
    requests: total((result) => (result.requests / result.seconds) * seconds),
    seconds,
    p50Us: Math.max(...results.map(({ p50Us }) => p50Us)),
    p99Us: Math.max(...results.map(({ p99Us }) => p99Us)),
    errors: 0,
    cpuUs: total((result) => ((result.cpuUs ?? 0) / result.seconds) * seconds),
    rssBytes: total((result) => result.rssBytes ?? 0),
  };
}
