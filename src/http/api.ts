/**
 * V2 over HTTP: which path is which call, and who may make it.
 *
 * The table below is the whole surface of the data port. What concerns the whole server is passed up to the control process
 * (`relay`), when the listener's policy allows it; that is decided by method, path and peer, before a body is read.
 *
 * Must not know sockets, or what a call does behind the DataPlane.
 */
import { GatewayError } from '../core/errors.js';
import type { DataPlane, ModelMetadata } from '../core/inference.js';
import { type RelayCall, relayOf } from '../core/relay.js';
import { errorAnswer, jsonAnswer } from './answers.js';
import { FeedbackCalls } from './feedback-call.js';
import { decideInference, type InferenceOptions } from './inference-call.js';
import { jsonValueOf } from './json-value.js';
import { docsPage, modelDocument, serverDocument } from './openapi.js';
import { PathTable, type TableRow, type Target } from './paths.js';
import type { BodyConsumer, Decision, HttpRequest, HttpResponse, Route } from './transport.js';

export interface ApiOptions extends InferenceOptions {
  /** Repository index, statistics and reading of settings on this port. */
  readonly relayRead: 'on' | 'off';
  /** Load, unload and changes of settings on this port; `loopback` = from this host and not by a proxy. */
  readonly relayChange: 'loopback' | 'on' | 'off';
}

/** An endpoint is asked before the body is read. */
type Endpoint = (call: Call) => Decision | Promise<Decision>;

interface Call {
  readonly plane: DataPlane;
  readonly feedback: FeedbackCalls;
  readonly options: ApiOptions;
  readonly request: HttpRequest;
  readonly target: Target<Endpoint>;
}

/** Every URL of the data port. */
export const dataTable: readonly TableRow<Endpoint>[] = [
  ['GET', '/v2/health/live', live],
  ['GET', '/v2/health/ready', ready],
  ['GET', '/livez', live],
  ['GET', '/readyz', ready],
  ['GET', '/v2', server],
  ['GET', '/v2/', server],
  ['GET', '/v2/docs', docs],
  ['GET', '/openapi.json', openapi],
  ['GET', '/v2/models', models],
  ['GET', '/v2/models/stats', relayRead],
  ['POST', '{mv}/infer', infer],
  ['GET', '{mv}', metadata],
  ['GET', '{mv}/ready', modelReady],
  ['GET', '{mv}/config', config],
  ['GET', '{mv}/stats', relayRead],
  ['GET', '/v2/models/{m}/openapi.json', modelOpenapi],
  ['POST', '/v2/models/{m}/feedback', feedback],
  ['GET', '/v2/models/{m}/trace/setting', relayRead],
  ['POST', '/v2/models/{m}/trace/setting', relayChange],
  ['GET', '/v2/trace/setting', relayRead],
  ['POST', '/v2/trace/setting', relayChange],
  ['GET', '/v2/logging', relayRead],
  ['POST', '/v2/logging', relayChange],
  ['POST', '/v2/repository/index', relayPosted],
  ['POST', '/v2/repository/models/{m}/load', relayChange],
  ['POST', '/v2/repository/models/{m}/unload', relayChange],
  ['POST', '/v2/repository/{any}/index', relayPosted],
  ['POST', '/v2/repository/{any}/models/{any}/load', relayPosted],
  ['POST', '/v2/repository/{any}/models/{any}/unload', relayPosted],
];

/** The route of the data port. */
export function createApi(plane: DataPlane, options: ApiOptions): Route {
  const table = new PathTable(dataTable);
  const parts = { plane, options, feedback: new FeedbackCalls() };
  return (request) => {
    const decision = decide(table, parts, request);
    return plane.state().isDraining ? closing(decision) : decision;
  };
}

function decide(
  table: PathTable<Endpoint>,
  { plane, options, feedback }: Omit<Call, 'request' | 'target'>,
  request: HttpRequest,
): Decision | Promise<Decision> {
  try {
    const target = table.find(request.path);
    if (target === undefined) return jsonAnswer(404, { error: 'Not Found' });
    const endpoint = target.endpoints.get(request.method === 'HEAD' ? 'GET' : request.method);
    if (endpoint === undefined) return wrongMethod(target);
    // Written out: a spread here costs 10 µs a request under load (measured), far beyond the copy itself.
    const decision = endpoint({ plane, options, feedback, request, target });
    return decision instanceof Promise ? decision.catch(failed) : decision;
  } catch (thrown) {
    return failed(thrown);
  }
}

function failed(thrown: unknown): HttpResponse {
  return errorAnswer(GatewayError.from(thrown));
}

function wrongMethod({ endpoints }: Target<Endpoint>): HttpResponse {
  const allowed = [...endpoints.keys()].flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  const { status, headers, body } = jsonAnswer(405, { error: 'Method Not Allowed' });
  return { status, headers: [...headers, ['Allow', allowed.join(', ')]], body };
}

/** The same decision, its connection closed after the answer. */
function closing(decision: Decision | Promise<Decision>): Decision | Promise<Decision> {
  if (decision instanceof Promise) return decision.then((late) => closing(late) as Decision);
  if (!('consume' in decision)) return last(decision);
  return {
    consume: (body) => {
      const answer = decision.consume(body);
      return answer instanceof Promise ? answer.then(last) : last(answer);
    },
    refuse: (status, error) => last(decision.refuse(status, error)),
  };
}

function last(answer: HttpResponse): HttpResponse {
  return { ...answer, isLast: true };
}

function live(): HttpResponse {
  return jsonAnswer(200, { live: true });
}

function ready({ plane }: Call): HttpResponse {
  const { isReady, isDegraded, reason } = plane.state();
  if (!isReady) return jsonAnswer(503, { ready: false, error: reason });
  return jsonAnswer(200, isDegraded ? { ready: true, degraded: true } : { ready: true });
}

function server({ plane }: Call): HttpResponse {
  const { name, version, extensions } = plane.server;
  return jsonAnswer(200, { name, version, extensions });
}

function models({ plane }: Call): HttpResponse {
  return jsonAnswer(200, { models: plane.models() });
}

function infer({ plane, options, request, target }: Call): Decision | Promise<Decision> {
  return decideInference(plane, options, request, target);
}

function metadata({ plane, target }: Call): Promise<HttpResponse> {
  return plane.metadata(target.model, target.selector).then((found) => jsonAnswer(200, metadataOf(found)));
}

/** Members in the order of the specification. */
function metadataOf({ name, versions, platform, inputs, outputs, properties }: ModelMetadata): object {
  const tensor = (spec: ModelMetadata['inputs'][number]) => ({
    name: spec.name,
    datatype: spec.datatype,
    shape: spec.shape,
  });
  return { name, versions, platform, inputs: inputs.map(tensor), outputs: outputs.map(tensor), properties };
}

function modelReady({ plane, target: { model, selector } }: Call): HttpResponse {
  const { isReady, reason } = plane.readiness(model, selector);
  if (isReady) return jsonAnswer(200, { name: model, ready: true });
  return jsonAnswer(503, { name: model, ready: false, error: reason });
}

async function config({ plane, target: { model, selector } }: Call): Promise<HttpResponse> {
  const version = await plane.find(model, selector);
  return jsonAnswer(200, version.config);
}

function docs({ plane }: Call): HttpResponse {
  return {
    status: 200,
    headers: [['Content-Type', 'text/html; charset=utf-8']],
    body: docsPage(plane.server, plane.models()),
  };
}

function openapi({ plane }: Call): HttpResponse {
  return jsonAnswer(200, serverDocument(plane.server));
}

/** What was true, of predictions of the model. */
function feedback({ feedback: calls, plane, options, request, target }: Call): BodyConsumer {
  return calls.admit(plane, target.model, request, options.jsonDepthMax);
}

function modelOpenapi({ plane, target: { model, selector } }: Call): Promise<HttpResponse> {
  return plane.metadata(model, selector).then((found) => jsonAnswer(200, modelDocument(plane.server, found)));
}

/** GET on something about the whole server. */
function relayRead(call: Call): Decision | Promise<Decision> {
  checkRead(call.options);
  const { segments, model, selector } = call.target;
  if (selector.label === undefined) return passUp(call, relayOf('GET', segments.slice(1), undefined));
  return labelled(call, model, selector.label);
}

/** Statistics of the version behind a label, which control knows by its number. */
async function labelled(call: Call, model: string, label: string): Promise<HttpResponse> {
  const { id } = await call.plane.find(model, { label });
  return passUp(call, { call: 'statistics', model, version: id.version });
}

/** POST that only reads. */
function relayPosted(call: Call): BodyConsumer {
  checkRead(call.options);
  return relayBody(call);
}

/** POST that changes something. */
function relayChange(call: Call): BodyConsumer {
  const { request, options } = call;
  const isDirect = request.header('forwarded') === undefined && request.header('x-forwarded-for') === undefined;
  const isAllowed =
    options.relayChange === 'on' || (options.relayChange === 'loopback' && isDirect && isLoopback(request.peer));
  if (!isAllowed) throw notAllowed();
  return relayBody(call);
}

function checkRead(options: ApiOptions): void {
  if (options.relayRead === 'off') throw notAllowed();
}

function notAllowed(): GatewayError {
  return new GatewayError('PERMISSION_DENIED', 'model control is not allowed on this listener');
}

function isLoopback(peer: string): boolean {
  return peer.startsWith('127.') || peer === '::1' || peer === '0:0:0:0:0:0:0:1';
}

function relayBody(call: Call): BodyConsumer {
  return {
    consume: (body) => {
      try {
        return passUp(
          call,
          relayOf(
            'POST',
            call.target.segments.slice(1),
            body.length === 0 ? undefined : jsonValueOf(body, call.options.jsonDepthMax),
          ),
        ).catch(failed);
      } catch (thrown) {
        return failed(thrown);
      }
    },
    refuse: (status, error) => errorAnswer(error, status),
  };
}

async function passUp({ plane }: Call, call: RelayCall | undefined): Promise<HttpResponse> {
  if (call === undefined) return jsonAnswer(404, { error: 'Not Found' });
  const result = await plane.relay(call);
  if (call.call === 'load') return jsonAnswer(200, { name: call.model, load: true });
  if (call.call === 'unload') return jsonAnswer(200, { name: call.model, unload: true });
  return jsonAnswer(200, result);
}
