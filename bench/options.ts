/**
 * What was asked for on the command line, checked.
 *
 * Words become numbers here and nowhere else; everything has a limit, and what is wrong is said in one line.
 *
 * Must not know commander or how load is made.
 */
import { agoMs } from '../src/cli/ago.js';
import { Exit } from '../src/cli/exit.js';
import type { Arrivals } from './chance.js';
import { parseSlo, type Slo } from './slo.js';

export type Protocol = 'http-json' | 'http-binary' | 'grpc' | 'grpc-stream';
export type Mode = 'closed' | 'open';

/** As they were typed. */
export interface TypedOptions {
  readonly model?: string;
  readonly modelVersion?: string;
  readonly protocol?: string;
  readonly mode?: string;
  readonly arrivals?: string;
  readonly connections?: string;
  readonly rate?: string;
  readonly duration?: string;
  readonly warmup?: string;
  readonly timeout?: string;
  readonly slo?: string;
  readonly rows?: string;
  readonly shape?: readonly string[];
  readonly input?: string;
  readonly last?: string;
  readonly seed?: string;
  readonly header?: readonly string[];
  readonly admin?: string;
  readonly pid?: string;
  readonly out?: string;
  readonly json?: string;
  readonly html?: string;
}

export interface BenchOptions {
  /** `http://host:port` or `https://host:port`, for gRPC as well. */
  readonly url: string;
  readonly model: string;
  readonly version: string | undefined;
  readonly protocol: Protocol;
  readonly mode: Mode;
  readonly arrivals: Arrivals;
  /** Closed: one row for each. Open: one number, the most requests in flight. */
  readonly connections: readonly number[];
  /** Open: one row for each; empty when the rate is searched. */
  readonly rates: readonly number[];
  /** Of one row. */
  readonly durationMs: number;
  readonly warmupMs: number;
  readonly timeoutMs: number;
  readonly slo: Slo | undefined;
  /** Rows of one request; undefined = one, or as the file has them. */
  readonly rows: number | undefined;
  /** Of inputs with varying dimensions, without the rows. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** A file, or `log`. */
  readonly input: string | undefined;
  /** Of the log: how far back. */
  readonly lastMs: number;
  readonly seed: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly admin: string | undefined;
  readonly pid: number | undefined;
  readonly json: string | undefined;
  readonly html: string | undefined;
}

const protocols: readonly Protocol[] = ['http-json', 'http-binary', 'grpc', 'grpc-stream'];
const listMax = 32;
const openConnections = 256;

/** @throws Exit 2 */
export function parseOptions(url: string | undefined, typed: TypedOptions): BenchOptions {
  const protocol = oneOf('protocol', typed.protocol ?? 'http-json', protocols);
  const slo = typed.slo === undefined ? undefined : parseSlo(typed.slo);
  const mode = oneOf<Mode>('mode', typed.mode ?? (slo || typed.rate ? 'open' : 'closed'), ['closed', 'open']);
  const connections = numbers('connections', typed.connections, { from: 1, to: 4096 });
  const rates = numbers('rate', typed.rate, { from: 0.1, to: 1_000_000, isFraction: true });
  if (mode === 'closed') {
    if (slo !== undefined) throw new Exit(2, '--slo: a rate can only be searched in open mode, use --mode open');
    if (rates.length > 0) throw new Exit(2, '--rate: a closed loop has no rate, use --mode open or --connections');
    if (typed.arrivals !== undefined) throw new Exit(2, '--arrivals: only an open loop has arrivals, use --mode open');
  } else {
    if (rates.length === 0 && slo === undefined)
      throw new Exit(2, '--mode open: expected --rate R,R,… or --slo p99=5ms to search for it');
    if (rates.length > 0 && slo !== undefined)
      throw new Exit(2, '--rate: --slo searches for the rate, give one of both');
    if (connections.length > 1)
      throw new Exit(2, '--connections: in open mode expected one number, the most requests in flight');
  }
  if (typed.model === undefined || typed.model === '')
    throw new Exit(2, '--model: expected the name of a model; "sluice models" lists them');
  if (typed.last !== undefined && typed.input !== 'log')
    throw new Exit(2, '--last: says how far back in the log, use it with --input log');
  const durationMs = number('duration', typed.duration ?? '10', { from: 0.1, to: 3600, isFraction: true }) * 1000;
  return {
    url: parseUrl(url, protocol),
    model: typed.model,
    version: typed.modelVersion,
    protocol,
    mode,
    arrivals: oneOf<Arrivals>('arrivals', typed.arrivals ?? 'poisson', ['constant', 'poisson']),
    connections: connections.length > 0 ? connections : mode === 'closed' ? [1, 8, 64] : [openConnections],
    rates,
    durationMs,
    warmupMs: number('warmup', typed.warmup ?? '2', { from: 0, to: 600, isFraction: true }) * 1000,
    timeoutMs: number('timeout', typed.timeout ?? '10', { from: 0.1, to: 600, isFraction: true }) * 1000,
    slo,
    rows: typed.rows === undefined ? undefined : number('rows', typed.rows, { from: 1, to: 65_536 }),
    shapes: new Map((typed.shape ?? []).map(parseShape)),
    input: typed.input,
    lastMs: agoMs(typed.last ?? '1h'),
    seed: number('seed', typed.seed ?? '1', { from: 0, to: 2 ** 32 - 1 }),
    headers: Object.fromEntries((typed.header ?? []).map(parseHeader)),
    admin: typed.admin === undefined ? undefined : parseOrigin('admin', typed.admin),
    pid: typed.pid === undefined ? undefined : number('pid', typed.pid, { from: 1, to: 2 ** 31 }),
    json: typed.json ?? (typed.out === undefined ? undefined : `${typed.out}/bench.json`),
    html: typed.html ?? (typed.out === undefined ? undefined : `${typed.out}/bench.html`),
  };
}

export function isGrpc(protocol: Protocol): boolean {
  return protocol.startsWith('grpc');
}

function parseUrl(url: string | undefined, protocol: Protocol): string {
  if (url === undefined) return isGrpc(protocol) ? 'http://127.0.0.1:8001' : 'http://127.0.0.1:8000';
  const withScheme = url.includes('://') ? url.replace(/^grpc(s?):/, 'http$1:') : `http://${url}`;
  return parseOrigin('URL', withScheme);
}

function parseOrigin(flag: string, text: string): string {
  const name = flag === 'URL' ? 'URL' : `--${flag}`;
  const isAddress = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  if (!isAddress) throw new Exit(2, `${name}: expected an address like http://127.0.0.1:8000, got ${text}`);
  const { origin, pathname, search } = new URL(text);
  if (pathname !== '/' || search !== '')
    throw new Exit(2, `${name}: expected an address without a path like ${origin}, got ${text}`);
  return origin;
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly isFraction?: boolean;
}

function number(flag: string, text: string, { from, to, isFraction = false }: Range): number {
  const value = Number(text);
  const isRight = /^\d+(\.\d+)?$/.test(text) && value >= from && value <= to && (isFraction || Number.isInteger(value));
  if (!isRight) throw new Exit(2, `--${flag}: expected a number from ${from} to ${to}, got ${text}`);
  return value;
}

function numbers(flag: string, text: string | undefined, range: Range): number[] {
  if (text === undefined) return [];
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > listMax) throw new Exit(2, `--${flag}: expected at most ${listMax} numbers, got ${parts.length}`);
  return [...new Set(parts.map((part) => number(flag, part, range)))];
}

function oneOf<Word extends string>(flag: string, text: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new Exit(2, `--${flag}: expected one of ${words.join(', ')}, got ${text}`);
  return found;
}

function parseShape(text: string): [string, number[]] {
  const [, name, dimensions] = /^([^=]+)=(\d{1,9}(?:,\d{1,9})*)$/.exec(text) ?? [];
  if (name === undefined || dimensions === undefined)
    throw new Exit(2, `--shape: expected an input and its dimensions like image=3,224,224, got ${text}`);
  return [name, dimensions.split(',').map(Number)];
}

function parseHeader(text: string): [string, string] {
  const [, name, value] = /^([\w!#$%&'*+.^`|~-]+):[ \t]*([\t\x20-\x7e]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new Exit(2, `--header: expected a name and a value like 'Authorization: Bearer …', got ${text}`);
  }
  return [name.toLowerCase(), value];
}
