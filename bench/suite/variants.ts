/**
 * Gateways with other settings beside each other: how many processes, and what single features cost.
 *
 * Ratios are to the first of a table. A feature that gets a switch gets a line here; those that this build does not have
 * yet are left out by themselves. What has no switch is measured all together, against `floor-minimal`, which has none of it.
 *
 * Must not know what is better.
 */
import { availableParallelism } from 'node:os';
import type { Cell } from './cells.js';
import { measure } from './measure.js';
import { prepareModel } from './models.js';
import { type Results, rowsOf } from './results.js';
import { loadOf, type Plan } from './run-cells.js';
import { type Baseline, type GatewayOptions, reasonIn, type Server, startBaseline, startGateway } from './servers.js';

interface Variant extends Pick<GatewayOptions, 'processes' | 'env' | 'config'> {
  readonly name: string;
}

interface RunningVariant extends Server {
  readonly variant: string;
}

export interface VariantTable {
  readonly name: 'processes' | 'features';
  readonly cells: readonly Pick<Cell, 'name' | 'model' | 'protocol' | 'connections'>[];
  readonly variants: readonly Variant[];
  /** Runs beside them, with as many processes as the first; all ratios are to it, too. */
  readonly beside?: Baseline;
}

const allFeatures = 'defaults';
const minimalPath = 'floor-minimal';

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
      { name: allFeatures },
      { name: 'an access line for each request', env: { SLUICE_LOG_ACCESS: '1' } },
      { name: 'Triton metric aliases', env: { SLUICE_METRICS_TRITON_ALIASES: 'true' } },
      {
        name: 'prediction log of everything',
        env: { SLUICE_PREDICTION_LOG_ENABLED: 'true', SLUICE_PREDICTION_LOG_SAMPLE: '1' },
      },
      {
        name: 'a route of two variants, by a key of each request',
        config:
          'routes: { small: { no_key: request, default: a, variants: { a: { version: "1", weight: 50 }, b: { version: "1", weight: 50 } } } }\n',
      },
      { name: 'gRPC door closed', env: { SLUICE_GRPC_ENABLED: 'false' } },
      {
        name: 'counts collected once a minute',
        env: { SLUICE_GATEWAY_BEAT_MS: '60000', SLUICE_GATEWAY_BEAT_TIMEOUT_MS: '120000' },
      },
      { name: 'no batches', env: { SLUICE_BATCHING_DEFAULT_MAX_BATCH_SIZE: '1' } },
      { name: 'no inline runs', env: { SLUICE_ENGINE_INLINE_RUN_US: '0' } },
      { name: 'no memory arena', env: { SLUICE_ENGINE_CPU_MEM_ARENA: 'false' } },
      { name: 'HTTP by node:http', env: { SLUICE_HTTP_ENGINE: 'node' } },
    ],
    beside: minimalPath,
  },
];

export async function runVariants(table: VariantTable, plan: Plan): Promise<Results['variants']> {
  const found: Results['variants'] = [];
  for (const name of new Set(table.cells.map(({ model }) => model))) {
    const model = prepareModel(name, plan.directory);
    if (typeof model === 'string') continue;
    const running: RunningVariant[] = [];
    try {
      for (const { name: variant, ...options } of table.variants) {
        const started = startGateway({ ...options, models: model.repository });
        const gateway = await started.catch((error: Error) => error);
        if (!(gateway instanceof Error)) running.push({ ...gateway, variant });
        else if (running.length === 0) throw gateway;
        else plan.say(`${variant} left out: ${reasonIn(gateway.message)}`);
        if (running.length > 1 || table.beside === undefined || gateway instanceof Error) continue;
        running.push({ ...(await startBaseline(table.beside, model, gateway.processes.size)), variant: table.beside });
      }
      for (const cell of table.cells.filter((one) => one.model === name)) {
        plan.say(`${table.name}, ${cell.name}`);
        const runners = running.map((server) => ({
          name: server.variant,
          pid: server.pid,
          load: loadOf(cell, model, server, plan)!,
        }));
        const samples = await measure(runners, plan);
        const bases = [running[0]!.variant, ...(table.beside === undefined ? [] : [table.beside])];
        found.push({ table: table.name, cell: cell.name, rows: rowsOf(samples, bases) });
      }
    } finally {
      await Promise.all(running.map((server) => server.stop()));
    }
  }
  return found;
}

/** What all features together may take of the throughput of a path without them. */
const costMax = 0.15;

/** One sentence about all features together, where they were measured. */
export function featureVerdict(
  variants: Results['variants'],
): { readonly text: string; readonly isMet: boolean } | undefined {
  const rows = variants.find(({ table }) => table === 'features')?.rows;
  const ratio = rows?.find(({ server }) => server === allFeatures)?.ratios[minimalPath]?.rps;
  if (ratio === undefined) return undefined;
  const isMet = ratio.median >= 1 - costMax;
  const percent = (share: number) => `${Math.round((1 - share) * 100)} %`;
  const spread = `${percent(ratio.median)} (${percent(ratio.max)} to ${percent(ratio.min)})`;
  const text = `All features together take ${spread} of the throughput of \`${minimalPath}\`; at most ${costMax * 100} % is promised: ${isMet ? 'met' : 'NOT MET'}.`;
  return { text, isMet };
}
