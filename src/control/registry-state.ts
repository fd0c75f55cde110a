/**
 * PART OF THE ROOT: what the registry keeps in the store from one start to the next: what served and why, which
 * swaps are watched, and the outputs that golden samples gave when a version was first tried.
 *
 * Must not know when any of it changes.
 */
import { z } from 'zod';
import type { GoldenRecord } from '../core/admission.js';
import type { Remembered } from '../registry/registry-options.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';
import type { KeptWatches } from './guard-watch.js';

type GoldenRecords = Readonly<Record<string, GoldenRecord>>;

const goldenRecords: z.ZodType<GoldenRecords> = z.record(
  z.string(),
  z.object({ fingerprint: z.string(), outputsSha256: z.array(z.string()) }),
);

const choice = z.object({
  aliases: z.record(z.string(), z.string()),
  hold: z.object({ version: z.string(), revision: z.string(), to: z.string() }).optional(),
  pins: z.array(z.string()),
});
const remembered = z.record(
  z.string(),
  z.object({
    champion: z.string().optional(),
    previous: z.string().optional(),
    answered: z.record(z.string(), z.string()).optional(),
    labels: z.record(z.string(), z.string()),
    choice,
  }),
) as unknown as z.ZodType<Remembered>;

export function openServing(state: StateFolder): Promise<StateDocument<Remembered>> {
  return StateDocument.open<Remembered>(state, 'serving', remembered, {});
}

const counts = z.array(z.number());
const watches: z.ZodType<KeptWatches> = z.record(
  z.string(),
  z.object({
    version: z.string(),
    previous: z.string(),
    swappedAt: z.number(),
    before: z.object({
      requests: z.number(),
      faults: z.number(),
      latency: z.object({ boundsMs: counts, counts }),
      runs: z.object({ boundsMs: counts, counts, sumMs: z.number() }),
    }),
  }),
);

export function openWatches(state: StateFolder): Promise<StateDocument<KeptWatches>> {
  return StateDocument.open<KeptWatches>(state, 'guard', watches, {});
}

/** By the sha256 of a version. */
export async function openGoldenRecords(state: StateFolder): Promise<{
  get(sha256: string): GoldenRecord | undefined;
  put(sha256: string, record: GoldenRecord): Promise<void>;
}> {
  const document = await StateDocument.open<GoldenRecords>(state, 'golden', goldenRecords, {});
  return {
    get: (sha256) => document.value[sha256],
    put: (sha256, record) => document.change((all) => ({ ...all, [sha256]: record })),
  };
}
