/**
 * The cells: which model, over which protocol, by how many connections, on which servers.
 *
 * Every cell also runs `plain` over JSON at the same number of connections, which its ratios refer to.
 *
 * Must not know how a server is started or loaded.
 */
import type { ModelName } from './models.js';
import type { ServerName } from './servers.js';

export type Protocol = 'json' | 'binary' | 'grpc' | 'grpc-stream';

export interface Cell {
  readonly name: string;
  readonly model: ModelName;
  readonly protocol: Protocol;
  /** Requests in flight at once; each on a connection of its own, but those of a gRPC stream on `streams` connections. */
  readonly connections: number;
  readonly streams?: number;
  readonly servers: readonly ServerName[];
  /** Left out by `--quick`. */
  readonly isFullOnly?: true;
}

const everybody = ['plain', 'fastify', 'cluster', 'floor-echo', 'sluice', 'against'] as const;
const binarySpeakers = ['plain', 'sluice', 'against'] as const;

export const cells: readonly Cell[] = [
  { name: 'small-json-1', model: 'small', protocol: 'json', connections: 1, servers: everybody },
  { name: 'small-json-8', model: 'small', protocol: 'json', connections: 8, servers: everybody },
  { name: 'small-json-64', model: 'small', protocol: 'json', connections: 64, servers: everybody },
  { name: 'small-grpc-64', model: 'small', protocol: 'grpc', connections: 64, servers: binarySpeakers },
  {
    name: 'small-stream-64',
    model: 'small',
    protocol: 'grpc-stream',
    connections: 64,
    streams: 2,
    servers: binarySpeakers,
  },
  { name: 'mid-json-1', model: 'mid', protocol: 'json', connections: 1, servers: everybody, isFullOnly: true },
  { name: 'mid-json-8', model: 'mid', protocol: 'json', connections: 8, servers: everybody, isFullOnly: true },
  { name: 'mid-json-64', model: 'mid', protocol: 'json', connections: 64, servers: everybody },
  { name: 'mid-binary-64', model: 'mid', protocol: 'binary', connections: 64, servers: binarySpeakers },
  { name: 'mid-grpc-64', model: 'mid', protocol: 'grpc', connections: 64, servers: binarySpeakers },
  { name: 'large-binary-8', model: 'large', protocol: 'binary', connections: 8, servers: ['sluice', 'against'] },
];

/** Cells whose name is, or begins with, one of `only`; all when that is empty. */
export function chosenCells(only: readonly string[], isQuick: boolean): readonly Cell[] {
  if (only.length > 0) return cells.filter(({ name }) => only.some((part) => name.startsWith(part)));
  if (!isQuick) return cells;
  return cells.filter(({ isFullOnly }) => isFullOnly !== true).map(quickened);
}

/** In a hurry, fastify is shown in one cell only. */
function quickened(cell: Cell): Cell {
  if (cell.name === 'small-json-64') return cell;
  return { ...cell, servers: cell.servers.filter((name) => name !== 'fastify' && name !== 'cluster') };
}
