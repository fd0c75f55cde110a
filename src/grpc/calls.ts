/**
 * The unary calls beside inference: each a function from its request message to its response message, in the plain form
 * of the proto loader.
 *
 * Calls about the whole server become `RelayCall`s; what comes back is in the JSON form of protocol §8 and is turned into
 * the messages here.
 *
 * Must not know the gRPC library or the wire format.
 */
import { GatewayError } from '../core/errors.js';
import type { DataPlane, Selector } from '../core/inference.js';
import {
  checkedModel,
  checkedVersion,
  type IndexEntry,
  isChange,
  type LoadParameter,
  type RelayCall,
} from '../core/relay.js';
import { fromLogSettings, fromTraceSettings, longsAsText, toLogSettings, toTraceSettings } from './settings.js';

export type RelayPolicy = 'loopback' | 'on' | 'off';

export interface CallPolicy {
  readonly relayRead: RelayPolicy;
  readonly relayChange: RelayPolicy;
  readonly isServing: () => boolean;
}

/** Who calls: decides what is relayed. */
export interface Peer {
  /** `address:port`. */
  readonly peer: string;
  /** The call came through a proxy that said so. */
  readonly isForwarded: boolean;
  /** Metadata of that name; empty = none. */
  readonly authorization?: string;
}

// biome-ignore lint/suspicious/noExplicitAny: messages of the loader are typed by the proto files, not by TypeScript.
type Message = any;

export type UnaryCall = (request: Message, peer: Peer) => object | Promise<object>;

export interface RepositoryMessage {
  readonly repository_name: string;
  readonly model_name: string;
  readonly parameters: Readonly<Record<string, LoadParameter>>;
}

/** The methods of GRPCInferenceService apart from inference, by name. */
export function createCalls(plane: DataPlane, policy: CallPolicy): Readonly<Record<string, UnaryCall>> {
  const relay = (call: RelayCall, peer: Peer): Promise<unknown> => {
    checkRelay(isChange(call) ? policy.relayChange : policy.relayRead, peer);
    return plane.relay(call);
  };
  return {
    ServerLive: () => ({ live: true }),
    ServerReady: () => {
      const state = plane.state();
      return { ready: policy.isServing() && state.isReady && !state.isDraining };
    },
    ServerMetadata: () => plane.server,
    ModelReady: ({ name, version }) => ({ ready: plane.readiness(checkedModel(name), selectorOf(version)).isReady }),
    ModelMetadata: ({ name, version }) => plane.metadata(checkedModel(name), selectorOf(version)),
    ModelConfig: async ({ name, version }) => ({
      config: (await plane.find(checkedModel(name), selectorOf(version))).config,
    }),
    ModelStatistics: async ({ name, version }, peer) => {
      const model = name === '' ? '' : checkedModel(name);
      return longsAsText(await relay({ call: 'statistics', model, version: checkedVersion(version) }, peer)) as object;
    },
    RepositoryIndex: async ({ repository_name, ready }, peer) => {
      if (repository_name !== '') throw repositoryNamed();
      return { models: (await relay({ call: 'index', ready }, peer)) as readonly IndexEntry[] };
    },
    RepositoryModelLoad: async (message: RepositoryMessage, peer) => {
      const model = modelOf(message);
      await relay({ call: 'load', model, parameters: message.parameters }, peer);
      return { model_name: model, isLoaded: true };
    },
    RepositoryModelUnload: async (message: RepositoryMessage, peer) => {
      const model = modelOf(message);
      await relay({ call: 'unload', model }, peer);
      return { model_name: model, isUnloaded: true };
    },
    TraceSetting: async ({ model_name, settings }, peer) => {
      const model = model_name === '' ? '' : checkedModel(model_name);
      return toTraceSettings(await relay({ call: 'trace', model, settings: fromTraceSettings(settings) }, peer));
    },
    LogSettings: async ({ settings }, peer) =>
      toLogSettings(await relay({ call: 'logging', settings: fromLogSettings(settings) }, peer)),
  };
}

function selectorOf(version: string): Selector {
  return version === '' ? {} : { version: checkedVersion(version) };
}

/** Two variants of the messages exist: field 2 is the model, or field 1 when field 2 is empty. */
function modelOf({ repository_name, model_name }: RepositoryMessage): string {
  if (model_name === '') return checkedModel(repository_name);
  if (repository_name !== '') throw repositoryNamed();
  return checkedModel(model_name);
}

function repositoryNamed(): GatewayError {
  return new GatewayError('UNIMPLEMENTED', `'repository_name' specification is not supported`);
}

function checkRelay(policy: RelayPolicy, { peer, isForwarded }: Peer): void {
  if (policy === 'on' || (policy === 'loopback' && !isForwarded && isLoopback(peer))) return;
  throw new GatewayError('PERMISSION_DENIED', 'model control is not allowed on this listener');
}

function isLoopback(peer: string): boolean {
  const address = peer.slice(0, peer.lastIndexOf(':')).replace(/^::ffff:/i, '');
  return address === '::1' || /^127\.\d+\.\d+\.\d+$/.test(address);
}
