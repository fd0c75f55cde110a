/**
 * A sink of rows: files are read a page at a time, and rows leave as messages, some at once.
 *
 *   file ─▶ page ─▶ batches, by rows and bytes ─▶ send ─┬─ sent
 *                                                       ├─ RowsRefused ─▶ each half by itself; a single row is given up
 *                                                       └─ thrown ─▶ to be asked again later
 *
 * One page and one batch are held, whatever the receiver does. A receiver for another protocol is a RowSender in a file of
 * its own.
 *
 * Must not know protocols, or how a file is read.
 */
import { GatewayError } from '../../core/errors.js';
import type { RowPlace } from '../jobs.js';
import type { Row } from '../rows.js';
import type { Delivery, FinishedFile, Sink, SinkDrop } from './sink.js';

/** One row as its receiver gets it. */
export interface Message {
  /** The same whenever the row is sent again; no other row has it. */
  readonly id: string;
  readonly model: string;
  readonly body: string;
}

export interface RowSender {
  messageOf(row: Row): Message;
  /**
   * Resolves when the receiver has all of them for good.
   * @throws RowsRefused when it will never take them; anything else to be asked again later
   */
  send(messages: readonly Message[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The receiver works, and does not take these rows for what they are. */
export class RowsRefused extends Error {
  readonly reason: SinkDrop;

  constructor(reason: 'refused' | 'too_large') {
    super(`the receiver does not take the row: ${reason}`);
    this.reason = reason;
  }
}

export interface RowSinkOptions {
  readonly sender: RowSender;
  readonly rowsPerSend: number;
  readonly bytesPerSend: number;
  /** Rows of a file behind `after`, in their order; none = there are no more. @throws NOT_FOUND when the file is no more */
  readonly read: (path: string, after: RowPlace | undefined, rowsMax: number) => Promise<readonly Row[]>;
}

/** A row on its way. */
interface Outgoing {
  readonly message: Message;
  readonly place: RowPlace;
}

const pageRows = 1000;

export function rowSink(options: RowSinkOptions): Sink {
  const { sender } = options;
  return {
    deliver: (file, delivery) => deliver(file, delivery, options),
    close: () => sender.close(),
  };
}

async function deliver({ path }: FinishedFile, delivery: Delivery, options: RowSinkOptions): Promise<void> {
  for (let after = delivery.after; ; ) {
    const rows = await page(path, after, options);
    if (rows.length === 0) return;
    for (const batch of batchesOf(rows, options)) await offer(batch, delivery, options.sender);
    after = placeOf(rows.at(-1)!);
  }
}

/** Rows may be so large that a whole page of them cannot be read. */
async function page(path: string, after: RowPlace | undefined, { read }: RowSinkOptions): Promise<readonly Row[]> {
  for (let rowsMax = pageRows; ; rowsMax = Math.ceil(rowsMax / 8)) {
    try {
      return await read(path, after, rowsMax);
    } catch (error) {
      if (GatewayError.from(error).code !== 'RESOURCE_EXHAUSTED' || rowsMax === 1) throw error;
    }
  }
}

function* batchesOf(rows: readonly Row[], { sender, rowsPerSend, bytesPerSend }: RowSinkOptions) {
  let batch: Outgoing[] = [];
  let bytes = 0;
  for (const row of rows) {
    const message = sender.messageOf(row);
    const own = Buffer.byteLength(message.body);
    if (batch.length > 0 && (batch.length === rowsPerSend || bytes + own > bytesPerSend)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push({ message, place: placeOf(row) });
    bytes += own;
  }
  yield batch;
}

async function offer(batch: readonly Outgoing[], delivery: Delivery, sender: RowSender): Promise<void> {
  const { signal, taken } = delivery;
  const last = batch.at(-1)!.place;
  try {
    signal.throwIfAborted();
    await sender.send(
      batch.map(({ message }) => message),
      signal,
    );
  } catch (error) {
    if (!(error instanceof RowsRefused)) throw error;
    if (batch.length === 1) return taken({ rows: 1, drop: error.reason, last });
    const middle = batch.length >> 1;
    await offer(batch.slice(0, middle), delivery, sender);
    return offer(batch.slice(middle), delivery, sender);
  }
  await taken({ rows: batch.length, last });
}

function placeOf({ ts, seq, item_index }: Row): RowPlace {
  return { ts: String(ts), seq: Number(seq), item: Number(item_index) };
}

/** What tells a row from every other. Request ids are made by callers too, and may come twice. */
export function idOf({ request_id, item_index, role, attempt, gateway_id, incarnation, seq }: Row): string {
  return `${request_id}/${item_index}/${role}/${attempt}/${gateway_id}.${incarnation}.${seq}`;
}
