/**
 * Swaps versions of the model `small`, on a thread of its own: what a swap costs here must not delay the requests that are to
 * notice it.
 *
 *   workerData ─▶ models made in advance ─▶ 'ready' ─ 'go' ─▶ a `Swapped` for each swap ─▶ ends
 */
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { dense } from '../../test/fixtures.js';
import { usageOf } from '../suite/process-stat.js';

export interface Swapping {
  readonly swaps: number;
  readonly swapsPerSecond: number;
  /** The folder of models, in which version 1 lies. */
  readonly models: string;
  readonly admin: string;
  /** Of the gateway. */
  readonly pid: number;
}

export interface Swapped {
  readonly tookMs: number;
  /** When it was done, in milliseconds after the first began. */
  readonly atMs: number;
  /** Of all processes, a moment later. */
  readonly rssBytes: number;
}

const { swaps, swapsPerSecond, models, admin, pid }: Swapping = workerData;
const files = Array.from({ length: swaps }, (_, i) => dense([30, 64, 32, 2], i + 2));
const port = parentPort!;
port.postMessage('ready');
await once(port, 'message');
const beganAt = performance.now();
for (let number = 1; number <= swaps; number++) {
  const startedAt = performance.now();
  await swapTo(number + 1, files[number - 1]!);
  const now = performance.now();
  const { rssBytes } = usageOf(pid);
  port.postMessage({ tookMs: now - startedAt, atMs: now - beganAt, rssBytes } satisfies Swapped);
  await sleep(Math.max(0, startedAt + 1000 / swapsPerSecond - performance.now()));
}
port.close();

/** Puts a version into the folder and has it served instead of the one before. @throws when it is not */
async function swapTo(version: number, file: Uint8Array): Promise<void> {
  mkdirSync(join(models, 'small', String(version)));
  writeFileSync(join(models, 'small', String(version), 'model.onnx'), file);
  rmSync(join(models, 'small', String(version - 1)), { recursive: true });
  const response = await fetch(`${admin}/admin/models/small/load`, { method: 'POST' });
  const answer = (await response.json()) as { champion?: string; error?: string };
  if (answer.champion !== String(version)) throw new Error(answer.error ?? `version ${answer.champion} answers`);
}
