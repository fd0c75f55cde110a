/**
 * Entry of the probe child: opens candidate versions, one after another, and says what it found.
 *
 *   control ─ candidate (one message) ─▶ open ─▶ signature ─▶ rows independent? ─▶ golden samples ─▶ every batch size
 *           ◀────────────────────────────────────── verdict ──────────────────────────────────────────────┘
 *
 * A foreign model runs here before it runs anywhere else: a crash or a hang costs this child, and control sees which
 * candidate it was.
 *
 * Must not know anything else.
 */
import type { AdmissionCode, GoldenRecord, GoldenSample } from '../core/admission.js';
import type { RunTime, SessionPolicy, Signature } from '../core/model.js';
import { shapeText, type TensorSpec } from '../core/tensor.js';
import { Complaint, complaintOf } from './complaint.js';
import { fingerprintOf } from './fingerprint.js';
import { forgetPeak, peakBytes } from './peak-memory.js';
import { checkRecord, replayAlone, whyNotInBatch } from './replay.js';
import { openSession, type Session, type SessionTensor } from './session.js';
import { measureRuns, whyNotBatched } from './trial.js';

export interface Candidate {
  readonly file: string;
  readonly session: SessionPolicy;
  /** The signature allows batching: find out whether rows are independent. */
  readonly needsBatchTrial: boolean;
  readonly isBatched: boolean;
  /** Rows of a full batch; 1 when nobody says. */
  readonly rowsMax?: number;
  readonly preferredRows?: readonly number[];
  /** What the version will show to callers; not compared when it is missing. */
  readonly signature?: Signature;
  readonly golden?: readonly GoldenSample[];
  /** Of an earlier admission of the same bytes. */
  readonly record?: GoldenRecord;
}

export type Verdict =
  | {
      readonly ok: true;
      readonly inputs: readonly SessionTensor[];
      readonly outputs: readonly SessionTensor[];
      /** Why requests may not share a run; undefined = they may, or nobody asked. */
      readonly notBatched: string | undefined;
      readonly openMs: number;
      /** By rows, ascending: 1, the preferred sizes and the largest; rows 0 = the model has no batches. */
      readonly runTimes: readonly RunTime[];
      /** Highest resident memory of the child during this trial: its own 80 MB and what earlier ones left included. */
      readonly peakRssBytes: number;
      readonly record: GoldenRecord;
    }
  | { readonly ok: false; readonly code: AdmissionCode; readonly reason: string };

const runsOfEachSize = 3;

async function judge(candidate: Candidate): Promise<Verdict> {
  let session: Session | undefined;
  forgetPeak();
  try {
    const startedAt = performance.now();
    session = await openSession(candidate.file, candidate.session);
    return await tryOut(candidate, session, performance.now() - startedAt);
  } catch (error) {
    const { code, message } = complaintOf(error);
    return { ok: false, code, reason: message };
  } finally {
    session?.release();
  }
}

async function tryOut(candidate: Candidate, session: Session, openMs: number): Promise<Verdict> {
  const { inputs, outputs } = session;
  const { needsBatchTrial, isBatched, rowsMax = 1, golden = [], signature, record } = candidate;
  if (signature !== undefined) checkSignature(signature, session);
  const fingerprint = fingerprintOf(candidate.session);
  let notBatched = needsBatchTrial ? await whyNotBatched(session) : undefined;
  const replayed = await replayAlone(session, golden);
  if (record !== undefined) checkRecord(replayed, record, fingerprint);
  if (isBatched && notBatched === undefined) {
    const reason = await whyNotInBatch(session, replayed, rowsMax);
    // Batches that a configuration promises must work; those that only the shapes suggest are given up.
    if (reason !== undefined && !needsBatchTrial) throw new Complaint('golden', reason);
    notBatched = reason;
  }
  const sizes = isBatched && notBatched === undefined ? sizesOf(rowsMax, candidate.preferredRows ?? []) : [0];
  const sample = replayed.find(({ inputs: own }) => own.every(({ shape }) => shape[0] !== 0));
  const runTimes = await measureRuns(session, sizes, runsOfEachSize, sample?.inputs);
  const outputsSha256 = replayed.map(({ sha256 }) => sha256);
  return {
    ok: true,
    inputs,
    outputs,
    notBatched,
    openMs,
    runTimes,
    peakRssBytes: peakBytes(),
    record: { fingerprint, outputsSha256 },
  };
}

function sizesOf(rowsMax: number, preferredRows: readonly number[]): number[] {
  const sizes = new Set([1, rowsMax, ...preferredRows.filter((rows) => rows > 0 && rows <= rowsMax)]);
  return [...sizes].sort((a, b) => a - b);
}

/** The runtime must see the tensors that our own reader of the file saw. */
function checkSignature(signature: Signature, session: Session): void {
  for (const kind of ['inputs', 'outputs'] as const) {
    const noun = kind.slice(0, -1);
    for (const spec of signature[kind]) {
      const found = session[kind].find(({ name }) => name === spec.name);
      if (found !== undefined && isSame(spec, found)) continue;
      const got = found === undefined ? 'nothing' : `${found.datatype} ${shapeText(found.shape)}`;
      throw mismatch(`${noun} '${spec.name}' is ${got}, expected ${spec.datatype} ${shapeText(spec.shape)}`);
    }
    const odd = session[kind].find(({ name }) => !signature[kind].some((spec) => spec.name === name));
    if (odd !== undefined) throw mismatch(`${noun} '${odd.name}' is not in the signature`);
  }
}

/** A version may show less than the model takes, never more; the runtime writes an unknown shape as that of a scalar. */
function isSame(spec: TensorSpec, found: SessionTensor): boolean {
  if (spec.datatype !== found.datatype) return false;
  if (found.shape.length === 0) return true;
  if (spec.shape.length !== found.shape.length) return false;
  return found.shape.every((size, axis) => size < 0 || size === spec.shape[axis]);
}

function mismatch(reason: string): Complaint {
  return new Complaint('signature_mismatch', `the runtime sees another signature than the file shows: ${reason}`);
}

process.on('message', (candidate: Candidate) => {
  void judge(candidate).then((verdict) => process.send?.(verdict));
});
process.on('disconnect', () => process.exit(0));
