/**
 * PART OF THE ROOT: what experiments have counted and found, over a restart: one document for each.
 *
 *   open ─ read ─▶ restore() ─▶ counts, minima as they were        once a minute, and at the end: keep() ─▶ disk
 *
 * Minima and the counts in which they were found are one. A minimum alone, carried into a new sample, would give every restart
 * one more chance of an alarm that is none; so both are written at once, and neither comes back without the other, nor into
 * another phase: another salt, version, weight or control. What came after the last writing is lost, of all arms alike.
 *
 * Must not know what is concluded.
 */
import { z } from 'zod';
import { phaseText } from '../config/route-table.js';
import { GatewayError } from '../core/errors.js';
import type { Experiment } from '../core/route.js';
import type { Log } from '../log.js';
import type { ExperimentMemory } from '../monitor/experiment-plan.js';
import type { KeyTableState } from '../monitor/key-table.js';
import type { PhaseCounts, PhaseState } from '../monitor/phase-counts.js';
import type { StateFolder } from '../registry/store/state.js';
import type { SeenPhase } from './arms-seen.js';

const number = z.number();
const numbers = z.array(number);
const texts = z.record(z.string(), z.string());

const document = z.object({
  /** Name, phase and all that makes it this one. */
  identity: z.string(),
  sinceMs: number,
  slowMs: number.nullable(),
  ratioP: number.min(0).max(1),
  p: z.record(z.string(), number.min(0).max(1)),
  arms: z.record(z.string(), z.object({ requests: number, faults: number, latency: numbers, predictions: numbers })),
  /** Columns are the bytes of their numbers as base64: as JSON they would be ten times the work. */
  keys: z.object({
    keys: z.string(),
    variantOf: z.string(),
    counts: texts,
    sums: texts,
    keysOverCap: number,
    keysMoved: number,
  }),
});

type Document = z.infer<typeof document>;

const prefix = 'experiment-';

/** One phase as it is to be written. */
interface Keeping {
  readonly seen: SeenPhase;
  readonly memory: ExperimentMemory;
}

export interface KeptPhasesOptions {
  readonly state: StateFolder;
  readonly log: Pick<Log, 'warn'>;
}

export class KeptPhases {
  readonly #options: KeptPhasesOptions;
  /** By experiment; each until its phase, or another of it, begins here. */
  readonly #documents: Map<string, Document>;
  /** What slow meant, by experiment. */
  readonly slowMs: ReadonlyMap<string, number>;
  /** What was written last of each, so that nothing is written twice. */
  readonly #written = new Map<string, string>();

  private constructor(options: KeptPhasesOptions, documents: Map<string, Document>) {
    this.#options = options;
    this.#documents = documents;
    this.slowMs = new Map(Array.from(documents, ([name, { slowMs }]) => [name, slowMs] as const).filter(isKnown));
  }

  /** @param experiments that there are; what was kept of others is removed */
  static async open(options: KeptPhasesOptions, experiments: readonly string[]): Promise<KeptPhases> {
    const { state } = options;
    const documents = new Map<string, Document>();
    for (const name of experiments) {
      const kept = await state.read<Document | null>(documentOf(name), document.nullable(), null);
      if (kept !== null) documents.set(name, kept);
    }
    const known = new Set(experiments.map(documentOf));
    for (const name of state.names(prefix)) if (!known.has(name)) state.remove(name);
    return new KeptPhases(options, documents);
  }

  /** Counts go on where they were; undefined when nothing was kept of this very phase. */
  readonly restore = (
    experiment: Experiment,
    counts: PhaseCounts,
  ): Pick<SeenPhase, 'sinceMs' | 'memory'> | undefined => {
    const { name, phase } = experiment;
    const kept = this.#documents.get(name);
    this.#documents.delete(name);
    if (kept?.identity !== identityOf(experiment)) return undefined;
    try {
      counts.restore(stateIn(kept));
    } catch (thrown) {
      const { message } = GatewayError.from(thrown);
      this.#options.log.warn('experiment.anew', { experiment: name, phase, error: message });
      return undefined;
    }
    return { sinceMs: kept.sinceMs, memory: { phase, ratioP: kept.ratioP, p: kept.p } };
  };

  /** Writes down those in which something has come since the last time. */
  async keep(phases: readonly Keeping[]): Promise<void> {
    const { state, log } = this.#options;
    for (const keeping of phases) {
      const { experiment, counts } = keeping.seen;
      const { name } = experiment;
      const identity = identityOf(experiment);
      const tally = `${identity} ${counts.tally} ${experiment.slowMs}`;
      if (this.#written.get(name) === tally) continue;
      try {
        await state.write(documentOf(name), documentIn(keeping, identity));
        this.#written.set(name, tally);
      } catch (thrown) {
        log.warn('experiment.unwritten', { experiment: name, error: GatewayError.from(thrown).message });
      }
    }
  }
}

function isKnown(entry: readonly [string, number | null]): entry is readonly [string, number] {
  return entry[1] !== null;
}

/** Names of experiments are of an alphabet that suits files. */
function documentOf(experiment: string): string {
  return `${prefix}${experiment}`;
}

function identityOf(experiment: Experiment): string {
  return JSON.stringify([experiment.name, experiment.phase, phaseText(experiment), experiment.champion]);
}

function documentIn({ seen, memory }: Keeping, identity: string): Document {
  const { experiment, counts, sinceMs } = seen;
  const { arms, keys } = counts.state();
  const columns = Object.entries(keys.columns);
  return {
    identity,
    sinceMs,
    slowMs: experiment.slowMs ?? null,
    ratioP: memory.ratioP,
    p: memory.p,
    arms: Object.fromEntries(
      Object.entries(arms).map(([variant, { requests, faults, latency, predictions }]) => [
        variant,
        { requests, faults, latency: [...latency], predictions: [...predictions] },
      ]),
    ),
    keys: {
      keys: textOf(keys.keys),
      variantOf: textOf(keys.variantOf),
      counts: Object.fromEntries(columns.map(([metric, { counts }]) => [metric, textOf(counts)])),
      sums: Object.fromEntries(columns.map(([metric, { sums }]) => [metric, textOf(sums)])),
      keysOverCap: keys.keysOverCap,
      keysMoved: keys.keysMoved,
    },
  };
}

function stateIn({ arms, keys }: Document): PhaseState {
  const columns: Record<string, KeyTableState['columns'][string]> = {};
  for (const metric of Object.keys(keys.counts)) {
    columns[metric] = { counts: floatsIn(keys.counts[metric]!), sums: floatsIn(keys.sums[metric] ?? '') };
  }
  const { keysOverCap, keysMoved } = keys;
  const variantOf = Uint8Array.from(Buffer.from(keys.variantOf, 'base64'));
  return { arms, keys: { keys: floatsIn(keys.keys), variantOf, columns, keysOverCap, keysMoved } };
}

function textOf({ buffer, byteOffset, byteLength }: Float64Array | Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

/** A copy, for eight-byte numbers do not begin just anywhere. */
function floatsIn(text: string): Float64Array {
  const bytes = Buffer.from(text, 'base64');
  const values = new Float64Array(Math.floor(bytes.length / 8));
  Buffer.from(values.buffer).set(bytes.subarray(0, values.byteLength));
  return values;
}
