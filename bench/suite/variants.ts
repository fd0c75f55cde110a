/**
 * Gateways with other settings beside each other: how many processes, and what single features cost.
 *
 * Ratios are to the first of a table. A feature that gets a switch gets a line here.
 *
 * Must not know what is better.
 */
import { availableParallelism } from 'node:os';
import type { Cell } from './cells.js';
import { measure } from './measure.js';
import { prepareModel } from './models.js';
import { type Results, rowsOf } from './results.js';
import { loadOf, type Plan } from './run-cells.js';
import { type Gateway, type GatewayOptions, startGateway } from './servers.js';

interface Variant extends Pick<GatewayOptions, 'processes' | 'env'> {
  readonly name: string;
}

export interface VariantTable {
  readonly name: 'processes' | 'features';
  readonly cells: readonly Pick<Cell, 'name' | 'model' | 'protocol' | 'connections'>[];
  readonly variants: readonly Variant[];
}

const processCounts = availableParallelism() > 2 ? [1, 2, 3, 4] : [1, 2, 3];

export const variantTables: readonly VariantTable[] = [
  {
    name: 'processes',
    cells: (['small', 'mid'] as const).flatMap((model) =>
      [1, 8, 64].map((connections) => ({
        name: `${model}-json-${connections}`,
        model,
        protocol: 'json' as const,
        connections,
      })),
    ),
    variants: processCounts.map((processes) => ({
      name: `${processes} process${processes === 1 ? '' : 'es'}`,
      processes,
    })),
  },
  {
    name: 'features',
    cells: [{ name: 'small-json-64', model: 'small', protocol: 'json', connections: 64 }],
    variants: [
      { name: 'defaults' },
      { name: 'an access line for each request', env: { SLUICE_LOG_ACCESS: '1' } },
      { name: 'Triton metric aliases', env: { SLUICE_METRICS_TRITON_ALIASES: 'true' } },
      { name: 'gRPC door closed', env: { SLUICE_GRPC_ENABLED: 'false' } },
      { name: 'no inline runs', env: { SLUICE_ENGINE_INLINE_RUN_US: '0' } },
      { name: 'HTTP by node:http', env: { SLUICE_HTTP_ENGINE: 'node' } },
    ],
  },
];

export async function runVariants(table: VariantTable, plan: Plan): Promise<Results['variants']> {
  const found: Results['variants'] = [];
  for (const name of new Set(table.cells.map(({ model }) => model))) {
    const model = prepareModel(name, plan.directory);
    if (typeof model === 'string') continue;
    const gateways: (Gateway & { readonly variant: string })[] = [];
    try {
      for (const { name: variant, ...options } of table.variants) {
        const started = startGateway({ ...options, models: model.repository });
        const gateway = await started.catch((error: Error) => error);
        if (!(gateway instanceof Error)) gateways.push({ ...gateway, variant });
        else if (gateways.length === 0) throw gateway;
        else plan.say(`${variant} left out: ${gateway.message.split('\n')[0]}`);
      }
      for (const cell of table.cells.filter((one) => one.model === name)) {
        plan.say(`${table.name}, ${cell.name}`);
        const runners = gateways.map((gateway) => ({
          name: gateway.variant,
          pid: gateway.pid,
          load: loadOf(cell, model, gateway, plan)!,
        }));
        const samples = await measure(runners, plan);
        found.push({ table: table.name, cell: cell.name, rows: rowsOf(samples, [gateways[0]!.variant]) });
      }
    } finally {
      await Promise.all(gateways.map((gateway) => gateway.stop()));
    }
  }
  return found;
}
