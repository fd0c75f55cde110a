/**
 * PART OF THE ROOT: the registry with everything that it stands on: audit log, store, sources, admission.
 *
 *   sources ─▶ supply ─▶ repository (bring, read, try) ─▶ registry ─▶ audit log ─▶ fleet
 *
 * Must not know any rule: rules live in the rooms.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { configHash } from '../audit/config-hash.js';
import { AuditLog } from '../audit/log.js';
import { overridden, specDefaultsOf } from '../config/derived.js';
import type { Config } from '../config/schema.js';
import type { GoldenRecord } from '../core/admission.js';
import { GatewayError, invalid } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { RouteTable } from '../core/route.js';
import type { Log } from '../log.js';
import type { Admission } from '../registry/admission.js';
import { unpack } from '../registry/archive.js';
import { Catalogue, type CatalogueOptions, type OfferedModel } from '../registry/catalogue.js';
import { contractBreaches } from '../registry/contract.js';
import { Refusal } from '../registry/refusal.js';
import { type Publication, Registry, type Remembered, type StateChange } from '../registry/registry.js';
import { ownPolicyOf, Repository, type Trial, type TrialVerdict } from '../registry/repository.js';
import { noTrust, readTrust } from '../registry/signing/trust.js';
import { verifySignatures } from '../registry/signing/verify.js';
import type { PullHooks } from '../registry/store/pull-hooks.js';
import { Quarantine } from '../registry/store/quarantine.js';
import { StateDocument } from '../registry/store/state.js';
import { type Collected, Store, storeDefaults } from '../registry/store/store.js';
import { Supply } from '../registry/supply.js';
import { isServed } from '../registry/versions.js';
import type { Blame } from '../supervisor/blame.js';
import type { ControlCounts } from './counts.js';
import { LoadTimes } from './load-times.js';
import { type SourceConfig, signatureModeOf, sourceOf, sourcesIn } from './network-sources.js';
import type { LiveConfig, ModelChange } from './reload.js';
import { problemsWith, Routes, routedVersions } from './routes.js';
import { storedMemory } from './source-memory.js';

export interface RegistryTools {
  readonly live: LiveConfig;
  readonly log: Log;
  readonly counts: ControlCounts;
  readonly admission: Admission<Trial, TrialVerdict>;
  readonly open: (spec: VersionSpec) => Promise<void>;
  readonly drain: (id: VersionId) => Promise<void>;
  readonly publish: (table: RouteTable) => Promise<void>;
  readonly observe: (change: StateChange) => void;
  readonly now: () => number;
  readonly epochNow: () => number;
  readonly cpuMs: () => number;
  readonly random: () => number;
  /** Where credentials are. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface RegistryRoom {
  readonly registry: Registry;
  readonly supply: Supply;
  readonly store: Store;
  readonly audit: AuditLog;
  readonly quarantine: Quarantine;
  /** Deletes what nobody needs from the store. */
  collect(graceMs: number): Promise<Collected>;
  /** A version is blamed for the death of a process: written down, and twice within the window is too often. */
  blame(blame: Blame | undefined): void;
  /** When a version became the one that answers; 0 = never. */
  publishedAt(id: VersionId): number;
  /** What a configuration would do to the models. @throws INVALID_ARGUMENT with a line for each route that cannot be */
  foresee(next: Config): readonly ModelChange[];
  /** Takes up options that have changed. */
  takeUp(before: Config): Promise<void>;
  close(): Promise<void>;
}

const listTimeoutMs = 30_000;
/** A start with an earlier listing waits no longer than this for a newer one. */
const patienceMs = 2000;
const retryMs = 1000;

const goldenRecords: z.ZodType<Readonly<Record<string, GoldenRecord>>> = z.record(
  z.string(),
  z.object({ fingerprint: z.string(), outputsSha256: z.array(z.string()) }),
);
/** How often the store is swept. */
const collectMs = 600_000;

const choice = z.object({
  aliases: z.record(z.string(), z.string()),
  hold: z.object({ version: z.string(), revision: z.string(), to: z.string() }).optional(),
  pins: z.array(z.string()),
});
const remembered = z.record(
  z.string(),
  z.object({
    champion: z.string().optional(),
    previous: z.string().optional(),
    labels: z.record(z.string(), z.string()),
    choice,
  }),
) as unknown as z.ZodType<Remembered>;

/** @throws GatewayError with one line that says what to do when the store or the audit log cannot be had */
export async function openRegistryRoom(tools: RegistryTools): Promise<RegistryRoom> {
  const { live, log, counts, epochNow, random, now } = tools;
  const config = live.current;
  const store = await openStore(tools);
  const audit = await AuditLog.open({
    path: config.audit.path,
    fileBytesMax: config.audit.max_file_bytes,
    now: epochNow,
    actor: 'system:control',
  });
  await audit.append('started', 'server', { config_hash: configHash(config) });
  const quarantine = await Quarantine.open(store.state);
  const serving = await StateDocument.open<Remembered>(store.state, 'serving', remembered, {});
  const routes = await Routes.open(store.state, () => live.current);
  const goldens = await StateDocument.open(store.state, 'golden', goldenRecords, {});
  // Who loads by calls says himself when a version is complete: nothing is polled, nothing has to settle.
  const isExplicit = config.models.load === 'explicit';
  const sources = sourcesIn(config).map((source) => (isExplicit ? { ...source, poll_ms: 0 } : source));
  const sourceTools = {
    bareName: config.models.name,
    trust: config.registry.trust,
    memory: await storedMemory(store.state),
    environment: tools.environment,
    now,
    epochNow,
    random,
  };
  const catalogue = new Catalogue(catalogueOptions(tools, sources, () => live.current));
  const room: { registry?: Registry } = {};
  const published = new Map<string, number>();
  const times = new LoadTimes(counts, now);
  const alarm = (subject: string, source: string, { kind, message: reason }: Refusal) => {
    counts.securityEvents.add([kind]);
    log.error('security', { kind, source, subject, reason });
    void audit.append('security', subject, { kind, source, reason }).catch(() => {});
  };

  const supply = new Supply({
    sources: sources.map((source) => ({
      source: sourceOf(source, sourceTools),
      pollMs: source.poll_ms,
      hooks: hooksOf(tools, source),
    })),
    catalogue,
    store,
    onOffer: () =>
      void room.registry?.offer().catch((error: Error) => log.error('registry.offer', { error: error.message })),
    onHealth: (health) => {
      const fields = { source: health.name, ...(health.isUp ? {} : { reason: health.reason }) };
      if (health.isUp) log.info('source.up', fields);
      else log.warn('source.down', fields);
      void room.registry?.degrade(degradation(supply)).catch(() => {});
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
    checkAllowed: ({ artifactSha256 }) => {
      const entry = quarantine.find(artifactSha256);
      if (entry !== undefined) throw new GatewayError('FAILED_PRECONDITION', `it is quarantined: ${entry.reason}`);
    },
    makeRoom: async (bytes) => {
      const { removed } = await store.collect(room.registry?.kept() ?? new Set(), 0, bytes);
      return removed.length > 0;
    },
    listTimeoutMs,
    patienceMs,
    epochNow,
    cpuMs: tools.cpuMs,
    random,
  });

  const repository = new Repository({
    bring: (id, how) => supply.bring(id, how),
    defaults: specDefaultsOf(config),
    override: (spec) => overridden(spec, live.current),
    trial: (trial, memoryBytesMax) => tools.admission.admit(trial, memoryBytesMax),
    records: {
      get: (sha256) => goldens.value[sha256],
      put: (sha256, record) => goldens.change((all) => ({ ...all, [sha256]: record })),
    },
    warn: (id, warning) => log.warn('model.warning', { model: nameOf(id), warning }),
  });

  const registry = new Registry({
    policy: config.models.load,
    list: () => catalogue.models(),
    look: (model) => supply.look(model),
    admit: (id, how) => times.admit(id, how, (timed) => repository.admit(id, timed)),
    open: (spec) => times.open(spec, tools.open),
    drain: tools.drain,
    publish: (table) => times.publish(async () => tools.publish(await routes.with(table))),
    record: async (publication) => {
      if (publication.version !== undefined && publication.previous !== undefined) times.swapBegins();
      await recorded(tools, audit, publication);
      const { model, version } = publication;
      if (version !== undefined) published.set(nameOf({ model, version }), now());
    },
    remember: (next) => serving.change(() => next),
    remembered: serving.value,
    breaches: (old, next) => {
      if (live.current.model_overrides[next.id.model]?.allow_breaking === true) return [];
      const contractOf = (spec: VersionSpec) => ({
        signature: spec.signature,
        labels: spec.labels,
        features: repository.manifestOf(spec)?.features,
      });
      return contractBreaches(contractOf(old), contractOf(next));
    },
    observe: tools.observe,
    now,
    lazy: { openMax: config.models.lazy.max_open, bytesMax: config.models.lazy.max_bytes },
    retriesMax: config.models.load_retries,
    retryMs,
    keepPreviousMs: () => live.current.models.keep_previous_ms,
    readiness: () => live.current.readiness.models,
  });
  room.registry = registry;

  const collect = (graceMs: number) => store.collect(registry.kept(), graceMs);
  const timer = setInterval(() => void collect(storeDefaults.graceMs).catch(() => {}), collectMs).unref();

  return {
    publishedAt: (id) => published.get(nameOf(id)) ?? 0,
    blame: (blame) => {
      if (blame !== undefined)
        void blamed(blame, { registry, quarantine, audit, log, epochNow }).catch((error: Error) =>
          log.error('quarantine.failed', { model: nameOf(blame.id), error: error.message }),
        );
    },
    collect,
    foresee: (next) => {
      const offered = catalogue.under(catalogueOptions(tools, sources, () => next));
      const problems = problemsWith(next.routes, offered);
      if (problems.length > 0) throw invalid(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'));
      return modelChanges(registry, offered);
    },
    takeUp: async (before) => {
      catalogue.forget();
      const { model_overrides: now } = live.current;
      const names = new Set([...Object.keys(before.model_overrides), ...Object.keys(now)]);
      const changed = [...names].filter(
        (name) => JSON.stringify(now[name]) !== JSON.stringify(before.model_overrides[name]),
      );
      await registry.reopen(changed);
      if (JSON.stringify(before.routes) !== JSON.stringify(live.current.routes)) await registry.republish('routes');
    },
    registry,
    supply,
    store,
    audit,
    quarantine,
    close: async () => {
      clearInterval(timer);
      registry.close();
      await supply.close();
      await audit.append('stopped', 'server', {}).catch(() => {});
      await audit.close();
      await store.close();
    },
  };
}

async function openStore({ live, log, epochNow, random }: RegistryTools): Promise<Store> {
  const { store } = live.current.registry;
  return Store.open({
    ...storeDefaults,
    path: store.path,
    fileBytesMax: store.max_file_bytes,
    versionBytesMax: store.max_version_bytes,
    storeBytesMax: store.max_bytes,
    keepVersions: store.keep_versions,
    retry: {
      triesMax: storeDefaults.triesMax,
      sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
      random,
    },
    now: epochNow,
    report: (message) => log.warn('store', { message }),
  });
}

function catalogueOptions(
  { log }: RegistryTools,
  sources: readonly SourceConfig[],
  config: () => Config,
): CatalogueOptions {
  return {
    sources: sources.map(({ name, models, versions, approval }) => ({
      name,
      models,
      versions,
      approvalTag: approval?.tag,
    })),
    policyOf: (model) => config().model_overrides[model]?.version_policy,
    ownPolicyOf,
    defaultPolicy: () => config().models.version_policy,
    routed: (model) => routedVersions(config().routes, model),
    ignored: (what) => log.debug('models.ignored', { what }),
  };
}

/** What would be loaded, unloaded and moved if the sources offered this. */
function modelChanges(registry: Registry, offered: readonly OfferedModel[]): ModelChange[] {
  return [...registry.models()].flatMap((model) => {
    const next = offered.find(({ name }) => name === model.name);
    const wanted = next?.wanted.map(({ version }) => version) ?? [];
    const open = [...model.versions.values()].filter(isServed).map(({ id }) => id.version);
    const loads = wanted.filter((version) => !open.includes(version));
    const to = next?.aliases.champion ?? wanted.at(-1) ?? model.champion ?? null;
    const unloads = open.filter((version) => !wanted.includes(version) && version !== to);
    const from = model.champion ?? null;
    const isHeld = model.choice.hold !== undefined || model.choice.aliases.champion !== undefined;
    const champion = isHeld || from === to ? null : { from, to };
    if (loads.length === 0 && unloads.length === 0 && champion === null) return [];
    return [{ model: model.name, loads, unloads, champion }];
  });
}

function hooksOf({ live, log }: RegistryTools, source: SourceConfig): PullHooks {
  const mode = signatureModeOf(source);
  const { trust } = live.current.registry;
  return {
    unpack,
    verify: async (directory, files, signatures) => {
      const verdict = await verifySignatures({
        directory,
        files,
        signatures,
        trust: async () => (trust === '' ? noTrust : readTrust(trust)),
        policy: { mode },
      });
      if (mode === 'warn' && verdict.status !== 'signed' && trust !== '')
        log.warn('version.unsigned', { source: source.name, status: verdict.status, reason: verdict.reason });
      return verdict;
    },
  };
}

/** What answers by default from now on, as an entry that is on disk before it is so. */
async function recorded(
  { live, counts, log }: RegistryTools,
  audit: AuditLog,
  publication: Publication,
): Promise<void> {
  const { model, version, previous, spec, generation, reason } = publication;
  const artifact = spec?.artifact;
  if (version === undefined) {
    if (previous !== undefined) await audit.append('version.unloaded', model, { model, version: previous, reason });
    return;
  }
  const config = live.current;
  const own = { engine: config.engine, batching: config.batching, model: config.model_overrides[model] ?? {} };
  await audit.append('version.published', nameOf({ model, version }), {
    model,
    version,
    previous: previous ?? null,
    source: artifact?.source ?? '',
    revision: artifact?.revision ?? '',
    artifact_sha256: artifact?.sha256 ?? '',
    config_hash: configHash(own),
    generation,
    reason,
  });
  if (previous === undefined) return;
  counts.swaps.add(['ok']);
  log.info('version.published', { model: nameOf({ model, version }), previous, reason });
}

/** Blamed too often: quarantined by its content, so that the same bytes under another number are refused as well. */
async function blamed(
  { id, reason, times, isTooOften }: Blame,
  tools: Pick<RegistryRoom, 'registry' | 'quarantine' | 'audit'> & Pick<RegistryTools, 'log' | 'epochNow'>,
): Promise<void> {
  const { registry, quarantine, audit, log, epochNow } = tools;
  log.error('version.blamed', { model: nameOf(id), reason, times });
  const sha256 = registry.specOf(id)?.artifact?.sha256;
  if (!isTooOften || sha256 === undefined) return;
  const evidence = `a gateway process ${reason} ${times} times while it ran`;
  await audit.append('version.quarantined', nameOf(id), { ...id, artifact_sha256: sha256, reason, evidence });
  await quarantine.add({ ...id, artifact_sha256: sha256, reason, since: epochNow(), evidence });
  log.error('version.quarantined', { model: nameOf(id), reason });
  await registry.quarantine(id, `${reason} twice within ten minutes`);
}

/** Empty while every source answers. */
export function degradation(supply: Supply): string {
  const down = supply.health().filter(({ isUp }) => !isUp);
  return down.length === 0 ? '' : `source ${down.map(({ name }) => name).join(', ')} does not answer`;
}
