/**
 * Entry of the probe child: opens candidate versions, one after another, and says what it found.
 *
 *   control ─ candidate (one message) ─▶ open ─▶ signature ─▶ rows independent? ─▶ run times ─ verdict ─▶ control
 *
 * A foreign model runs here before it runs anywhere else: a crash or a hang costs this child, and control sees which
 * candidate it was.
 *
 * Must not know anything else.
 */
import type { SessionPolicy } from '../core/model.js';
import { openSession, type SessionTensor } from './session.js';
import { measureRuns, type RunTime, whyNotBatched } from './trial.js';

export interface Candidate {
  readonly file: string;
  readonly session: SessionPolicy;
  /** The signature allows batching: find out whether rows are independent. */
  readonly needsBatchTrial: boolean;
  readonly isBatched: boolean;
}

export type Verdict =
  | {
      readonly ok: true;
      readonly inputs: readonly SessionTensor[];
      readonly outputs: readonly SessionTensor[];
      /** Why requests may not share a run; undefined = they may, or nobody asked. */
      readonly notBatched: string | undefined;
      readonly openMs: number;
      readonly runTimes: readonly RunTime[];
    }
  | { readonly ok: false; readonly reason: string };

async function judge(candidate: Candidate): Promise<Verdict> {
  try {
    const startedAt = performance.now();
    const session = await openSession(candidate.file, candidate.session);
    const openMs = performance.now() - startedAt;
    const notBatched = candidate.needsBatchTrial ? await whyNotBatched(session) : undefined;
    const runTimes = await measureRuns(session, [candidate.isBatched && notBatched === undefined ? 1 : 0], 3);
    const { inputs, outputs } = session;
    session.release();
    return { ok: true, inputs, outputs, notBatched, openMs, runTimes };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

process.on('message', (candidate: Candidate) => {
  void judge(candidate).then((verdict) => process.send?.(verdict));
});
process.on('disconnect', () => process.exit(0));
