/**
 * PART OF THE ROOT: the registry with everything that it stands on: audit log, store, sources, admission.
 *
 *   sources ─▶ supply ─▶ repository (bring, read, try) ─▶ registry ─▶ audit log ─▶ fleet
 *
 * Must not know any rule: rules live in the rooms.
 */
import { configHash } from '../audit/config-hash.js';
import type { AuditRecord } from '../audit/entry.js';
import { AuditLog } from '../audit/log.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import type { RouteTable } from '../core/route.js';
import type { Log } from '../log.js';
import type { Admission } from '../registry/admission.js';
import { Catalogue } from '../registry/catalogue.js';
import { contractBreaches } from '../registry/contract.js';
import type { Refusal } from '../registry/refusal.js';
import { Registry } from '../registry/registry.js';
import type { StateChange } from '../registry/registry-options.js';
import type { Trial, TrialVerdict } from '../registry/repository.js';
import { Quarantine } from '../registry/store/quarantine.js';
import { type Collected, type Store, storeDefaults } from '../registry/store/store.js';
import type { Supply } from '../registry/supply.js';
import { isServed } from '../registry/versions.js';
import type { Blame } from '../supervisor/blame.js';
import { ApprovalDesk, sharesOf } from './approval-desk.js';
import type { ControlCounts } from './counts.js';
import type { EstimateOf } from './estimated-arm.js';
import type { ExperimentAnswer } from './experiments.js';
import { catalogueOptions, foreseen } from './foresight.js';
import { GuardWatch, type Swap } from './guard-watch.js';
import { LoadTimes } from './load-times.js';
import { sourcesIn } from './network-sources.js';
import { planOf } from './plan.js';
import { openServing, openWatches } from './registry-state.js';
import { openStore } from './registry-store.js';
import { supplyOf } from './registry-supply.js';
import { accounted, closing, opening, openTrials, type RegistryTrials } from './registry-trials.js';
import type { LiveConfig, Plan } from './reload.js';
import { openRouteRoom, type RouteRoom } from './route-room.js';
import { storedMemory } from './source-memory.js';
import { blameWritten, publicationWritten, putBackWritten, relabellingWritten } from './written-down.js';

export interface RegistryTools {
  readonly live: LiveConfig;
  readonly log: Log;
  readonly counts: ControlCounts;
  readonly admission: Admission<Trial, TrialVerdict>;
  readonly open: (spec: VersionSpec) => Promise<void>;
  readonly drain: (id: VersionId) => Promise<void>;
  readonly publish: (table: RouteTable) => Promise<void>;
  /** Resolves when every process has told its counts. */
  readonly refresh: () => Promise<void>;
  readonly observe: (change: StateChange) => void;
  /** Entries of the audit log, once they are on disk. */
  readonly audited: (record: AuditRecord) => void;
  /** A version may be served. @param lineage as its manifest says */
  readonly admitted: (id: VersionId, lineage: unknown) => void;
  /** The arms of an experiment do not have the sizes that their weights promise. */
  readonly mismatched: (answer: ExperimentAnswer) => void;
  /** How right a version probably is since then, without labels; undefined while nobody can tell. */
  readonly estimateOf: EstimateOf;
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
  readonly routes: RouteRoom;
  readonly approvals: ApprovalDesk;
  readonly trials: RegistryTrials;
  /** Is told what processes count: a version that does worse than the one before is put back, and memory is kept account of. */
  readonly guard: Pick<GuardWatch, 'put' | 'end'>;
  /** The index that a source gives next is believed, whatever it said before. */
  forgetSerial(source: string): Promise<void>;
  /** Deletes what nobody needs from the store. */
  collect(graceMs: number): Promise<Collected>;
  /** A version is blamed for the death of a process: written down, and twice within the window is too often. */
  blame(blame: Blame | undefined): void;
  /** When a version became the one that answers; 0 = never. */
  publishedAt(id: VersionId): number;
  /** @throws INVALID_ARGUMENT with a line for each route of a configuration that cannot be */
  foresee(next: Config): void;
  /** What a configuration would do to the models. @throws the same */
  plan(next: Config): Promise<Pick<Plan, 'models' | 'keys'>>;
  /** Takes up options that have changed. */
  takeUp(before: Config): Promise<void>;
  close(): Promise<void>;
}

const retryMs = 1000;
/** How often the store is swept. */
const collectMs = 600_000;

/** @throws GatewayError with one line that says what to do when the store or the audit log cannot be had */
export async function openRegistryRoom(tools: RegistryTools): Promise<RegistryRoom> {
  const { live, log, counts, epochNow, now } = tools;
  const config = live.current;
  const store = await openStore(config.registry, tools);
  const audit = await AuditLog.open({
    path: config.audit.path,
    fileBytesMax: config.audit.max_file_bytes,
    now: epochNow,
    actor: 'system:control',
    onWritten: tools.audited,
  });
  await audit.append('started', 'server', { config_hash: configHash(config) });
  const approvals = await ApprovalDesk.open(store.state, { audit, config: () => live.current, epochNow });
  const quarantine = await Quarantine.open(store.state);
  const serving = await openServing(store.state);
  // Who loads by calls says himself when a version is complete: nothing is polled, nothing has to settle.
  const isExplicit = config.models.load === 'explicit';
  const sources = sourcesIn(config).map((source) => (isExplicit ? { ...source, poll_ms: 0 } : source));
  const room: { registry?: Registry; catalogue?: Catalogue } = {};
  const registryOf = () => {
    if (room.registry === undefined) throw new GatewayError('UNAVAILABLE', 'the server is starting');
    return room.registry;
  };
  const routes = await openRouteRoom({
    state: store.state,
    audit,
    log,
    configured: () => live.current.routes,
    now,
    epochNow,
    check: (next) => void foresee({ ...live.current, routes: next }),
    open: async () => {
      room.catalogue?.forget();
      await registryOf().offer();
    },
    publish: (reason) => registryOf().republish(reason),
    promote: (id) => registryOf().decisions.promote(id, 'champion', { prepare: false, allowBreaking: false }),
    shares: sharesOf(approvals, registryOf),
    refresh: tools.refresh,
    onRollback: () => counts.rollbacks.add(['canary']),
    onMismatch: tools.mismatched,
    estimateOf: tools.estimateOf,
  });
  const withChanges = (config: Config): Config => ({ ...config, routes: routes.inForce(config.routes) });
  const catalogue = new Catalogue(catalogueOptions(sources, () => withChanges(live.current), log));
  room.catalogue = catalogue;
  const foresee = (next: Config) =>
    foreseen(next, { catalogue, rules: catalogueOptions(sources, () => next, log), registry: registryOf() });
  const published = new Map<string, number>();
  const times = new LoadTimes(counts, now);
  const report = (what: string, error: unknown) =>
    log.error('registry.failed', { what, error: GatewayError.from(error).message });
  const alarm = (subject: string, source: string, { kind, message: reason }: Refusal) => {
    counts.securityEvents.add([kind]);
    log.error('security', { kind, source, subject, reason });
    void audit
      .append('security', subject, { kind, source, reason })
      .catch((error: unknown) => report(`write down that ${subject} was refused`, error));
  };

  const kept = () => new Set([...(room.registry?.kept() ?? []), ...approvals.awaited()]);
  const memory = await storedMemory(store.state);
  const supply = supplyOf(tools, {
    sources,
    catalogue,
    store,
    memory,
    quarantine,
    registry: () => room.registry,
    kept,
    alarm,
    report,
  });

  const trials = await openTrials(tools, { state: store.state, supply });
  const { repository, memory: budget } = trials;

  const watches = await openWatches(store.state);
  const guard = new GuardWatch({
    watchMs: config.models.guard_ms,
    remember: (next) => watches.change(() => next),
    remembered: watches.value,
    putBack: (swap, verdict) => putBackWritten(swap, verdict, { registry: registryOf(), audit, counts, log }),
    report,
    now,
    epochNow,
  });

  const registry: Registry = new Registry({
    policy: config.models.load,
    list: () => catalogue.models(),
    look: (model) => supply.look(model),
    admit: async (id, how) => {
      const spec = await times.admit(id, how, (timed) => repository.admit(id, timed));
      tools.admitted(id, repository.manifestOf(spec)?.lineage);
      return spec;
    },
    open: opening(budget, (spec) => times.open(spec, tools.open)),
    forgo: (id) => budget.failed(id),
    drain: closing(budget, tools.drain),
    publish: (table) => times.publish(async () => tools.publish(await routes.with(table))),
    record: async (publication) => {
      const { model, version, previous } = publication;
      if (version !== undefined && previous !== undefined) times.swapBegins();
      if (version !== undefined) await approvals.used({ model, version }, publication.spec, ['champion', 'breaking']);
      await publicationWritten(publication, { audit, config: live.current, counts, log });
      if (version !== undefined) published.set(nameOf({ model, version }), now());
      if (version !== undefined && previous !== undefined && isToGuard(registry, { model, version, previous }))
        guard.swapped({ model, version, previous });
      else guard.answers(model, version);
    },
    recordLabel: (relabelling) => relabellingWritten(relabelling, audit),
    remember: (next) => serving.change(() => next),
    remembered: serving.value,
    storedSha256: (id, source) => store.find({ ...id, source })?.artifactSha256,
    breaches: (old, next) => contractBreaches(repository.contractOf(old), repository.contractOf(next)),
    isBreakingAllowed: (model) => live.current.model_overrides[model]?.allow_breaking === true,
    withheld: (id, spec, requester = 'system:registry', action) => approvals.withheld(id, spec, requester, action),
    sharedAs: (id) => routes.sharedAs(id),
    observe: tools.observe,
    report,
    now,
    lazy: { openMax: config.models.lazy.max_open, bytesMax: config.models.lazy.max_bytes },
    retriesMax: config.models.load_retries,
    retryMs,
    keepPreviousMs: () => live.current.models.keep_previous_ms,
    readiness: () => live.current.readiness.models,
  });
  room.registry = registry;

  const withForeseenRoutes = (next: Config): Config => ({ ...next, routes: routes.foreseen(next.routes) });
  const collect = (graceMs: number) => store.collect(kept(), graceMs);
  const sweep = () =>
    void collect(storeDefaults.graceMs).catch((error: unknown) => report('remove what nobody needs', error));
  const timer = setInterval(sweep, collectMs).unref();

  return {
    publishedAt: (id) => published.get(nameOf(id)) ?? 0,
    blame: (blame) => {
      if (blame === undefined) return;
      routes.blame(blame.id, blame.reason);
      if (blame.isTooOften) guard.forget(blame.id.model);
      else guard.blamed(blame.id, blame.reason);
      void blameWritten(blame, { registry, quarantine, audit, log, epochNow }).catch((error: unknown) =>
        report(`quarantine ${nameOf(blame.id)}`, error),
      );
    },
    forgetSerial: async (source) => memory.serialOf(source).set(0),
    collect,
    foresee: (next) => void foresee(withForeseenRoutes(next)),
    plan: async (next) => {
      const settled = withForeseenRoutes(next);
      const tools = { registry, supply, store, trials };
      return planOf(foresee(settled), { before: withChanges(live.current), next: settled }, tools);
    },
    takeUp: async (before) => {
      catalogue.forget();
      const { model_overrides: now } = live.current;
      const names = new Set([...Object.keys(before.model_overrides), ...Object.keys(now)]);
      const changed = [...names].filter(
        (name) => JSON.stringify(now[name]) !== JSON.stringify(before.model_overrides[name]),
      );
      await registry.reopen(changed);
      if (before.memory.model_budget_bytes !== live.current.memory.model_budget_bytes)
        await registry.retryRefused('memory');
      const isOther = (part: (config: Config) => unknown) =>
        JSON.stringify(part(before)) !== JSON.stringify(part(live.current));
      // Who waits for an approval may need none any more.
      const policies = ({ model_overrides: all }: Config) => Object.values(all).map(({ approvals }) => approvals);
      if (isOther(({ routes }) => routes) || isOther(policies)) await registry.republish('routes');
    },
    registry,
    supply,
    store,
    audit,
    quarantine,
    trials,
    guard: accounted(guard, budget),
    approvals,
    routes,
    close: async () => {
      clearInterval(timer);
      await routes.close();
      registry.close();
      await supply.close();
      await guard.saved();
      await audit
        .append('stopped', 'server', {})
        .catch((error: unknown) => report('write down that the server stopped', error));
      await audit.close();
      await store.close();
    },
  };
}

/** Not the version that a rollback returned to, and not in place of one that must not answer again. */
function isToGuard(registry: Registry, { model: name, version, previous }: Swap): boolean {
  const model = [...registry.models()].find((one) => one.name === name);
  const before = model?.versions.get(previous);
  return version !== previous && model?.choice.hold?.to !== version && before !== undefined && isServed(before);
}
