/**
 * PART OF THE ROOT: what follows when a version changes its state: a log line, counts, and that it is watched.
 *
 * Must not know why a state changes.
 */
import { nameOf } from '../core/model.js';
import type { Log } from '../log.js';
import type { StateChange } from '../registry/registry-options.js';
import type { ControlCounts } from './counts.js';
import type { MetricsDesk } from './metrics-desk.js';
import type { Rooms } from './rooms.js';

export interface VersionWatchOptions {
  readonly rooms: Rooms;
  readonly metrics: MetricsDesk;
  readonly counts: ControlCounts;
  readonly log: Log;
  readonly now: () => number;
}

const progressMs = 1000;

export class VersionWatch {
  readonly #options: VersionWatchOptions;
  /** Versions on their way, each with what says so. */
  readonly #loading = new Map<string, NodeJS.Timeout>();

  constructor(options: VersionWatchOptions) {
    this.#options = options;
  }

  changed({ id, from, to, reason, tookMs }: StateChange): void {
    const { metrics, counts, log } = this.#options;
    this.#sayProgress(nameOf(id), to);
    metrics.loaded(id, to !== 'unloaded');
    this.#learn({ id, to });
    const fields = { model: nameOf(id), ...(reason === '' ? {} : { reason }), tookMs: Math.round(tookMs) };
    if (to === 'refused' || to === 'failed') {
      counts.loadFailures.add([to]);
      log.error(`model.${to}`, fields);
    } else if (to === 'ready') {
      counts.loads.add([id.model]);
      log.info('model.ready', fields);
    } else log.debug('model.state', { ...fields, from, to });
  }

  /** What is not watched is served all the same. */
  #learn({ id, to }: Pick<StateChange, 'id' | 'to'>): void {
    const { drift, labels, registry } = this.#options.rooms;
    try {
      if (to === 'unloaded') drift?.forget(id);
      const spec = to === 'ready' ? registry?.registry.specOf(id) : undefined;
      if (spec === undefined) return;
      drift?.learn(spec);
      labels?.quality.learn(spec);
    } catch (error) {
      this.#options.log.warn('drift.unwatched', { model: nameOf(id), error: (error as Error).message });
    }
  }

  /** A load that takes long says so while it takes. */
  #sayProgress(model: string, state: StateChange['to']): void {
    const { log, now } = this.#options;
    clearInterval(this.#loading.get(model));
    this.#loading.delete(model);
    if (state !== 'admitting' && state !== 'opening') return;
    const since = now();
    const say = () => log.info('model.loading', { model, state, forMs: Math.round(now() - since) });
    this.#loading.set(model, setInterval(say, progressMs).unref());
  }
}
