/**
 * PART OF THE ROOT: what is counted, here and in all processes, as the control port and V2 statistics give it.
 *
 *   snapshot of a process ─▶ put ─┐
 *   a process is gone ─────▶ end ─┴▶ text, activity, statistics ◀─ families of the rooms and of control itself
 *
 * Must not know who asks, or how numbers add up.
 */
import { type Activity, activityOf } from '../admin/activity.js';
import { createMetricsRoom, type MetricsRoom } from '../admin/metrics.js';
import { contentTypeOf, formOf } from '../admin/metrics-text.js';
import { watchProcess } from '../admin/process-metrics.js';
import { StatisticsRoom } from '../admin/statistics.js';
import type { Config } from '../config/schema.js';
import type { VersionId } from '../core/model.js';
import type { Family } from '../core/series.js';
import type { VersionStatistics } from '../core/statistics.js';
import type { Listening } from '../ipc.js';
import type { Fleet } from '../supervisor/fleet.js';
import { type ControlCounts, gauge } from './counts.js';
import type { Rooms } from './rooms.js';

export interface MetricsDeskOptions {
  readonly config: Config['metrics'];
  readonly fleet: Pick<Fleet, 'refresh' | 'states'>;
  readonly rooms: Rooms;
  readonly counts: ControlCounts;
  /** Of the package. */
  readonly version: string;
  readonly now: () => number;
}

export class MetricsDesk {
  readonly #options: MetricsDeskOptions;
  readonly #metrics: MetricsRoom;
  readonly #statistics = new StatisticsRoom();
  readonly #process = watchProcess();
  #listening: Listening | undefined;

  constructor(options: MetricsDeskOptions) {
    this.#options = options;
    this.#metrics = createMetricsRoom({ seriesMax: options.config.series_max, now: options.now });
  }

  put(life: string, families: readonly Family[], statistics: readonly VersionStatistics[]): void {
    this.#metrics.put(life, families);
    this.#statistics.put(life, statistics);
  }

  end(life: string): void {
    this.#metrics.end(life);
    this.#statistics.end(life);
  }

  /** With what processes listen and run models. */
  listens(listening: Listening): void {
    this.#listening = listening;
  }

  /** A version that is loaded keeps its series; one that is not loses them after a while. */
  loaded(id: VersionId, isLoaded: boolean): void {
    if (isLoaded) this.#metrics.restore(id);
    else this.#metrics.retire(id);
  }

  /** @param accept which form of the text the caller wants */
  async text(accept: string | undefined): Promise<{ contentType: string; body: string }> {
    const { config, fleet, rooms } = this.#options;
    const [more] = await Promise.all([this.#process(), fleet.refresh()]);
    const form = formOf(accept);
    const aliased = config.triton_aliases
      ? this.#statistics.of(rooms.opened.registry.readyVersions('', ''))
      : undefined;
    return { contentType: contentTypeOf[form], body: this.#metrics.text(this.#families(), { form, aliased, more }) };
  }

  async activity(): Promise<Activity> {
    const { fleet, now } = this.#options;
    await fleet.refresh();
    return activityOf(this.#metrics.families(this.#families()), now());
  }

  /** The V2 answer. @param model, version '' = all */
  async statistics(model: string, version: string): Promise<unknown> {
    const { fleet, rooms } = this.#options;
    const versions = rooms.opened.registry.readyVersions(model, version);
    await fleet.refresh();
    return this.#statistics.answer(versions);
  }

  /** Of control itself. */
  #families(): Family[] {
    const { fleet, rooms, counts, version } = this.#options;
    const { httpEngine = '', onnxruntime = '' } = this.#listening ?? {};
    const states = Object.entries(fleet.states());
    return [
      gauge('sluice_build_info', 'What runs here.', [
        { labels: { version, http_engine: httpEngine, onnxruntime }, value: 1 },
      ]),
      gauge(
        'sluice_processes',
        'Gateway processes by state.',
        states.map(([state, value]) => ({ labels: { state }, value })),
      ),
      gauge('sluice_ready', '1 while every model that must be ready is.', [
        { labels: {}, value: rooms.table.isReady ? 1 : 0 },
      ]),
      ...rooms.families(),
      ...counts.families(),
    ];
  }
}
