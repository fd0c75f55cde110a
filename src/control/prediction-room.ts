/**
 * PART OF THE ROOT: the prediction log of the control process: the folder made ready for the gateway processes, segments
 * turned into files and brought to sinks, what is too old removed, and questions answered.
 *
 * Must not know how a row is written or read.
 */
import { mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { LogQuestion } from '../admin/log-operations.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { Family } from '../core/series.js';
import type { Log } from '../log.js';
import { Archive } from '../predictions/archive.js';
import { ensureHashKey } from '../predictions/hash-key.js';
import type { Row } from '../predictions/rows.js';
import { batchMates } from './batch-mates.js';
import { gauge } from './counts.js';
import type { SinkTools } from './network-sinks.js';
import { PredictionSinks } from './prediction-sinks.js';

export interface PredictionRoomOptions extends Omit<SinkTools, 'archive'> {
  readonly config: Config['prediction_log'];
  readonly log: Log;
  /** Whether a gateway process of this number and incarnation still writes. */
  readonly isLive: (gatewayId: string, incarnation: number) => boolean;
}

/**
 * Which lives of gateway processes still write. One that has started and not said its number yet counts as alive, one of
 * before this control process does not.
 */
export class Incarnations {
  readonly #since: number;
  readonly #ready = new Map<string, string>();
  readonly #ended = new Set<string>();

  /** @param since milliseconds since the epoch, at the start of this process */
  constructor(since: number) {
    this.#since = since;
  }

  ready(life: string, gatewayId: string, incarnation: number): void {
    this.#ready.set(life, `${gatewayId} ${incarnation}`);
  }

  ended(life: string): void {
    const name = this.#ready.get(life);
    this.#ready.delete(life);
    if (name !== undefined) this.#ended.add(name);
  }

  isLive(gatewayId: string, incarnation: number): boolean {
    return incarnation >= this.#since && !this.#ended.has(`${gatewayId} ${incarnation}`);
  }
}

const retainEveryMs = 3_600_000;
const rssBytesMax = 600 * 2 ** 20;
const idleMs = 60_000;
const jobMs = 600_000;
const jobsMax = 64;
/** How often closed segments are looked for, at most. */
const convertMsMax = 5000;
/** The analytics child loads it: the room of the log does not know that of labels. */
const labelReader = new URL('../labels/label-rows.js', import.meta.url).href;

export class PredictionRoom {
  readonly #archive: Archive;
  readonly #sinks: PredictionSinks;
  readonly #timers: NodeJS.Timeout[];

  /** Rows of one request that are read, at most. */
  readonly rowsMax: number;

  private constructor(archive: Archive, sinks: PredictionSinks, rowsMax: number, timers: NodeJS.Timeout[]) {
    this.rowsMax = rowsMax;
    this.#archive = archive;
    this.#sinks = sinks;
    this.#timers = timers;
  }

  /** @returns undefined when nothing is to be logged. @throws what the file system says of the folder, or a sink of its own */
  static open({ config, log, isLive, ...tools }: PredictionRoomOptions): PredictionRoom | undefined {
    if (!config.enabled) return undefined;
    const path = resolve(config.path);
    const [root, segments] = [join(path, 'data'), join(path, 'segments')];
    mkdirSync(segments, { recursive: true });
    ensureHashKey(path);
    const archive = new Archive({
      root,
      segments,
      analytics: { rssBytesMax, queueMax: jobsMax, idleMs, jobMs },
      retention: { payloadDays: config.payload_days, metadataDays: config.metadata_days, bytesMax: config.max_bytes },
      labels: { directory: join(path, 'feedback'), readerUrl: labelReader, ageMs: config.segment_age_ms },
      queryRowsMax: config.query_rows,
      queryBytesMax: 3 * 2 ** 20,
      queryTimeoutMs: config.query_timeout_ms,
      isLive: ({ gatewayId, incarnation }) => isLive(gatewayId, incarnation),
      epochMs: tools.epochMs,
      onFailed: (file, error) =>
        log.warn('predictions.convert.failed', { file: basename(file), error: String(error.cause ?? error.message) }),
    });
    const sinks = new PredictionSinks({ ...tools, sinks: config.sinks, path, root, archive, log });
    const convert = () => archive.convert().finally(() => sinks.wake());
    const failing = (event: string) => (error: Error) => log.warn(event, { error: error.message });
    const every = (ms: number, work: () => Promise<void>, event: string) =>
      setInterval(() => void work().catch(failing(event)), ms).unref();
    return new PredictionRoom(archive, sinks, config.query_rows, [
      every(Math.min(convertMsMax, config.segment_age_ms), convert, 'predictions.convert'),
      every(retainEveryMs, () => archive.retain(), 'predictions.retain'),
    ]);
  }

  get archive(): Archive {
    return this.#archive;
  }

  families(): Family[] {
    const { waiting, failed, bad, rows, restarts } = this.#archive.stats();
    return [
      gauge('sluice_prediction_log_segments', 'Closed segments that wait to be converted.', [
        { labels: {}, value: waiting },
      ]),
      counter('sluice_prediction_log_converted_rows_total', 'Rows in finished files.', rows),
      counter('sluice_prediction_log_failed_total', 'Conversions of a segment that failed.', failed),
      {
        name: 'sluice_prediction_log_damaged_total',
        help: 'Segments set aside because something in them is no record; the rows before it are kept.',
        type: 'counter',
        series: Object.entries(bad).map(([reason, value]) => ({ labels: { reason }, value })),
      },
      counter('sluice_analytics_restarts_total', 'Ends of the analytics process before its work was done.', restarts),
      ...this.#sinks.families(),
    ];
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#sinks.close();
    this.#archive.close();
  }
}

function counter(name: string, help: string, value: number): Family {
  return { name, help, type: 'counter', series: [{ labels: {}, value }] };
}

/** @throws FAILED_PRECONDITION when there is no log; NOT_FOUND, INVALID_ARGUMENT, PERMISSION_DENIED */
export async function loggedAnswer(question: LogQuestion, room: PredictionRoom | undefined): Promise<unknown> {
  const archive = archiveOf(room);
  switch (question.ask) {
    case 'query':
      await archive.settle();
      return archive.query({ sql: question.sql });
    case 'tail':
      return { rows: await archive.tail(question.last, question.model === undefined ? {} : { model: question.model }) };
    case 'request': {
      const rows = await loggedRows(question.id, room);
      await archive.settle();
      return { request_id: question.id, rows, batches: await batchMates(rows, archive) };
    }
  }
}

/** All rows of a request. @throws FAILED_PRECONDITION when there is no log; NOT_FOUND */
export async function loggedRows(requestId: string, room: PredictionRoom | undefined): Promise<readonly Row[]> {
  const rows = await archiveOf(room).explain(requestId);
  if (rows.length > 0) return rows;
  throw new GatewayError('NOT_FOUND', `no row of request '${requestId}' is logged`);
}

function archiveOf(room: PredictionRoom | undefined): Archive {
  if (room !== undefined) return room.archive;
  throw new GatewayError('FAILED_PRECONDITION', 'nothing is logged: set prediction_log.enabled to true');
}
