/**
 * PART OF THE ROOT: what experiments have counted and found, over a restart: one document for each.
 *
 *   open ─ read ─▶ restore() ─▶ counts, minima as they were        once a minute, and at the end: keep() ─▶ disk
 *
 * Minima and the counts in which they were found are one. A minimum alone, carried into a new sample, would give every restart
 * one more chance of an alarm that is none; so both are written at once, and neither comes back without the other, nor into
 * another phase: another salt, version, weight or control. What came after the last writing is lost, of all arms alike. The
 * most keys that there can be, with three metrics, are 14 MB and 130 ms of CPU (measured); so many are not written every minute.
 *
 * The number of a key is made without a secret, so whoever had the files could try keys out: they hold it sealed.
 *
 * Must not know what is concluded.
 */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { phaseText } from '../config/route-table.js';
import { GatewayError } from '../core/errors.js';
import type { Experiment } from '../core/route.js';
import { UnitSeal } from '../labels/unit-seal.js';
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
/** Until the same is written again: five minutes for 200,000 keys. */
const restMsPerKey = 1.5;
const secretName = 'units';
const secretBytes = 32;
const secretText = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .nullable();

interface Seal {
  readonly units: UnitSeal;
  /** Of the secret: what was sealed with another one says nothing. */
  readonly mark: string;
}

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
  #seal: Seal | undefined;
  /** By experiment; each until its phase, or another of it, begins here. */
  readonly #documents: Map<string, Document>;
  /** What slow meant, by experiment. */
  readonly slowMs: ReadonlyMap<string, number>;
  /** What was written last of each, so that nothing is written twice, and when it may be written again. */
  readonly #written = new Map<string, { readonly tally: string; readonly dueAtMs: number }>();

  private constructor(options: KeptPhasesOptions, seal: Seal | undefined, documents: Map<string, Document>) {
    this.#options = options;
    this.#seal = seal;
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
    return new KeptPhases(options, documents.size === 0 ? undefined : await sealIn(state), documents);
  }

  /** Counts go on where they were; undefined when nothing was kept of this very phase. */
  readonly restore = (
    experiment: Experiment,
    counts: PhaseCounts,
  ): Pick<SeenPhase, 'sinceMs' | 'memory'> | undefined => {
    const { name, phase } = experiment;
    const kept = this.#documents.get(name);
    this.#documents.delete(name);
    if (this.#seal === undefined || kept?.identity !== identityOf(experiment, this.#seal)) return undefined;
    try {
      counts.restore(stateIn(kept, this.#seal.units));
    } catch (thrown) {
      const { message } = GatewayError.from(thrown);
      this.#options.log.warn('experiment.anew', { experiment: name, phase, error: message });
      return undefined;
    }
    return { sinceMs: kept.sinceMs, memory: { phase, ratioP: kept.ratioP, p: kept.p } };
  };

  /** Writes down those in which something has come since the last time. @param nowMs Infinity = whenever that was */
  async keep(phases: readonly Keeping[], nowMs: number): Promise<void> {
    const { state, log } = this.#options;
    for (const keeping of phases) {
      const { experiment, counts } = keeping.seen;
      const { name, phase, slowMs } = experiment;
      const tally = JSON.stringify([phase, counts.tally, slowMs]);
      const before = this.#written.get(name);
      if (before !== undefined && (before.tally === tally || nowMs < before.dueAtMs)) continue;
      try {
        this.#seal ??= (await sealIn(state)) ?? (await madeSeal(state));
        await state.write(documentOf(name), documentIn(keeping, this.#seal));
        this.#written.set(name, { tally, dueAtMs: nowMs + restMsPerKey * counts.keys.size });
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

function identityOf(experiment: Experiment, { mark }: Seal): string {
  const { name, phase, champion } = experiment;
  return JSON.stringify([name, phase, phaseText(experiment), champion, mark]);
}

function documentIn({ seen, memory }: Keeping, seal: Seal): Document {
  const { experiment, counts, sinceMs } = seen;
  const { arms, keys } = counts.state();
  const columns = Object.entries(keys.columns);
  return {
    identity: identityOf(experiment, seal),
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
      keys: textOf(sealedIn(keys.keys, seal)),
      variantOf: textOf(keys.variantOf),
      counts: Object.fromEntries(columns.map(([metric, { counts }]) => [metric, textOf(counts)])),
      sums: Object.fromEntries(columns.map(([metric, { sums }]) => [metric, textOf(sums)])),
      keysOverCap: keys.keysOverCap,
      keysMoved: keys.keysMoved,
    },
  };
}

function stateIn({ arms, keys }: Document, units: UnitSeal): PhaseState {
  const columns: Record<string, KeyTableState['columns'][string]> = {};
  for (const metric of Object.keys(keys.counts)) {
    columns[metric] = { counts: floatsIn(keys.counts[metric]!), sums: floatsIn(keys.sums[metric] ?? '') };
  }
  const { keysOverCap, keysMoved } = keys;
  const variantOf = bytesIn(keys.variantOf);
  const sealed = new Uint32Array(bytesIn(keys.keys, Uint32Array.BYTES_PER_ELEMENT).buffer);
  const opened = new Float64Array(sealed.length);
  for (let row = 0; row < sealed.length; row++) opened[row] = units.opened(sealed[row]!);
  return { arms, keys: { keys: opened, variantOf, columns, keysOverCap, keysMoved } };
}

async function sealIn(state: StateFolder): Promise<Seal | undefined> {
  const known = await state.read(secretName, secretText, null);
  return known === null ? undefined : sealOf(Buffer.from(known, 'hex'));
}

async function madeSeal(state: StateFolder): Promise<Seal> {
  const secret = randomBytes(secretBytes);
  await state.write(secretName, secret.toString('hex'));
  return sealOf(secret);
}

function sealOf(secret: Uint8Array): Seal {
  return { units: new UnitSeal(secret), mark: createHash('sha256').update(secret).digest('hex').slice(0, 16) };
}

function sealedIn(keys: Float64Array, { units }: Seal): Uint32Array {
  const sealed = new Uint32Array(keys.length);
  for (let row = 0; row < keys.length; row++) sealed[row] = units.sealed(keys[row]!);
  return sealed;
}

function textOf({ buffer, byteOffset, byteLength }: Float64Array | Uint32Array | Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

function floatsIn(text: string): Float64Array {
  return new Float64Array(bytesIn(text, Float64Array.BYTES_PER_ELEMENT).buffer);
}

/** A copy that begins where wider numbers may begin, without what is no whole one. */
function bytesIn(text: string, wholeBytes = 1): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(text, 'base64');
  return new Uint8Array(bytes.subarray(0, bytes.length - (bytes.length % wholeBytes)));
}
