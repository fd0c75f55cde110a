/**
 * What every scenario is: a name, a promise in one sentence, and a run that ends in a verdict with its numbers.
 *
 * A scenario gets a stage: gateways that are stopped afterwards whatever happened, and models to serve. A new one is a file
 * that exports a `Scenario`, and its line in list.ts.
 *
 * Must not know any of them.
 */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { probeIdleMs } from '../../src/control/admission-child.js';
import { dense, writeRepository } from '../../test/fixtures.js';
import { type HttpBody, jsonBody } from '../suite/bodies.js';
import type { Model } from '../suite/models.js';
import { type Gateway, type GatewayOptions, startGateway } from '../suite/servers.js';

/** After so long without a version to try, the child that tried the last is gone, and its memory with it. */
export const probeGoneMs = probeIdleMs + 2000;

export interface Verdict {
  readonly isMet: boolean;
  /** The numbers that it rests on. */
  readonly found: string;
  /** More of them, when a sentence does not hold them. */
  readonly table?: { readonly head: string[]; readonly lines: string[][] };
}

export interface Scenario {
  readonly name: string;
  readonly promise: string;
  run(stage: Stage): Promise<Verdict>;
}

export interface StageOptions {
  readonly directory: string;
  readonly isQuick: boolean;
  readonly say: (line: string) => void;
  readonly onProgress: (text: string) => void;
}

export class Stage {
  readonly #options: StageOptions;
  readonly #endings: (() => void | Promise<void>)[] = [];

  constructor(options: StageOptions) {
    this.#options = options;
  }

  get isQuick(): boolean {
    return this.#options.isQuick;
  }

  /** A new folder, gone with the suite. */
  directory(): string {
    return mkdtempSync(join(this.#options.directory, 'scenario-'));
  }

  onProgress(text: string): void {
    this.#options.onProgress(text);
  }

  /** A folder with the models given, else with `small`. */
  repository(models: Readonly<Record<string, Buffer>> = { small: dense() }): string {
    return writeRepository(this.directory(), models);
  }

  /** A gateway as it is shipped, every process ready; stopped when the scenario ends. */
  async gateway(options: Partial<GatewayOptions> = {}): Promise<Gateway> {
    const gateway = await startGateway({ ...options, models: options.models ?? this.repository() });
    this.after(() => gateway.stop());
    return gateway;
  }

  /** Something to undo; the last comes first. */
  after(work: () => void | Promise<void>): void {
    this.#endings.push(work);
  }

  async end(): Promise<void> {
    for (const work of this.#endings.reverse()) await work();
  }
}

/** A scenario that throws has failed: its promise was not shown to hold. */
export async function runScenario(scenario: Scenario, options: StageOptions): Promise<Verdict> {
  const stage = new Stage(options);
  try {
    return await scenario.run(stage);
  } catch (error) {
    return { isMet: false, found: error instanceof Error ? error.message.split('\n')[0]! : String(error) };
  } finally {
    await stage.end();
  }
}

/** One row of numbers for an input of `width`. */
export function rowBody(model: string, width: number, value = 0.5): HttpBody {
  const row = new Float32Array(width).fill(value);
  const shaped: Pick<Model, 'input' | 'shape' | 'row'> = { input: 'INPUT0', shape: [1, width], row };
  const { headers, bytes } = jsonBody({ ...shaped, name: 'small', what: '', repository: '', file: '' });
  return { path: `/v2/models/${model}/infer`, headers, bytes };
}

/** Waits until `isTrue`. @returns the time it took in ms, or undefined when it did not happen within `withinMs` */
export async function until(isTrue: () => boolean | Promise<boolean>, withinMs: number): Promise<number | undefined> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < withinMs) {
    if (await isTrue()) return performance.now() - startedAt;
    await sleep(10);
  }
  return undefined;
}
