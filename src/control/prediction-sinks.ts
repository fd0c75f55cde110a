/**
 * PART OF THE ROOT: the sinks of the prediction log, each with what it has taken so far.
 *
 * Must not know protocols, or what a row is.
 */
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import type { Family } from '../core/series.js';
import type { Log } from '../log.js';
import { type Sink, sinkDrops } from '../predictions/sinks/sink.js';
import { SinkRun } from '../predictions/sinks/sink-run.js';
import { gauge } from './counts.js';
import { type SinkConfig, type SinkTools, sinkOf } from './network-sinks.js';

export interface PredictionSinkOptions extends SinkTools {
  readonly sinks: readonly SinkConfig[];
  /** Folder of the prediction log. */
  readonly path: string;
  /** Folder of finished files. */
  readonly root: string;
  readonly log: Log;
}

const retryMs = 1000;
const graceMs = 2000;

export class PredictionSinks {
  readonly #runs: ReadonlyMap<string, SinkRun>;

  /** @throws FAILED_PRECONDITION, INVALID_ARGUMENT, naming the sink whose secret, file or address is none */
  constructor(options: PredictionSinkOptions) {
    this.#runs = new Map(options.sinks.map((config) => [config.name, runOf(config, options)]));
  }

  /** To be called when files were finished. */
  wake(): void {
    for (const run of this.#runs.values()) void run.wake();
  }

  families(): Family[] {
    if (this.#runs.size === 0) return [];
    const stats = [...this.#runs].map(([sink, run]) => ({ sink, ...run.stats() }));
    const counter = (name: string, help: string, series: Family['series']): Family => ({
      name: `sluice_prediction_log_sink_${name}`,
      help,
      type: 'counter',
      series,
    });
    return [
      counter(
        'rows_total',
        'Rows of the prediction log that a sink has taken.',
        stats.map(({ sink, sent }) => ({ labels: { sink }, value: sent })),
      ),
      counter(
        'dropped_total',
        'Rows that a sink will not get: deleted by retention before (expired), erased, refused by it, or too large for it.',
        stats.flatMap(({ sink, dropped }) =>
          sinkDrops.map((reason) => ({ labels: { sink, reason }, value: dropped[reason] })),
        ),
      ),
      counter(
        'failures_total',
        'Deliveries to a sink that failed and were put off.',
        stats.map(({ sink, failures }) => ({ labels: { sink }, value: failures })),
      ),
      gauge(
        'sluice_prediction_log_sink_lag_seconds',
        'Age of the oldest finished row that a sink has not got; 0 = it has all of them.',
        stats.map(({ sink, lagMs }) => ({ labels: { sink }, value: lagMs / 1000 })),
      ),
    ];
  }

  async close(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.close()));
  }
}

function runOf(config: SinkConfig, options: PredictionSinkOptions): SinkRun {
  const { name, max_retry_ms: max } = config;
  const { path, root, log, epochMs } = options;
  let sink: Sink;
  try {
    sink = sinkOf(config, options);
  } catch (error) {
    const { code, message } = GatewayError.from(error);
    throw new GatewayError(code, `prediction_log.sinks.${name}: ${message}`);
  }
  return new SinkRun({
    sink,
    root,
    cursorPath: join(path, 'sinks', `${name}.json`),
    backoffMs: { first: Math.min(retryMs, max), max },
    graceMs,
    after,
    epochMs,
    onCursorDamaged: ({ message }) => log.warn('predictions.sink.cursor', { sink: name, error: message }),
    onFailing: ({ message }) => log.warn('predictions.sink.failing', { sink: name, error: message }),
    onRecovered: () => log.info('predictions.sink.recovered', { sink: name }),
  });
}

function after(delayMs: number, call: () => void): () => void {
  const timer = setTimeout(call, delayMs).unref();
  return () => clearTimeout(timer);
}
