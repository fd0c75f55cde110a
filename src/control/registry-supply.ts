/**
 * PART OF THE ROOT: the sources of the configuration with the store that they fill; what comes of asking them is counted,
 * logged and handed to the registry.
 *
 * Must not know what becomes of a version.
 */
import { GatewayError } from '../core/errors.js';
import { nameOf } from '../core/model.js';
import type { Catalogue } from '../registry/catalogue.js';
import { Refusal } from '../registry/refusal.js';
import type { Registry } from '../registry/registry.js';
import type { Quarantine } from '../registry/store/quarantine.js';
import type { Store } from '../registry/store/store.js';
import { Supply } from '../registry/supply.js';
import { type SourceConfig, signatureModeOf, sourceOf } from './network-sources.js';
import type { RegistryTools } from './registry-room.js';
import { hooksOf } from './registry-store.js';
import type { SourceMemory } from './source-memory.js';
import { trustOf } from './trust.js';

const listTimeoutMs = 30_000;
/** A start with an earlier listing waits no longer than this for a newer one. */
const patienceMs = 2000;

export interface SupplyParts {
  readonly sources: readonly SourceConfig[];
  readonly catalogue: Catalogue;
  readonly store: Store;
  readonly memory: SourceMemory;
  readonly quarantine: Quarantine;
  /** Undefined until it is there. */
  readonly registry: () => Registry | undefined;
  /** Artifacts that must stay in the store. */
  readonly kept: () => ReadonlySet<string>;
  /** Content that is not what it was said to be. */
  readonly alarm: (subject: string, source: string, refusal: Refusal) => void;
  readonly report: (what: string, error: unknown) => void;
}

/** @throws INVALID_ARGUMENT for a source that cannot be */
export function supplyOf(tools: RegistryTools, parts: SupplyParts): Supply {
  const { live, log, counts, now, epochNow, random, environment } = tools;
  const { catalogue, store, memory, quarantine, registry, alarm, report } = parts;
  const { models, registry: config } = live.current;
  const onRefused = ({ kind }: Refusal) => counts.outboundRefused.add([kind]);
  const clock = { now, epochNow, random };
  const trust = trustOf(config);
  /** Sources of which nothing unsigned is taken. */
  const signedOnly = new Set(parts.sources.filter((one) => signatureModeOf(one) === 'require').map(({ name }) => name));
  const sourceTools = { bareName: models.name, trust, memory, environment, onRefused, ...clock };
  const supply = new Supply({
    sources: parts.sources.map((source) => ({
      source: sourceOf(source, sourceTools),
      pollMs: source.poll_ms,
      hooks: hooksOf(source, trust, log),
    })),
    catalogue,
    store,
    onOffer: () => void registry()?.offer().catch(failed('take up what sources offer')),
    onHealth: (health) => {
      const fields = { source: health.name, ...(health.isUp ? {} : { reason: health.reason }) };
      if (health.isUp) log.info('source.up', fields);
      else log.warn('source.down', fields);
      void registry()
        ?.degrade(degradation(supply))
        .catch(failed(`say that source ${health.name} is up or down`));
    },
    onRefusal: (source, refusal) => alarm(`source ${source}`, source, refusal),
    onPoll: (source, result) => counts.polls.add([source, result]),
    onPull: (source, stored, tookMs) => {
      counts.pullBytes.add([source], stored.bytes);
      counts.pullSeconds.add([source], tookMs / 1000);
      log.debug('version.stored', { model: nameOf(stored), source, tookMs: Math.round(tookMs) });
    },
    onPullFailed: (source, id, error) => {
      counts.pullFailures.add([source, error.code.toLowerCase()]);
      if (error instanceof Refusal) alarm(nameOf(id), source, error);
    },
    checkAllowed: (stored) => {
      const { artifactSha256, source, record } = stored;
      // It may have been stored when less was asked for, and its source not answer now.
      if (signedOnly.has(source) && record.verdict.status !== 'signed') {
        const refusal = new Refusal('signature', `a signature is required, and it was stored ${record.verdict.status}`);
        alarm(nameOf(stored), source, refusal);
        throw refusal;
      }
      const entry = quarantine.find(artifactSha256);
      if (entry !== undefined) throw new GatewayError('FAILED_PRECONDITION', `it is quarantined: ${entry.reason}`);
    },
    makeRoom: async (bytes) => {
      const { removed } = await store.collect(parts.kept(), 0, bytes);
      return removed.length > 0;
    },
    report,
    listTimeoutMs,
    patienceMs,
    epochNow,
    cpuMs: tools.cpuMs,
    random,
  });
  return supply;

  function failed(what: string) {
    return (error: unknown) => report(what, error);
  }
}

/** Empty while every source answers. */
export function degradation(supply: Supply): string {
  const down = supply.health().filter(({ isUp }) => !isUp);
  return down.length === 0 ? '' : `source ${down.map(({ name }) => name).join(', ')} does not answer`;
}
