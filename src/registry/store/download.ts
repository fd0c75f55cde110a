/**
 * Brings one file here, whole:
 *
 *   what is left of an earlier try ─▶ open from there ─▶ hash and write each chunk ─┬▶ compare ─▶ a file
 *                     ▲                                                             │
 *                     └────────────────── wait, a stream that broke ◀───────────────┘
 *
 * Limits count while bytes arrive, for a source's own statement of its size is not believed. A digest that does not match is
 * final, except where bytes of an earlier try may be to blame: then the whole file is fetched once more.
 *
 * Must not know versions or the network.
 */
import { GatewayError } from '../../core/errors.js';
import { checkFile, type ListedFile } from '../listed-files.js';
import { Refusal } from '../refusal.js';
import type { FileStream } from '../source.js';
import { onDisk } from './disk.js';
import { Part } from './part.js';
import type { StoredFile } from './record.js';
import { type Tally, tooLarge } from './tally.js';

export interface Retry {
  /** Streams opened for one file, the first included. */
  readonly triesMax: number;
  /** Rejects, or resolves early, when the signal is aborted. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>;
  readonly random: () => number;
}

export interface Wanted {
  /** Its path in the version, for messages. */
  readonly path: string;
  /** `model 'fraud' version 7`. */
  readonly subject: string;
  /** What somebody has stated of it. */
  readonly expected: Partial<ListedFile>;
  readonly bytesMax: number;
  /** Where it is put. */
  readonly part: string;
  readonly open: (from: { offset: number; etag: string | undefined }, signal: AbortSignal) => Promise<FileStream>;
}

const delayMsMax = 300_000;
/** Made once: an abort without a reason makes an exception with a stack. */
const streamEnded = new GatewayError('CANCELLED', 'nobody reads this stream any more');

/** @throws Refusal `digest_mismatch`, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, UNAVAILABLE after the last try, CANCELLED */
export async function download(wanted: Wanted, tally: Tally, retry: Retry, signal: AbortSignal): Promise<StoredFile> {
  const { expected, path, subject } = wanted;
  const part = await onDisk(nameOf(wanted), () => Part.open(wanted.part, expected.sha256 !== undefined));
  try {
    tally.kept(part.bytes);
    if (!isWhole(part, expected)) await receiveAll(wanted, part, tally, retry, signal);
    const file = await onDisk(nameOf(wanted), () => part.finish(path));
    try {
      checkFile(file, expected, subject);
      return file;
    } catch (error) {
      if (!part.isInherited) throw error;
    }
    await restart(wanted, part, tally);
    await receiveAll(wanted, part, tally, retry, signal);
    const again = await onDisk(nameOf(wanted), () => part.finish(path));
    checkFile(again, expected, subject);
    return again;
  } finally {
    part.close();
  }
}

/** An earlier process had all of it. */
function isWhole(part: Part, expected: Partial<ListedFile>): boolean {
  return part.isWhole || (part.bytes > 0 && part.sha256 === expected.sha256);
}

async function receiveAll(wanted: Wanted, part: Part, tally: Tally, retry: Retry, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await receive(wanted, part, tally, signal);
    } catch (thrown) {
      if (signal.aborted) throw givenUp(wanted);
      const error = passing(thrown, wanted);
      if (!isPassing(error) || attempt >= retry.triesMax) throw error;
      const delayMs = 1000 * 2 ** (attempt - 1) + 1000 * retry.random();
      await retry.sleep(Math.min(delayMsMax, Math.max(delayMs, error.retryAfterMs ?? 0)), signal).catch((reason) => {
        throw signal.aborted ? givenUp(wanted) : reason;
      });
    }
  }
}

/** One stream, from where we are to its end. */
async function receive(wanted: Wanted, part: Part, tally: Tally, outer: AbortSignal): Promise<void> {
  // What is left of a stream that we turn away is ended by this signal, also when nobody has begun to read it.
  const ended = new AbortController();
  const signal = AbortSignal.any([outer, ended.signal]);
  try {
    const isUseless = part.etag === undefined || part.bytes >= (wanted.expected.bytes ?? Number.POSITIVE_INFINITY);
    if (part.bytes > 0 && isUseless) await restart(wanted, part, tally);
    const stream = await wanted.open({ offset: part.bytes, etag: part.etag }, signal);
    if (stream.offset !== part.bytes) {
      if (stream.offset !== 0) throw broken(wanted, `begins at byte ${stream.offset}, asked for ${part.bytes}`);
      await restart(wanted, part, tally);
    }
    if (stream.bytes !== undefined) checkSize(wanted, stream.bytes, '');
    const wholeBytes = stream.bytes ?? wanted.expected.bytes;
    await onDisk(nameOf(wanted), () => part.tag(stream.etag, wholeBytes));
    for await (const chunk of stream.chunks) {
      if (outer.aborted) throw broken(wanted, 'was given up');
      checkSize(wanted, part.bytes + chunk.length, ' or more');
      tally.came(chunk.length);
      await onDisk(nameOf(wanted), () => part.append(chunk));
    }
    if (wholeBytes !== undefined && part.bytes < wholeBytes) {
      throw broken(wanted, `ended after ${part.bytes} of ${wholeBytes} bytes`);
    }
  } finally {
    ended.abort(streamEnded);
  }
}

/** @param bytes of the whole file, or of what has come of it: ` or more` */
function checkSize({ expected, bytesMax, path, subject }: Wanted, bytes: number, more: '' | ' or more'): void {
  if (bytes > bytesMax) throw tooLarge(`${subject}: '${path}'`, bytes, bytesMax);
  if (expected.bytes === undefined || bytes === expected.bytes || (more !== '' && bytes < expected.bytes)) return;
  throw new Refusal(
    'digest_mismatch',
    `${subject}: '${path}' was to have ${expected.bytes} bytes, got ${bytes}${more}`,
  );
}

async function restart(wanted: Wanted, part: Part, tally: Tally): Promise<void> {
  tally.kept(-part.bytes);
  await onDisk(nameOf(wanted), () => part.restart());
}

function nameOf({ path, subject }: Wanted): string {
  return `${subject}: '${path}'`;
}

function givenUp({ subject }: Wanted): GatewayError {
  return new GatewayError('CANCELLED', `${subject}: the pull was given up`);
}

function broken({ path, subject }: Wanted, what: string): GatewayError {
  return new GatewayError('UNAVAILABLE', `${subject}: the stream of '${path}' ${what}`);
}

/** What a stream throws that is no error of ours is a connection that broke. */
function passing(thrown: unknown, wanted: Wanted): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const { code } = thrown as NodeJS.ErrnoException;
  return new GatewayError(
    'UNAVAILABLE',
    `${wanted.subject}: the stream of '${wanted.path}' broke (${code ?? 'error'})`,
    {
      cause: thrown,
    },
  );
}

function isPassing(error: GatewayError): boolean {
  return error.code === 'UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED';
}
