/**
 * One replay: requests from the log, one after the other or a few at once, to the candidate, and its answers to the tally.
 *
 * An answer other than 2xx is counted and the replay goes on; a candidate that answers nothing any more ends it.
 *
 * Must not know the command line.
 */
import { encodeAll } from '../../bench/encode.js';
import { inputsOf } from '../../bench/log-input.js';
import { type MetadataJson, type ModelFacts, modelPath, specsOf } from '../../bench/target.js';
import { type LoggedRequest, reasonAgainst } from '../control/logged-request.js';
import { isRequestId } from '../core/request-id.js';
import { ask, parseAnswer } from './ask.js';
import type { Gateway } from './control-port.js';
import { Exit } from './exit.js';
import { loggedColumns, loggedModels, loggedRequests, replayPrefix } from './logged-requests.js';
import { type Condition, judged } from './replay-conditions.js';
import type { ReplayReport } from './replay-report.js';
import { type AnsweredOutput, ReplayTally } from './replay-tally.js';
import { openTrialGateway } from './trial-gateway.js';

export interface ReplayOrder {
  /** A version number, or a path. */
  readonly candidate: string;
  /** Undefined = the only one of the log. */
  readonly model: string | undefined;
  /** Only what this version answered. */
  readonly baseline: string | undefined;
  /** As it was asked for. */
  readonly last: string;
  /** Milliseconds since the epoch. */
  readonly fromMs: number;
  readonly requestsMax: number;
  readonly connections: number;
  readonly conditions: readonly Condition[];
  readonly control: Gateway;
  /** Where versions that are open are asked. */
  readonly http: string;
}

interface Candidate {
  readonly name: string;
  /** Address of its infer call. */
  readonly url: string;
  readonly facts: ModelFacts;
}

const timeoutMs = 60_000;
/** Requests in a row without any answer, after which nobody is there. */
const silentMax = 5;

/** @throws Exit when the candidate, the model or the log cannot be used */
export async function replayed(order: ReplayOrder, signal: AbortSignal): Promise<ReplayReport> {
  const model = order.model ?? (await onlyModel(order));
  if (/^[1-9][0-9]{0,17}$/.test(order.candidate)) {
    const place = { http: order.http, model, version: order.candidate };
    return run(order, await candidateAt(place, `version ${order.candidate}`), { model, signal });
  }
  const trial = await openTrialGateway(order.candidate, model);
  try {
    const place = { http: trial.http, model, version: trial.version };
    return await run(order, await candidateAt(place, order.candidate), { model, signal });
  } finally {
    await trial.close();
  }
}

async function onlyModel({ control, fromMs, last }: ReplayOrder): Promise<string> {
  const models = await loggedModels(control, fromMs);
  if (models.length === 1) return models[0]!;
  if (models.length === 0) throw new Exit(1, `nothing is logged of the last ${last}, as far as segments are closed`);
  throw new Exit(2, `--model: expected one of those that are logged: ${models.join(', ')}`);
}

interface Place {
  readonly http: string;
  readonly model: string;
  readonly version: string;
}

/** @throws Exit 1 in the gateway's words when it does not have that version open */
async function candidateAt({ http, model, version }: Place, name: string): Promise<Candidate> {
  const path = `${http}${modelPath(model, version)}`;
  const inputs = specsOf((await ask({ url: path, of: 'the gateway' })) as MetadataJson, model);
  const config = (await ask({ url: `${path}/config`, of: 'the gateway' })) as { max_batch_size?: unknown };
  const rowsMax = Number(config.max_batch_size ?? 0);
  return { name, url: `${path}/infer`, facts: { inputs, rowsMax, server: http } };
}

async function run(
  order: ReplayOrder,
  candidate: Candidate,
  { model, signal }: { readonly model: string; readonly signal: AbortSignal },
): Promise<ReplayReport> {
  const { control, fromMs, baseline: version, requestsMax, connections, conditions, last } = order;
  const startedAt = performance.now();
  const tally = new ReplayTally();
  const columns = await loggedColumns(control, model);
  const requests = loggedRequests(control, { model, fromMs, version });
  let taken = 0;
  let silent = 0;
  const isOver = () => taken >= requestsMax || silent >= silentMax || signal.aborted;
  const loop = async () => {
    while (!isOver()) {
      const { value: request, done } = await requests.next();
      if (done || request === undefined || isOver()) return;
      const reason = reasonAgainst(request);
      const inputs = reason === undefined ? inputsOf(request, candidate.facts, columns) : undefined;
      const payload = inputs && bodyOf(() => encodeAll([inputs], 'http-json', { model, version })[0]!.body);
      if (payload === undefined) {
        tally.passOver(reason ?? 'other inputs than the candidate has');
        continue;
      }
      taken++;
      silent = (await sent(request, { url: candidate.url, body: payload, tally })) ? 0 : silent + 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, loop));
  const problem = problemOf(tally, { isSilent: silent >= silentMax, isAborted: signal.aborted, last });
  return {
    model,
    candidate: candidate.name,
    last,
    durationMs: performance.now() - startedAt,
    counts: tally.counts,
    figures: tally.figures,
    loggedLatencyMs: tally.loggedLatencyMs,
    outputs: tally.outputs,
    examples: tally.examples,
    judged: judged(conditions, tally.figures),
    problem,
  };
}

interface Outcome {
  readonly isSilent: boolean;
  readonly isAborted: boolean;
  readonly last: string;
}

function problemOf(tally: ReplayTally, { isSilent, isAborted, last }: Outcome): string {
  if (isSilent) return 'the candidate does not answer any more';
  if (isAborted) return 'stopped before the end';
  const { answered, failed, passedOver } = tally.counts;
  if (answered + failed === 0 && passedOver.size === 0)
    return `nothing is logged of the last ${last}, as far as segments are closed (prediction_log.segment_age_ms)`;
  if (answered + failed === 0) return 'no request could be sent again; inputs are logged by prediction_log.sample';
  return answered === 0 ? 'the candidate answered none of the requests' : '';
}

/** @returns undefined when JSON cannot carry it */
function bodyOf(encode: () => Buffer): Buffer | undefined {
  try {
    return encode();
  } catch {
    return undefined;
  }
}

interface Sending {
  readonly url: string;
  readonly body: Buffer;
  readonly tally: ReplayTally;
}

/** @returns whether anybody answered */
async function sent(request: LoggedRequest, { url, body, tally }: Sending): Promise<boolean> {
  const id = `${replayPrefix}${request.requestId}`.slice(0, 128);
  const headers = { 'content-type': 'application/json', ...(isRequestId(id) && { 'x-request-id': id }) };
  const startedAt = performance.now();
  let status: number;
  let text: string;
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, {
      method: 'POST',
      headers,
      body: new Uint8Array(body),
      signal,
      redirect: 'error',
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    tally.fail((error as Error).name === 'TimeoutError' ? `no answer in ${timeoutMs} ms` : 'no connection');
    return false;
  }
  const latencyMs = performance.now() - startedAt;
  const answer = parseAnswer(text) as { error?: unknown; outputs?: unknown } | undefined;
  if (status === 200 && Array.isArray(answer?.outputs)) tally.add(request, answer.outputs.map(flat), latencyMs);
  else tally.fail(`${status} ${String(answer?.error ?? 'without outputs').slice(0, 200)}`);
  return true;
}

function flat(output: AnsweredOutput): AnsweredOutput {
  return { ...output, data: Array.isArray(output.data) ? output.data.flat(Number.POSITIVE_INFINITY) : [] };
}
