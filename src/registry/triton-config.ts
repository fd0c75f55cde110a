/**
 * The configuration of a model: config.pbtxt as Triton reads it, or the same in JSON or YAML.
 *
 *   text → tree of fields → (table of known fields) → TritonConfig
 *
 * Names are Triton's own, so that its documentation holds. What is absent stays undefined: defaults are somebody else's.
 *
 * Must not know the model, the disk or what the values lead to.
 */
import { parseDocument } from 'yaml';
import { GatewayError } from '../core/errors.js';
import { parseTextProto, placeOf, type TextField, type TextMessage } from './text-proto.js';
import { modelFields, type Reading, readFields } from './triton-fields.js';

export interface TritonTensor {
  readonly name?: string;
  readonly data_type?: string;
  readonly dims?: readonly number[];
  readonly reshape?: { readonly shape?: readonly number[] };
  readonly format?: string;
  readonly label_filename?: string;
  readonly is_shape_tensor?: boolean;
  readonly allow_ragged_batch?: boolean;
  readonly optional?: boolean;
}

export interface TritonQueuePolicy {
  readonly timeout_action?: 'REJECT' | 'DELAY';
  readonly default_timeout_microseconds?: number;
  readonly allow_timeout_override?: boolean;
  readonly max_queue_size?: number;
}

interface TritonBatching {
  readonly preferred_batch_size?: readonly number[];
  readonly max_queue_delay_microseconds?: number;
  readonly preserve_ordering?: boolean;
  readonly priority_levels?: number;
  readonly default_priority_level?: number;
  readonly default_queue_policy?: TritonQueuePolicy;
  readonly priority_queue_policy?: Readonly<Record<string, TritonQueuePolicy>>;
}

interface TritonInstanceGroup {
  readonly name?: string;
  readonly kind?: 'KIND_AUTO' | 'KIND_GPU' | 'KIND_CPU' | 'KIND_MODEL';
  readonly count?: number;
  readonly gpus?: readonly number[];
}

export type VersionPolicy =
  | { readonly latest: { readonly num_versions: number } }
  | { readonly all: Readonly<Record<string, never>> }
  | { readonly specific: { readonly versions: readonly number[] } };

export interface TritonConfig {
  readonly name?: string;
  readonly platform?: string;
  readonly backend?: string;
  readonly max_batch_size?: number;
  readonly default_model_filename?: string;
  readonly input?: readonly TritonTensor[];
  readonly output?: readonly TritonTensor[];
  readonly dynamic_batching?: TritonBatching;
  readonly instance_group?: readonly TritonInstanceGroup[];
  readonly version_policy?: VersionPolicy;
  readonly model_warmup?: readonly Readonly<Record<string, unknown>>[];
  readonly optimization?: { readonly graph?: { readonly level?: number } };
  readonly parameters?: Readonly<Record<string, { readonly string_value?: string }>>;
  readonly response_cache?: { readonly enable?: boolean };
  readonly model_transaction_policy?: { readonly decoupled?: boolean };
}

export interface ReadConfig {
  readonly config: TritonConfig;
  /** One sentence each, naming the field. */
  readonly warnings: readonly string[];
}

const textMax = 1024 * 1024;
const depthMax = 32;

/** Schedulers that would give other answers than a plain run: a model that asks for one is refused, not served without. */
const refusedFields = ['sequence_batching', 'ensemble_scheduling'];

/**
 * @param fileName its ending decides the format; it begins every message
 * @throws FAILED_PRECONDITION naming the field, or line and column
 */
export function parseTritonConfig(fileName: string, text: string): ReadConfig {
  try {
    if (text.length > textMax) throw new GatewayError('FAILED_PRECONDITION', `it is longer than ${textMax} characters`);
    const isOurs = !fileName.endsWith('.pbtxt');
    const tree = isOurs ? treeOf(parsed(fileName, text)) : parseTextProto(text);
    const refused = tree.fields.find((field) => refusedFields.includes(field.name));
    if (refused !== undefined) throw new GatewayError('FAILED_PRECONDITION', `'${refused.name}' is not supported`);
    const reading: Reading = {
      isOurs,
      warnings: [],
      placeOf: (at) => (at < 0 ? '' : ` (${placeOf(text, at)})`),
    };
    const fields = readFields(tree, modelFields, '', reading);
    const config = { ...fields, ...policyOf(fields) } as TritonConfig;
    return { config, warnings: reading.warnings.map((warning) => `${fileName}: ${warning}`) };
  } catch (error) {
    if (error instanceof GatewayError) throw new GatewayError(error.code, `${fileName}: ${error.message}`);
    throw error;
  }
}

function parsed(fileName: string, text: string): unknown {
  try {
    // JSON is YAML, but its own parser gives its own messages and refuses what only looks like JSON.
    if (fileName.endsWith('.json')) return JSON.parse(text);
    const document = parseDocument(text, { prettyErrors: false, stringKeys: true });
    const [problem] = document.errors;
    if (problem === undefined) return document.toJS({ maxAliasCount: 100 });
    throw new Error(`${placeOf(text, problem.pos[0])}: ${problem.message}`);
  } catch (error) {
    throw new GatewayError('FAILED_PRECONDITION', (error as Error).message);
  }
}

/** JSON or YAML as the tree that config.pbtxt would give. */
function treeOf(value: unknown): TextMessage {
  if (value === null || value === undefined) return { kind: 'message', fields: [] };
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new GatewayError('FAILED_PRECONDITION', 'expected an object at the top');
  }
  const { version_policy: policy, ...rest } = value as Record<string, unknown>;
  return messageOf(policy === undefined ? rest : { ...rest, version_policy: spelledOut(policy) }, 0);
}

function messageOf(value: object, depth: number): TextMessage {
  if (depth > depthMax) throw new GatewayError('FAILED_PRECONDITION', `it is nested more than ${depthMax} deep`);
  const fields: TextField[] = [];
  for (const [name, member] of Object.entries(value)) {
    for (const element of Array.isArray(member) ? member : [member]) {
      if (element === null || element === undefined) continue;
      const isMessage = typeof element === 'object';
      if (isMessage && Array.isArray(element)) {
        throw new GatewayError('FAILED_PRECONDITION', `'${name}': a list in a list`);
      }
      fields.push({
        name,
        at: -1,
        value: isMessage
          ? messageOf(element, depth + 1)
          : { kind: 'scalar', text: String(element), isQuoted: typeof element === 'string' },
      });
    }
  }
  return { kind: 'message', fields };
}

/** The short forms of our own files: `all`, `{latest: 2}`, `{latest: {n: 2}}`, `{specific: [1, 3]}`. */
function spelledOut(policy: unknown): unknown {
  if (policy === 'all') return { all: {} };
  if (typeof policy !== 'object' || policy === null) return policy;
  const { latest, all, specific, ...rest } = policy as Record<string, unknown>;
  const count = typeof latest === 'object' && latest !== null && 'n' in latest ? latest.n : latest;
  return {
    ...rest,
    ...(latest === undefined ? {} : { latest: typeof count === 'number' ? { num_versions: count } : latest }),
    ...('all' in policy ? { all: all ?? {} } : {}),
    ...(specific === undefined ? {} : { specific: Array.isArray(specific) ? { versions: specific } : specific }),
  };
}

/** Exactly one choice; an empty one is Triton's default. */
function policyOf(fields: Readonly<Record<string, unknown>>): { version_policy?: VersionPolicy } {
  const policy = fields.version_policy as
    | { latest?: { num_versions?: number }; all?: object; specific?: { versions?: number[] } }
    | undefined;
  if (policy === undefined) return {};
  const chosen = Object.keys(policy);
  if (chosen.length > 1) {
    throw new GatewayError('FAILED_PRECONDITION', `'version_policy': expected one choice, got ${chosen.join(' and ')}`);
  }
  if (policy.all !== undefined) return { version_policy: { all: {} } };
  if (policy.specific !== undefined)
    return { version_policy: { specific: { versions: policy.specific.versions ?? [] } } };
  const count = policy.latest?.num_versions ?? 1;
  if (count < 1)
    throw new GatewayError('FAILED_PRECONDITION', `'version_policy.latest': expected at least 1, got ${count}`);
  return { version_policy: { latest: { num_versions: count } } };
}
