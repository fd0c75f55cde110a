/**
 * PART OF THE ROOT: one logged request, run once more on the version that answered it.
 *
 *   rows of the log ─▶ the request as it was ─▶ written down ─▶ a gateway process runs it ─▶ compared (monitoring §9.2)
 *                                                                                            └▶ other answer, same bytes: incident
 *
 * It reaches the version's own queue and nothing before it: no route, quota or cache has a say, and it is neither logged nor
 * counted as a request, so that looking changes nothing that is looked at.
 *
 * Must not know how rows are stored, or how a process runs a request.
 */
import type { Monitoring } from '../admin/monitoring-operations.js';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId } from '../core/model.js';
import type { Tensor } from '../core/tensor.js';
import type { Repeated } from '../ipc.js';
import type { Log } from '../log.js';
import type { OutputComparison } from '../monitor/stats/outputs.js';
import type { Row } from '../predictions/rows.js';
import { loggedColumns } from './logged-columns.js';
import { loggedInputs } from './logged-inputs.js';
import { type ComparedOutput, comparedOutputs } from './logged-outputs.js';
import { type LoggedRequest, loggedRequestOf, reasonAgainst, type Unrepeatable } from './logged-request.js';
import { loggedRows, type PredictionRoom } from './prediction-room.js';
import type { RegistryRoom } from './registry-room.js';

export interface ReplayTools {
  readonly room: RegistryRoom;
  readonly log: Log;
  readonly actor: string;
  /** Undefined when nothing is logged. */
  readonly predictions: PredictionRoom | undefined;
  /** Runs inputs on a version in one of the gateway processes. */
  readonly repeat: (id: VersionId, inputs: readonly Tensor[]) => Promise<Repeated>;
}

type Asked = Extract<Monitoring, { readonly ask: 'replay' }>;

interface OutputDocument {
  readonly output: string;
  readonly same: boolean;
  readonly items: number;
  readonly shape_mismatch: boolean;
  readonly match_rate: number | null;
  readonly argmax_agree: boolean | null;
  readonly max_abs_diff: number | null;
  readonly mean_abs_diff: number | null;
  readonly rmse: number | null;
  readonly cosine: number | null;
  readonly js_distance_bits: number | null;
  readonly topk_overlap: number | null;
  readonly agreement: number | null;
  /** The first items that differ, with their first elements. */
  readonly differences: ComparedOutput['differences'];
}

interface ReplayDocument {
  readonly request_id: string;
  readonly model: string;
  readonly version: string;
  /** When it was asked, UTC. */
  readonly ts: string;
  readonly items: number;
  /** What the version is made of: then, and now. Empty where bytes have no digest. */
  readonly fingerprint: { readonly logged: string; readonly now: string; readonly is_unchanged: boolean };
  readonly verdict: 'same' | 'differs';
  /** The same version, of the same bytes, has answered the same inputs in another way. */
  readonly incident: boolean;
  readonly explanation: string;
  /** What the version said instead of an answer. */
  readonly error: string | null;
  readonly outputs: readonly OutputDocument[];
}

/** @throws NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE, and what the version answers */
export async function replayed({ request: requestId, reason }: Asked, tools: ReplayTools): Promise<ReplayDocument> {
  const { room, log, actor } = tools;
  const rows = newestOf(await loggedRows(requestId, tools.predictions), requestId);
  const request = loggedRequestOf(rows);
  const [first] = rows;
  const id = { model: String(first!.model), version: request.version };
  checkWhole(request, tools.predictions!.rowsMax);
  const inputs = inputsOf(request, id, room);
  await room.audit.append('request.replayed', nameOf(id), { request_id: requestId, reason }, actor);
  const { outputs: answered, sha256: now, error } = await answerTo(request, { id, inputs }, tools);
  const outputs = comparedOutputs(request, answered);
  const logged = String(first!.artifact_sha256 ?? '');
  const isUnchanged = logged === now;
  const isSame = outputs.every((output) => output.isSame);
  const isIncident = !isSame && isUnchanged;
  if (isIncident)
    log.warn('replay.incident', { request: requestId, model: nameOf(id), sha256: now, ...worstOf(outputs) });
  return {
    request_id: requestId,
    ...id,
    ts: String(first!.ts),
    items: request.items.length,
    fingerprint: { logged, now, is_unchanged: isUnchanged },
    verdict: isSame ? 'same' : 'differs',
    incident: isIncident,
    explanation: explanationOf(id, isSame, isUnchanged),
    error,
    outputs: outputs.map(documentOf),
  };
}

interface Answer extends Repeated {
  readonly error: string | null;
}

/** A version that fails where it had answered has answered in another way. @throws FAILED_PRECONDITION, UNAVAILABLE, and other refusals */
async function answerTo(
  request: LoggedRequest,
  { id, inputs }: { readonly id: VersionId; readonly inputs: readonly Tensor[] },
  { room, repeat }: ReplayTools,
): Promise<Answer> {
  try {
    return { ...(await repeat(id, inputs)), error: null };
  } catch (thrown) {
    const { code, message } = GatewayError.from(thrown);
    if (code === 'NOT_FOUND') throw notOpen(request, id);
    if (code !== 'INTERNAL' && code !== 'INVALID_ARGUMENT') throw thrown;
    return { outputs: [], sha256: room.registry.specOf(id)?.artifact?.sha256 ?? '', error: message };
  }
}

/** The rows of the newest request of that id that a caller was answered by. @throws FAILED_PRECONDITION */
function newestOf(rows: readonly Row[], requestId: string): readonly Row[] {
  const answers = rows.filter(({ role }) => role !== 'shadow');
  const last = answers.toSorted((a, b) => String(a.ts).localeCompare(String(b.ts))).at(-1);
  if (last === undefined)
    throw refused(requestId, 'only a copy of it for a shadow is logged, and no answer to a caller');
  const keyOf = ({ gateway_id, incarnation, seq }: Row) => `${gateway_id} ${incarnation} ${seq}`;
  return answers
    .filter((row) => keyOf(row) === keyOf(last))
    .toSorted((a, b) => Number(a.item_index) - Number(b.item_index));
}

const missing: Readonly<Record<Unrepeatable, string>> = {
  failed: 'it was answered with an error, so there is no answer to compare with',
  redacted: 'a part of it was redacted before it was logged (prediction_log.redact)',
  truncated: 'a part of it was cut off when it was logged (prediction_log.max_tensor_bytes, prediction_log.truncate)',
  'logged without inputs':
    'its inputs and outputs are not in the log: prediction_log.sample says for which share of requests they are kept, prediction_log.payload_days for how long',
};

/** @throws FAILED_PRECONDITION */
function checkWhole(request: LoggedRequest, rowsMax: number): void {
  const reason = reasonAgainst(request);
  if (reason !== undefined) throw refused(request.requestId, missing[reason]);
  if (request.items.length >= rowsMax)
    throw refused(request.requestId, `it has more items than are read at once (prediction_log.query_rows: ${rowsMax})`);
}

/** @throws FAILED_PRECONDITION */
function inputsOf(request: LoggedRequest, id: VersionId, { registry }: RegistryRoom): Tensor[] {
  const spec = registry.specOf(id);
  if (spec === undefined) throw notOpen(request, id);
  const { inputs } = spec.signature;
  const isBatched = spec.batch.rowsMax !== 0 && inputs.every(({ shape }) => shape[0] === -1);
  const columns = loggedColumns(id.model, registry).versions.map((one) => [one.version, one.columns] as const);
  const found = loggedInputs(request, { inputs, isBatched }, new Map(columns));
  if (found !== undefined) return found;
  const text = `what is logged does not give all inputs of ${nameOf(id)} in their shapes`;
  throw refused(request.requestId, `${text}: only declared features are kept of a version that declares some`);
}

function notOpen({ requestId }: LoggedRequest, { model, version }: VersionId): GatewayError {
  const how = `load its model, or pin it (POST /admin/models/${model}/load, …/pin), and ask again once it is ready`;
  return refused(requestId, `version ${version} of model '${model}', which answered it, is not open: ${how}`);
}

function refused(requestId: string, why: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `request '${requestId}' cannot be run again: ${why}`);
}

function explanationOf(id: VersionId, isSame: boolean, isUnchanged: boolean): string {
  const name = nameOf(id);
  if (isSame) return `${name} answers as it did${isUnchanged ? '' : ', although its content is another by now'}`;
  if (!isUnchanged) return `${name} answers in another way, and its content is another than when this was logged`;
  return `${name} answers in another way although its content is the same: the log, the runtime or the machine is not what it was`;
}

/** The output that is furthest off. */
function worstOf(outputs: readonly ComparedOutput[]): { output: string; maxAbsDiff: number | null } {
  const off = outputs.filter(({ isSame }) => !isSame);
  const [worst] = off.toSorted((a, b) => differenceOf(b) - differenceOf(a));
  return { output: worst!.output, maxAbsDiff: worst!.comparison.maxAbsDiff };
}

function differenceOf({ comparison }: ComparedOutput): number {
  return comparison.maxAbsDiff ?? Infinity;
}

function documentOf({ output, isSame, comparison, differences }: ComparedOutput): OutputDocument {
  return { output, same: isSame, ...measuresOf(comparison), differences };
}

function measuresOf(comparison: OutputComparison): Omit<OutputDocument, 'output' | 'same' | 'differences'> {
  const { items, shapeMismatch, matchRate, argmaxAgree, maxAbsDiff, meanAbsDiff, rmse } = comparison;
  const { cosine, jsDistanceBits, topkOverlap, agreement } = comparison;
  return {
    items,
    shape_mismatch: shapeMismatch,
    match_rate: matchRate,
    argmax_agree: argmaxAgree,
    max_abs_diff: maxAbsDiff,
    mean_abs_diff: meanAbsDiff,
    rmse,
    cosine,
    js_distance_bits: jsDistanceBits,
    topk_overlap: topkOverlap,
    agreement,
  };
}
