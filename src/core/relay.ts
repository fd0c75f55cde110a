/**
 * Calls about the whole server, which a gateway process passes up to the control process: repository, statistics, settings.
 *
 * The union is closed, so that both ends fail to compile together. `relayOf` turns a V2 path and JSON body into a call; the
 * data port and the control port use the same one.
 *
 * Must not know sockets, or what is done with a call.
 */
import { GatewayError, invalid } from './errors.js';
import { isModelName, isVersionText } from './model.js';

export type LoadParameter = string | number | boolean | Uint8Array;

export type RelayCall =
  | { readonly call: 'index'; readonly ready: boolean }
  | { readonly call: 'statistics'; readonly model: string; readonly version: string }
  | { readonly call: 'load'; readonly model: string; readonly parameters: Readonly<Record<string, LoadParameter>> }
  | { readonly call: 'unload'; readonly model: string }
  | { readonly call: 'trace'; readonly model: string; readonly settings: Readonly<Record<string, unknown>> | undefined }
  /** What was true, of predictions of the model. @param body as it was sent @param authorization as it came; empty = none */
  | { readonly call: 'feedback'; readonly model: string; readonly body: unknown; readonly authorization: string }
  | { readonly call: 'logging'; readonly settings: Readonly<Record<string, unknown>> | undefined }
  /** Load policy lazy: this version was asked for and is not open. Answered when it is, in this process. */
  | { readonly call: 'want'; readonly model: string; readonly version: string };

/** One line of the repository index. */
export interface IndexEntry {
  readonly name: string;
  readonly version: string;
  readonly state: string;
  readonly reason: string;
}

/** Changes something, as opposed to reading it. */
export function isChange(call: RelayCall): boolean {
  if (call.call === 'trace' || call.call === 'logging') return call.settings !== undefined;
  return call.call === 'load' || call.call === 'unload';
}

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The call that an HTTP request on a repository, statistics, trace or logging path stands for.
 * @param segments decoded path segments after `/v2`, e.g. `['repository', 'index']`
 * @param body parsed JSON, or undefined for an empty body
 * @returns undefined when the path is none of these
 * @throws INVALID_ARGUMENT, UNIMPLEMENTED
 */
export function relayOf(method: 'GET' | 'POST', segments: readonly string[], body: unknown): RelayCall | undefined {
  if (segments[0] === 'repository') return repositoryOf(segments, body);
  if (segments[0] === 'logging' && segments.length === 1) {
    return { call: 'logging', settings: method === 'POST' ? objectOf(body) : undefined };
  }
  if (segments[0] === 'trace' && segments[1] === 'setting' && segments.length === 2) {
    return { call: 'trace', model: '', settings: method === 'POST' ? objectOf(body) : undefined };
  }
  if (segments[0] === 'models' && segments[2] === 'trace' && segments[3] === 'setting' && segments.length === 4) {
    return { call: 'trace', model: segments[1]!, settings: method === 'POST' ? objectOf(body) : undefined };
  }
  if (segments[0] === 'models' && segments.at(-1) === 'stats') return statisticsOf(segments);
  return undefined;
}

function statisticsOf(segments: readonly string[]): RelayCall | undefined {
  if (segments.length === 2) return { call: 'statistics', model: '', version: '' };
  if (segments.length === 3) return { call: 'statistics', model: segments[1]!, version: '' };
  if (segments.length === 5 && segments[2] === 'versions') {
    return { call: 'statistics', model: segments[1]!, version: checkedVersion(segments[3]!) };
  }
  return undefined;
}

function repositoryOf(segments: readonly string[], body: unknown): RelayCall | undefined {
  if (segments.length === 2 && segments[1] === 'index') {
    const ready = objectOf(body).ready ?? false;
    if (typeof ready !== 'boolean') throw invalid(`Invalid value for 'ready': expected a boolean`);
    return { call: 'index', ready };
  }
  const verb = segments.at(-1);
  const isNamed = (segments.length === 3 && verb === 'index') || (segments.length === 5 && segments[2] === 'models');
  if (isNamed) throw new GatewayError('UNIMPLEMENTED', `'repository_name' specification is not supported`);
  if (segments.length !== 4 || segments[1] !== 'models') return undefined;
  const model = segments[2]!;
  const parameters = objectOf(objectOf(body).parameters);
  if (verb === 'load')
    return { call: 'load', model: checkedModel(model), parameters: parameters as Record<string, LoadParameter> };
  if (verb === 'unload') {
    const dependents = parameters.unload_dependents ?? false;
    if (typeof dependents !== 'boolean') throw invalid(`Unable to parse 'unload_dependents': expected a boolean`);
    return { call: 'unload', model: checkedModel(model) };
  }
  return undefined;
}

function objectOf(value: unknown): JsonObject {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('expected a JSON object as the request body');
  return value as JsonObject;
}

/** @throws INVALID_ARGUMENT with the wire text when `text` is not a version number; empty stays empty */
export function checkedVersion(text: string): string {
  if (text === '' || isVersionText(text)) return text;
  throw invalid(
    `failed to get model version from specified version string '${text}', version should be an integral value > 0`,
  );
}

/** @throws INVALID_ARGUMENT when `name` cannot be a model name */
export function checkedModel(name: string): string {
  if (isModelName(name)) return name;
  if (name.trim() === '') throw invalid('Model name cannot be empty. Please enter a valid name to deploy.');
  if (/\.\.|[/\\\0]/.test(name)) {
    throw invalid(`invalid model name '${name}', model name must not contain path traversal characters`);
  }
  throw invalid(
    `invalid model name '${name}': expected 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit, and not 'stats'`,
  );
}
