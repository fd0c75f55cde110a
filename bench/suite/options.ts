/**
 * Flags of `npm run bench`.
 *
 * Must not know what they turn on.
 */
import { parseArgs } from 'node:util';

export interface Options {
  readonly isQuick: boolean;
  /** Names of cells, `scenario:NAME`, `processes`; empty = all cells. */
  readonly only: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  /** Another V2 server that has the models, `http://host:port`. */
  readonly against: string | undefined;
  /** Its gRPC address, `host:port`. */
  readonly againstGrpc: string | undefined;
  readonly isGate: boolean;
  readonly isWrite: boolean;
  readonly isHelp: boolean;
}

export const usage = `Usage: npm run bench -- [options]

Measures the gateway beside the floor and the baselines, in turns, and prints what it promised and what it did.

  --quick           fewer and shorter rounds, under 3 minutes
  --only NAME,…     cells (a prefix will do), scenario:NAME, scenario:all, processes, features, curve
  --rounds N        rounds for each cell (5; quick 3)
  --seconds S       seconds of load for each server and round (2; quick 1)
  --against URL     also measure this V2 server, http://host:port; it must have the models small, mid and large
  --against-grpc A  its gRPC address, host:port
  --gate            compare with bench/results.json and fail beyond the noise
  --write           write bench/RESULTS.md, bench/results.json and bench/curve.svg
  --help            this text
`;

/** @throws with one sentence for the user */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      against: { type: 'string' },
      'against-grpc': { type: 'string' },
      gate: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const isQuick = values.quick;
  return {
    isQuick,
    only: values.only.split(',').filter((name) => name !== ''),
    rounds: countOf('rounds', values.rounds, isQuick ? 3 : 5),
    seconds: countOf('seconds', values.seconds, isQuick ? 1 : 2),
    against: values.against === undefined ? undefined : originOf(values.against),
    againstGrpc: values['against-grpc'],
    isGate: values.gate,
    isWrite: values.write,
    isHelp: values.help,
  };
}

function countOf(name: string, text: string | undefined, usual: number): number {
  if (text === undefined) return usual;
  if (!/^[1-9][0-9]?$/.test(text)) throw new Error(`--${name} must be a whole number from 1 to 99, got: ${text}`);
  return Number(text);
}

function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:') throw new Error(`--against must be a URL like http://host:port, got: ${text}`);
  return url.origin;
}
