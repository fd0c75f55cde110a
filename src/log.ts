/**
 * The log: an event and its fields → one line. The only file with pino.
 *
 *   info(event, fields) → rate limit → plain fields → JSON line, or a coloured line on a terminal → stdout
 *
 * Nothing here may stop or slow what is being logged: fields of any kind are made plain first (deep, cyclic, throwing), lines
 * are written without waiting for their reader, and one that goes away is ignored. One event name gives at most ten
 * lines a second; its next line says how many were left out. Records are not limited: whoever writes them was asked for so
 * many, and what bounds them is the room for lines that wait for their reader.
 *
 * Must not know rooms.
 */
import { isatty } from 'node:tty';
import { type DestinationStream, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { Stdout } from './stdout.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A line of level info outside the rate limit. Its fields are plain and short already. */
  record(event: string, fields: LogFields): void;
  setLevel(level: LogLevel): void;
  /** These levels write nothing, whatever the level is. */
  setMuted(levels: readonly LogLevel[]): void;
  /** Form of the time in JSON lines: milliseconds since the epoch, or ISO 8601. */
  setTimeForm(form: 'default' | 'ISO8601'): void;
  /** Says what the rate limit still holds back and writes what is buffered; call before the process exits. */
  flush(): void;
}

/** How lines are written from now on. */
export interface LogManner {
  readonly logLevel: LogLevel;
  readonly mutedLevels?: readonly LogLevel[];
  readonly timeForm?: 'default' | 'ISO8601';
}

export function setManner(log: Log, { logLevel, mutedLevels = [], timeForm = 'default' }: LogManner): void {
  log.setLevel(logLevel);
  log.setMuted(mutedLevels);
  log.setTimeForm(timeForm);
}

export interface LogOptions {
  readonly level: LogLevel;
  /** `auto` = pretty on a terminal, JSON otherwise. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** Who writes: `control`, `gateway-1`. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Takes each finished line instead of stdout. */
  readonly write?: (line: string) => void;
}

const linesPerSecondMax = 10;
const eventsMax = 1000;

export function createLog(options: LogOptions): Log {
  const now = options.now ?? Date.now;
  const isPretty = options.format === 'pretty' || (options.format === 'auto' && isatty(1));
  const sink: Sink =
    options.write === undefined ? new Stdout() : { write: options.write, flush: () => {}, takeDropped: () => 0 };
  const limit = new RateLimit();
  let timeForm: 'default' | 'ISO8601' = 'default';
  let muted: readonly LogLevel[] = [];
  const logger = openPino(options, isPretty ? prettyLines(sink) : sink, () => timeOf(now(), timeForm));

  function write(level: LogLevel, event: string, fields: LogFields | undefined): void {
    if (!logger.isLevelEnabled(level) || muted.includes(level)) return;
    const suppressed = limit.take(event, now());
    if (suppressed === undefined) return;
    tellDropped();
    const plain = plainFields(fields);
    logger[level](suppressed === 0 ? plain : { ...plain, suppressed }, event);
  }

  function record(event: string, fields: LogFields): void {
    if (!logger.isLevelEnabled('info') || muted.includes('info')) return;
    tellDropped();
    logger.info(fields, event);
  }

  function tellDropped(): void {
    const dropped = sink.takeDropped();
    if (dropped > 0) logger.warn({ dropped }, 'log lines dropped');
  }

  return {
    debug: (event, fields) => write('debug', event, fields),
    info: (event, fields) => write('info', event, fields),
    warn: (event, fields) => write('warn', event, fields),
    error: (event, fields) => write('error', event, fields),
    record,
    setLevel: (level) => {
      logger.level = level;
    },
    setMuted: (levels) => {
      muted = levels;
    },
    setTimeForm: (form) => {
      timeForm = form;
    },
    flush: () => {
      for (const [of, suppressed] of limit.drain()) logger.warn({ of, suppressed }, 'lines suppressed');
      sink.flush();
    },
  };
}

function openPino(options: LogOptions, sink: DestinationStream, timestamp: () => string): Logger {
  return pino(
    {
      level: options.level,
      base: { name: options.name, pid: process.pid },
      timestamp,
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
}

function timeOf(ms: number, form: 'default' | 'ISO8601'): string {
  return form === 'default' ? `,"time":${ms}` : `,"time":"${new Date(ms).toISOString()}"`;
}

interface Sink {
  write(line: string): void;
  flush(): void;
  takeDropped(): number;
}

/** `09:41:03.120 INFO  gateway-1 model ready model=digits version=2`. */
function prettyLines(sink: DestinationStream): DestinationStream {
  const prettify = prettyFactory({
    colorize: isatty(1),
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,name',
    hideObject: true,
    messageFormat: (line) => {
      const { level: _level, time: _time, pid: _pid, msg, name, ...fields } = line;
      const pairs = Object.entries(fields).map(([key, value]) => `${key}=${wordOf(value)}`);
      return [name, msg, ...pairs].join(' ');
    },
  });
  return { write: (line) => sink.write(prettify(line)) };
}

function wordOf(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"=]+$/.test(value)) return value;
  return JSON.stringify(value);
}

/** Lines a second by event name. Names come from our own code; the bound is for the day one of them does not. */
class RateLimit {
  readonly #windows = new Map<string, { startedAt: number; lines: number; suppressed: number }>();

  /** @returns how many lines of this event were left out since its last line; undefined = leave this one out, too */
  take(event: string, now: number): number | undefined {
    const window = this.#windows.get(event);
    if (window === undefined || now - window.startedAt >= 1000 || now < window.startedAt) {
      if (window === undefined && this.#windows.size >= eventsMax) this.#windows.clear();
      this.#windows.set(event, { startedAt: now, lines: 1, suppressed: 0 });
      return window?.suppressed ?? 0;
    }
    if (window.lines < linesPerSecondMax) {
      window.lines++;
      return 0;
    }
    window.suppressed++;
    return undefined;
  }

  /** What was left out and not yet told, by event; counting starts again. */
  drain(): [string, number][] {
    const held: [string, number][] = [];
    for (const [event, { suppressed }] of this.#windows) if (suppressed > 0) held.push([event, suppressed]);
    this.#windows.clear();
    return held;
  }
}

const depthMax = 4;
const membersMax = 50;
const textMax = 4000;
const reserved = new Set(['level', 'time', 'pid', 'name', 'msg', 'suppressed']);

function plainFields(fields: LogFields | undefined): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  if (fields === undefined) return plain;
  try {
    for (const [key, value] of Object.entries(fields).slice(0, membersMax)) {
      plain[reserved.has(key) ? `${key}_` : key] = plainValue(value, depthMax);
    }
  } catch {
    plain.fields = '[unreadable]';
  }
  return plain;
}

/** Any value as one that JSON takes, of bounded depth, width and length. */
function plainValue(value: unknown, depth: number): unknown {
  try {
    if (typeof value === 'bigint') return value.toString();
    if (typeof value === 'string') return value.length > textMax ? `${value.slice(0, textMax)}…` : value;
    if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
    if (typeof value === 'function' || typeof value === 'symbol') return String(value).slice(0, 100);
    if (typeof value !== 'object' || value === null) return value;
    if (depth === 0) return '[…]';
    if (value instanceof Error) return plainError(value, depth);
    if (value instanceof Date) return String(value);
    if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
    if (Array.isArray(value)) return value.slice(0, membersMax).map((element) => plainValue(element, depth - 1));
    const members = Object.entries(value).slice(0, membersMax);
    return Object.fromEntries(members.map(([key, member]) => [key, plainValue(member, depth - 1)]));
  } catch {
    return '[unreadable]';
  }
}

/** An error with its cause and, unless it is a plain refusal (those have no frames), where it was thrown. */
function plainError(error: Error, depth: number): unknown {
  const { code } = error as { code?: unknown };
  const frames = error.stack?.split('\n').filter((line) => line.startsWith('    at ')) ?? [];
  return {
    message: plainValue(error.message, depth - 1),
    ...(code === undefined ? {} : { code: plainValue(code, depth - 1) }),
    ...(frames.length === 0 ? {} : { stack: frames.slice(0, 10).map((frame) => frame.trim()) }),
    ...(error.cause === undefined ? {} : { cause: plainValue(error.cause, depth - 1) }),
  };
}
