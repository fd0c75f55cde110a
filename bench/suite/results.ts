/**
 * What a run of the suite found, as it is stored in bench/results.json.
 *
 * Must not know how it was measured or how it is printed.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { Sample } from './measure.js';
import { ratiosOf, type Spread, spreadOf } from './statistics.js';

/** JSON has no NaN: what could not be measured is null there. */
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const spread = z.object({ median: figure, min: figure, max: figure });
const metrics = z.object({ rps: spread, p50Us: spread, p99Us: spread, cpuUs: spread });

const row = z.object({
  server: z.string(),
  ...metrics.shape,
  rssBytes: spread,
  errors: z.number(),
  /** To the server of that name, round by round. */
  ratios: z.record(z.string(), metrics),
});

const cell = z.object({
  name: z.string(),
  what: z.string(),
  rows: z.array(row),
  /** Mean rows of the gateway's batches; its event loop's lag at the 99th percentile, as the bound of a bucket. */
  batchRows: figure,
  lagP99Ms: figure,
});

/** Latency by load: how each server answers at rates that it is not asked about but given. */
const curve = z.object({
  what: z.string(),
  series: z.array(
    z.object({
      server: z.string(),
      /** Most that it answers in a closed loop of the same generator. */
      capacity: z.number(),
      points: z.array(z.object({ rate: z.number(), p50Us: spread, p99Us: spread })),
    }),
  ),
});

const scenario = z.object({
  name: z.string(),
  promise: z.string(),
  isMet: z.boolean(),
  found: z.string(),
  table: z.object({ head: z.array(z.string()), lines: z.array(z.array(z.string())) }).optional(),
});

const results = z.object({
  machine: z.record(z.string(), z.string()),
  settings: z.object({ rounds: z.number(), seconds: z.number(), generator: z.string() }),
  cells: z.array(cell),
  /** The bare runtime on one thread: rows per second. */
  floors: z.array(z.object({ model: z.string(), rows: z.number(), rowsPerSecond: spread })),
  /** Gateways with other settings, beside each other. */
  variants: z.array(z.object({ table: z.string(), cell: z.string(), rows: z.array(row) })),
  scenarios: z.array(scenario),
  curve: curve.optional(),
});

export type Row = z.output<typeof row>;
export type CellResult = z.output<typeof cell>;
export type Metric = keyof z.output<typeof metrics>;
export type Curve = z.output<typeof curve>;
export type Results = z.output<typeof results>;

/** Ratios are to each of `bases` that was measured. */
export function rowsOf(samples: ReadonlyMap<string, readonly Sample[]>, bases: readonly string[]): Row[] {
  const present = bases.filter((base) => samples.has(base));
  return Array.from(samples, ([server, own]) => {
    const spreadBy = (metric: keyof Sample) => spreadOf(own.map((sample) => sample[metric]));
    const ratioTo = (base: readonly Sample[]) => {
      const by = (metric: Metric): Spread =>
        ratiosOf(
          own.map((sample) => sample[metric]),
          base.map((sample) => sample[metric]),
        );
      return { rps: by('rps'), p50Us: by('p50Us'), p99Us: by('p99Us'), cpuUs: by('cpuUs') };
    };
    return {
      server,
      rps: spreadBy('rps'),
      p50Us: spreadBy('p50Us'),
      p99Us: spreadBy('p99Us'),
      cpuUs: spreadBy('cpuUs'),
      rssBytes: spreadBy('rssBytes'),
      errors: own.reduce((sum, { errors }) => sum + errors, 0),
      ratios: Object.fromEntries(present.map((base) => [base, ratioTo(samples.get(base)!)])),
    };
  });
}

/** Undefined when there is no such file. @throws when it is not ours */
export function readResults(path: string): Results | undefined {
  if (!existsSync(path)) return undefined;
  const read = results.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (!read.success) throw new Error('bench/results.json is not a result of this suite; write it anew with --write');
  return read.data;
}

export function writeResults(path: string, found: Results): void {
  writeFileSync(path, `${JSON.stringify(found, roundedFigure, 1)}\n`);
}

/** Four digits that count: more would be noise in every commit. */
function roundedFigure(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}

/** What was measured now takes the place of what was stored; the rest stays. */
export function mergeResults(stored: Results | undefined, found: Results): Results {
  if (stored === undefined) return found;
  const merged = <T>(old: readonly T[], fresh: readonly T[], keyOf: (value: T) => string): T[] => {
    const byKey = new Map([...old, ...fresh].map((value) => [keyOf(value), value]));
    return [...byKey.values()];
  };
  return {
    machine: found.machine,
    settings: found.cells.length > 0 ? found.settings : stored.settings,
    cells: merged(stored.cells, found.cells, ({ name }) => name),
    floors: merged(stored.floors, found.floors, ({ model, rows }) => `${model} ${rows}`),
    variants: merged(stored.variants, found.variants, ({ table, cell: name }) => `${table} ${name}`),
    scenarios: merged(stored.scenarios, found.scenarios, ({ name }) => name),
    curve: found.curve ?? stored.curve,
  };
}
