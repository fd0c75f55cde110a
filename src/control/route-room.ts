/**
 * PART OF THE ROOT: routes with everything that moves them: changes while serving, canaries, read-outs of experiments.
 *
 *   registry ─ table ─▶ routes ─▶ table with experiments         counts of processes ─▶ arms ─▶ canaries ─▶ the next table
 *
 * Must not know any rule: rules live in the rooms.
 */
import type { AuditLog } from '../audit/log.js';
import { experimentNameOf } from '../config/route-agreement.js';
import type { Config } from '../config/schema.js';
import type { ArmTake } from '../core/arm-counts.js';
import type { VersionId } from '../core/model.js';
import type { RouteTable } from '../core/route.js';
import type { Family } from '../core/series.js';
import type { Log } from '../log.js';
import type { StateFolder } from '../registry/store/state.js';
import { ArmsSeen, type LabelledArm, type LabelValues } from './arms-seen.js';
import { Canaries } from './canaries.js';
import { CanaryBook } from './canary-book.js';
import { isUnderWay } from './canary-run.js';
import { gauge } from './counts.js';
import type { EstimateOf } from './estimated-arm.js';
import { type ExperimentAnswer, Experiments } from './experiments.js';
import { KeptPhases } from './kept-phases.js';
import { RouteChanges } from './route-changes.js';
import { RouteDesk } from './route-desk.js';
import { canaryDocuments } from './route-document.js';
import { RouteStages, type ShareRules } from './route-stages.js';
import { Routes } from './routes.js';

export interface RouteRoomTools {
  readonly state: StateFolder;
  readonly audit: AuditLog;
  readonly log: Log;
  /** Of the configuration file. */
  readonly configured: () => Config['routes'];
  readonly now: () => number;
  readonly epochNow: () => number;
  /** @throws INVALID_ARGUMENT with a line for each name that does not exist */
  readonly check: (routes: Config['routes']) => void;
  /** Has versions that routes name opened. */
  readonly open: () => Promise<void>;
  readonly publish: (reason: string) => Promise<void>;
  readonly promote: (id: VersionId) => Promise<void>;
  readonly shares: ShareRules;
  /** Resolves when every process has told its counts. */
  readonly refresh: () => Promise<void>;
  readonly onRollback: () => void;
  /** How right a version probably is since then, without labels; undefined while nobody can tell. */
  readonly estimateOf: EstimateOf;
  /** The arms of an experiment do not have the sizes that their weights promise. */
  readonly onMismatch: (answer: ExperimentAnswer) => void;
}

export interface RouteRoom {
  /** What an operator asks for. */
  readonly desk: RouteDesk;
  /** The routes of a configuration with what was changed while serving. */
  inForce(configured?: Config['routes']): Config['routes'];
  /** The same of a configuration that is not in force yet. @throws INVALID_ARGUMENT when the two do not go together */
  foreseen(configured: Config['routes']): Config['routes'];
  /** A table with its experiments. */
  with(table: RouteTable): Promise<RouteTable>;
  /** @param life a name that no later process has */
  take(life: string, take: ArmTake): void;
  ended(life: string): void;
  /** What was true of a prediction. */
  addLabel(arm: LabelledArm, values: LabelValues): void;
  /** Undefined = no route gives it one. */
  stageOf(id: VersionId): 'shadow' | 'canary' | undefined;
  /** The digest by which a version got its share; undefined = it has none, or that was not known. */
  sharedAs(id: VersionId): string | undefined;
  blame(id: VersionId, reason: 'crashed' | 'hung'): void;
  families(): Family[];
  close(): Promise<void>;
}

const tickMs = 100;
/** How often what is slow is looked for. */
const freezeMs = 1000;
/** How often experiments are looked at, and written down. */
const lookMs = 60_000;
/** A process that does not answer must not keep a broken candidate in place. */
const refreshMsMax = 1000;

export async function openRouteRoom(tools: RouteRoomTools): Promise<RouteRoom> {
  const { state, audit, log, configured, publish } = tools;
  const startedAt = tools.epochNow() - tools.now();
  const now = () => startedAt + tools.now();
  const changes = await RouteChanges.open({
    state,
    configured,
    epochNow: tools.epochNow,
    report: (message) => log.warn('routes', { message }),
  });
  const written = () => changes.inForce();
  const names = Object.entries(written()).map(([model, route]) => experimentNameOf(model, route));
  const kept = await KeptPhases.open({ state, log }, names);
  const seen = new ArmsSeen(now, kept.restore);
  const book = await CanaryBook.open({ state, audit, now, routes: written });
  const { promote, onRollback, estimateOf, shares } = tools;
  const stages = await RouteStages.open(state, { audit, log, book, changes, shares });
  const routed = { book, changes, shares, log, seen, now, routes: written };
  const canaries = new Canaries({ ...routed, publish, promote, onRollback, estimateOf });
  const experiments = new Experiments({
    seen,
    routes: written,
    estimateOf,
    slowMs: kept.slowMs,
    onMismatch: (answer) => {
      const { experiment, phase, srm, model } = answer;
      log.warn('experiment.srm', { experiment, route: model, phase, p: srm.p_seq, keys: JSON.stringify(srm.keys) });
      tools.onMismatch(answer);
    },
  });
  const slowMs = (model: string, experiment: string) =>
    book.runOf(model)?.state.slowMs ?? experiments.slowMs(experiment);
  const routes = await Routes.open(state, { changes, canaries, book, stages, seen, slowMs });
  const shown = { changes, book, routes, stages, seen };
  const desk = new RouteDesk({ ...tools, ...shown, canaries, experiments, now });

  /** A canary keeps what slow meant at its start. */
  const freeze = async () => {
    const found = experiments.freeze();
    for (const { model, slowMs } of found) {
      const run = book.runOf(model);
      if (run !== undefined && isUnderWay(run) && run.state.slowMs === null) await book.setSlow(model, slowMs);
    }
    if (found.length > 0) await publish('slow');
  };
  /** Of a canary under way nothing: a restart counts its step anew. */
  const keep = (nowMs: number) => {
    const phases = [...seen.phases.values()].filter(({ model }) => {
      const run = book.runOf(model);
      return run === undefined || !isUnderWay(run);
    });
    return kept.keep(
      phases.map((phase) => ({ seen: phase, memory: experiments.memoryOf(phase) })),
      nowMs,
    );
  };
  const due = { freezeAt: now() + freezeMs, lookAt: now() + lookMs, isBusy: false };
  const tick = async () => {
    const at = now();
    if (at >= due.freezeAt) {
      due.freezeAt = at + freezeMs;
      await freeze();
      if (stages.isUnwritten || canaries.isUnwritten) await publish('again');
    }
    if (seen.phases.size === 0) return;
    if (canaries.isDue()) {
      await within(refreshMsMax, tools.refresh());
      await canaries.look();
    }
    if (at >= due.lookAt) {
      due.lookAt = at + lookMs;
      experiments.lookAtAll();
      await keep(at);
    }
  };
  const timer = setInterval(() => {
    if (due.isBusy) return;
    due.isBusy = true;
    void tick()
      .catch((error: Error) => log.error('routes.failed', { error: error.message }))
      .finally(() => {
        due.isBusy = false;
      });
  }, tickMs).unref();

  return {
    desk,
    inForce: (routesOf) => changes.inForce(routesOf),
    foreseen: (routesOf) => changes.foreseen(routesOf),
    with: (table) => routes.with(table),
    take: (life, take) => seen.take(life, take),
    ended: (life) => seen.ended(life),
    stageOf: (id) => stages.stageOf(id),
    sharedAs: (id) => stages.sharedAs(id),
    addLabel: (arm, values) => seen.addLabel(arm, values),
    blame: (id, reason) =>
      void canaries.blame(id, reason).catch((error: Error) => log.error('routes.failed', { error: error.message })),
    families: () => [
      ...experiments.families(),
      gauge(
        'sluice_canary_step',
        'Step of a canary from 1 on; 0 = rolled back or not begun.',
        canaryDocuments(shown).map(({ model, place }) => ({ labels: { model }, value: place })),
      ),
    ],
    close: () => {
      clearInterval(timer);
      return keep(Infinity);
    },
  };
}

/** Resolves with the work, or without it when it takes longer. */
function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
