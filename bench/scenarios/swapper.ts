/**
 * Swaps versions of the model `small`, on a thread of its own that stands behind all others: an operator has a machine of his
 * own, and what a swap costs here must not delay the requests that are to notice it.
 *
 *   workerData ─▶ models made in advance ─▶ 'ready' ─ so many swaps ─▶ a `Swapped` for each ─ …
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
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
  /** Of all processes, a moment later. */
  readonly rssBytes: number;
}

const { swaps, swapsPerSecond, models, admin, pid }: Swapping = workerData;
const files = Array.from({ length: swaps }, (_, i) => dense([30, 64, 32, 2], i + 2));
const port = parentPort!;
let number = 0;
setPriority(constants.priority.PRIORITY_LOW);
port.on('message', (count: number) => void swap(count).then((swapped) => port.postMessage(swapped)));
port.postMessage('ready');

async function swap(count: number): Promise<Swapped[]> {
  const swapped: Swapped[] = [];
  while (swapped.length < count) {
    const startedAt = performance.now();
    await swapTo(number + 2, files[number]!);
    number++;
    const tookMs = performance.now() - startedAt;
    swapped.push({ tookMs, rssBytes: usageOf(pid).rssBytes });
    await sleep(Math.max(0, startedAt + 1000 / swapsPerSecond - performance.now()));
  }
  return swapped;
}

/** Puts a version into the folder and has it served instead of the one before. @throws when it is not */
async function swapTo(version: number, file: Uint8Array): Promise<void> {
  mkdirSync(join(models, 'small', String(version)));
  writeFileSync(join(models, 'small', String(version), 'model.onnx'), file);
  rmSync(join(models, 'small', String(version - 1)), { recursive: true });
  const response = await fetch(`${admin}/admin/models/small/load`, { method: 'POST' });
  const answer = (await response.json()) as { champion?: string; error?: string };
  if (answer.champion !== String(version)) throw new Error(answer.error ?? `version ${answer.champion} answers`);
}
