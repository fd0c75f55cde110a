/**
 * What the trial of a version found, kept by the digest of its content: shown to people, and what a plan knows of versions that
 * are not open.
 *
 * Must not know how a version is tried, or where this is kept.
 */
import { z } from 'zod';

export const trialReport = z.object({
  /** Milliseconds since 1970. */
  triedAt: z.number(),
  /** Runtime, machine and options, under which golden samples must give the same bits again. */
  fingerprint: z.string(),
  openMs: z.number(),
  /** Highest resident memory of the process that tried it, during this trial; what the process takes by itself included. */
  peakBytes: z.number(),
  /** Threads that were to run it in each gateway process. */
  instances: z.number(),
  /** One run by rows; 0 = the model has no batches. */
  runs: z.array(z.object({ rows: z.number(), runUs: z.number() })),
  goldenSamples: z.number(),
  /** Why requests do not share a run; null = they may. */
  notBatched: z.string().nullable(),
});

export type TrialReport = Readonly<z.infer<typeof trialReport>>;
