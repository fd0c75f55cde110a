/**
 * PART OF THE ROOT: the child that tries versions before they are served.
 *
 * Must not know what it is asked to try.
 */
import type { Config } from '../config/schema.js';
import { Admission } from '../registry/admission.js';
import type { Trial, TrialVerdict } from '../registry/repository.js';

/** To start it costs 200 ms of a core and to try a small model 15: versions that come one after another share a child. */
export const probeIdleMs = 10_000;

export function admissionOf(config: Pick<Config, 'admission'>): Admission<Trial, TrialVerdict> {
  process.env.ORT_DISABLE_TELEMETRY = '1';
  const entry = new URL('../engine/probe.js', import.meta.url);
  return new Admission({ entry, timeoutMs: config.admission.timeout_ms, idleMs: probeIdleMs });
}
