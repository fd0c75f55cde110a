/**
 * Admission as control has it, on the real probe, for tests: models go in as bytes, verdicts come out.
 *
 * Must not know what the models are.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { sessionPolicy } from '../bench/suite/session-policy.js';
import type { Candidate, Verdict } from '../src/engine/probe.js';
import { Admission, type AdmissionOptions } from '../src/registry/admission.js';
import { freshDirectory } from './system/server.js';

export const probeEntry = new URL('../src/engine/probe.js', import.meta.url);

export interface Tried {
  readonly admission: Admission<object, Verdict>;
  /** @param terms what else the candidate says of itself */
  admit(model: Buffer, terms?: Partial<Candidate>, memoryBytesMax?: number): Promise<Verdict>;
}

/** Ends with the test. */
export function startAdmission(context: TestContext, options: Partial<AdmissionOptions> = {}): Tried {
  const directory = freshDirectory(context);
  const admission = new Admission<object, Verdict>({ entry: probeEntry, timeoutMs: 60_000, idleMs: 5000, ...options });
  context.after(() => admission.close());
  let count = 0;
  return {
    admission,
    admit: (model, terms = {}, memoryBytesMax) => {
      const file = join(directory, `${count++}.onnx`);
      writeFileSync(file, model);
      const candidate = { file, session: sessionPolicy, needsBatchTrial: false, isBatched: false, ...terms };
      return admission.admit(candidate, memoryBytesMax);
    },
  };
}

/** A reason to skip a test that needs `path`; never in CI, where everything must be there. */
export function unlessThere(path: string): string | false {
  return existsSync(path) || process.env.CI !== undefined ? false : `${path} is not there`;
}
