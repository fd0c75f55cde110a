/**
 * What the control process itself counts, as metric families.
 *
 * Must not know who counts or where the numbers are shown.
 */
import { type Family, secondsBuckets } from '../core/series.js';
import { Tally } from '../core/tally.js';

/** A counter with one label. */
export class Count {
  readonly #name: string;
  readonly #help: string;
  readonly #labels: readonly string[];
  readonly #series = new Map<string, { readonly labels: Record<string, string>; value: number }>();

  constructor(name: string, help: string, ...labels: readonly string[]) {
    this.#name = name;
    this.#help = help;
    this.#labels = labels;
  }

  /** @param values one for each label, in order */
  add(values: readonly string[], by = 1): void {
    const key = values.join('\0');
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels: Object.fromEntries(this.#labels.map((label, i) => [label, values[i]!])), value: 0 };
      this.#series.set(key, series);
    }
    series.value += by;
  }

  family(): Family {
    const series = [...this.#series.values()].map(({ labels, value }) => ({ labels, value }));
    return { name: this.#name, help: this.#help, type: 'counter', series };
  }
}

/** A histogram of seconds. */
export class Durations {
  readonly #name: string;
  readonly #help: string;
  readonly #labels: readonly string[];
  readonly #series = new Map<string, { readonly labels: Record<string, string>; readonly tally: Tally }>();

  constructor(name: string, help: string, ...labels: readonly string[]) {
    this.#name = name;
    this.#help = help;
    this.#labels = labels;
  }

  /** @param values one for each label, in order */
  add(values: readonly string[], seconds: number): void {
    this.#tallyOf(values).add(seconds);
  }

  #tallyOf(values: readonly string[]): Tally {
    const key = values.join('\0');
    let series = this.#series.get(key);
    if (series === undefined) {
      const labels = Object.fromEntries(this.#labels.map((label, i) => [label, values[i]!]));
      series = { labels, tally: new Tally(secondsBuckets) };
      this.#series.set(key, series);
    }
    return series.tally;
  }

  family(): Family {
    // What has no labels is there from the start: a rate needs a zero before the first event.
    if (this.#labels.length === 0) this.#tallyOf([]);
    const series = Array.from(this.#series.values(), ({ labels, tally }) => tally.series(labels));
    return { name: this.#name, help: this.#help, type: 'histogram', buckets: secondsBuckets, series };
  }
}

/** A family of numbers that go up and down. */
export function gauge(
  name: string,
  help: string,
  series: readonly { readonly labels: Record<string, string>; readonly value: number }[],
): Family {
  return { name, help, type: 'gauge', series: [...series] };
}

/** All that control counts besides what it can read off its rooms. */
export class ControlCounts {
  readonly restarts = new Count(
    'sluice_process_restarts_total',
    'Gateway processes that ended unasked, by reason.',
    'reason',
  );
  readonly loads = new Count('sluice_model_loads_total', 'Versions that became ready, by model.', 'model');
  readonly loadFailures = new Count('sluice_model_load_failures_total', 'Versions that did not, by state.', 'reason');
  readonly swaps = new Count('sluice_swaps_total', 'Changes of the version that answers by default.', 'result');
  readonly rollbacks = new Count('sluice_rollbacks_total', 'Returns to the version before, by reason.', 'reason');
  readonly polls = new Count('sluice_registry_polls_total', 'Times that a source was asked.', 'source', 'result');
  readonly pullBytes = new Count('sluice_pull_bytes_total', 'Bytes of versions that came into the store.', 'source');
  readonly pullFailures = new Count('sluice_pull_failures_total', 'Versions that did not come.', 'source', 'reason');
  readonly securityEvents = new Count(
    'sluice_security_events_total',
    'Content that was not what it was said to be, and callers that were not who they said.',
    'kind',
  );

  readonly outboundRefused = new Count(
    'sluice_outbound_refused_total',
    'Requests to sources and webhooks that were not made, because of the address or the redirect.',
    'reason',
  );
  readonly authFailures = new Count(
    'sluice_auth_failures_total',
    'Callers of the control port who were turned away, by reason.',
    'reason',
  );
  readonly changes = new Count('sluice_changes_total', 'Entries of the audit log, by what was done.', 'kind');
  readonly threadRestarts = new Count(
    'sluice_worker_restarts_total',
    'Threads that run models and were started again because their process ended, by the reason it ended for.',
    'reason',
  );

  readonly admissions = new Count('sluice_admission_total', 'Versions that were tried, by verdict.', 'verdict');
  readonly loadSeconds = new Durations(
    'sluice_model_load_duration_seconds',
    'From the wish for a version until every process has it open.',
    'model',
  );
  readonly admissionSeconds = new Durations(
    'sluice_admission_duration_seconds',
    'Reading and trying a version whose bytes are there.',
  );
  readonly swapSeconds = new Durations(
    'sluice_swap_duration_seconds',
    'From the decision for a version until every process answers by it.',
  );
  readonly pullSeconds = new Durations(
    'sluice_pull_duration_seconds',
    'Time in which the bytes of a version came.',
    'source',
  );

  families(): Family[] {
    const counts = [this.restarts, this.loads, this.loadFailures, this.swaps, this.rollbacks, this.polls];
    const pulls = [this.pullBytes, this.pullFailures, this.securityEvents, this.authFailures, this.outboundRefused];
    const times = [this.loadSeconds, this.admissionSeconds, this.swapSeconds, this.pullSeconds];
    return [...counts, ...pulls, this.changes, this.threadRestarts, this.admissions, ...times].map((one) =>
      one.family(),
    );
  }
}
