/**
 * The commands about who gets which version: `routes …`, `canary …`, `experiments …`.
 *
 * Must not know how any of it is carried out.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parse } from 'yaml';
import type { CanaryVerb } from '../admin/route-operations.js';
import type { CanaryDocument, WholeRouteDocument } from '../control/route-document.js';
import { canaryText } from './canary.js';
import { controlPort, type Gateway, gatewayOf, questionTo } from './control-port.js';
import { Exit } from './exit.js';
import { experimentsText, renderExperiment, type ShownExperiment } from './experiment.js';
import { historyText, routesText, routeText } from './routes.js';

const examples = {
  routes: `
What is set here wins over the configuration file until the route's part of the file changes. A weight is not a percentage:
only the ratios count, so give all of them when shares matter.

Examples:
  $ sluice routes                                    all routes with their weights and shares
  $ sluice routes set digits control=75 treatment=25
  $ sluice routes set digits --file route.yaml       a whole route, written as under routes.digits
  $ sluice routes history digits
  $ sluice routes revert digits                      as it was before the last change
  $ sluice routes revert digits --to 0               as the configuration file says`,
  canary: `
A canary is written under routes.MODEL.canary; it begins by itself when its version is ready, and
approved where its model asks for that.

Examples:
  $ sluice canary show digits
  $ sluice canary hold digits --reason "until the release is over"
  $ sluice canary rollback digits`,
  experiments: `
The sizes of the arms come first: when they are not what the weights promise, nothing else is shown. Intervals and p are
right however often one looks.

Examples:
  $ sluice experiments
  $ sluice experiments show digits
  $ sluice experiments show digits --json`,
};

type Write = (text: string) => void;

interface Given {
  readonly url: string;
  readonly json?: true;
}

interface GivenReason extends Given {
  readonly reason: string;
}

export function addRouteCommands(program: Command, env: NodeJS.ProcessEnv, write: Write): void {
  addRoutes(program, env, write);
  addCanary(program, env, write);
  addExperiments(program, env, write);
}

const asking = (command: Command) =>
  command.option('--url <url>', 'Address of the control port.', controlPort).option('--json', 'As JSON.');
const acting = (command: Command) => asking(command).option('--reason <text>', 'Why, for the audit log.', '');

/** The answer as it is, or as a person reads it. */
function shown<Answer>({ json }: Given, answer: unknown, text: (answer: Answer) => string): string {
  return json === true ? `${JSON.stringify(answer, undefined, 2)}\n` : text(answer as Answer);
}

function addRoutes(program: Command, env: NodeJS.ProcessEnv, write: Write): void {
  const routes = program
    .command('routes')
    .description('Show and change how requests are split.')
    .addHelpText('after', examples.routes);
  const to = (given: Given): Gateway => gatewayOf(given.url, env);
  asking(routes.command('ls', { isDefault: true }).description('All routes with their weights.')).action(
    async (given: Given) => write(shown(given, await questionTo(to(given), 'routes'), routesText)),
  );
  for (const [verb, description, text] of [
    ['show', 'One route.', routeText],
    ['history', 'How a route was changed.', historyText],
  ] as const) {
    asking(routes.command(verb).description(description).argument('<model>')).action(
      async (model: string, given: Given) =>
        write(shown(given, await questionTo(to(given), `routes/${encodeURIComponent(model)}`), text)),
    );
  }
  acting(routes.command('set').description('Change weights, or the whole route.').argument('<model>'))
    .argument('[weights...]', 'As in treatment=25.')
    .option('--file <file>', 'A route as YAML or JSON; - = standard input.')
    .action(async (model: string, weights: readonly string[], given: GivenReason & { file?: string }) => {
      const change = given.file === undefined ? { weights: weightsOf(weights) } : { route: routeIn(given.file) };
      if (given.file !== undefined && weights.length > 0)
        throw new Exit(2, 'expected either weights or --file, got both');
      const body = { ...change, reason: given.reason };
      write(
        shown<WholeRouteDocument>(
          given,
          await questionTo(to(given), `routes/${encodeURIComponent(model)}`, body),
          routeText,
        ),
      );
    });
  acting(routes.command('revert').description('Take a change of a route back.').argument('<model>'))
    .option('--to <n>', 'Number of a change; 0 = as the configuration file says.')
    .action(async (model: string, given: GivenReason & { to?: string }) => {
      const body = { reason: given.reason, ...(given.to === undefined ? {} : { to: numberOf(given.to) }) };
      const path = `routes/${encodeURIComponent(model)}/revert`;
      write(shown<WholeRouteDocument>(given, await questionTo(to(given), path, body), routeText));
    });
}

const verbText: Readonly<Record<CanaryVerb, string>> = {
  start: 'Begin it anew at its first step.',
  advance: 'Take it one step on, whatever its guardrails say.',
  hold: 'Keep it at its step.',
  resume: 'Count the step of a held one anew.',
  rollback: 'Take it back to 0 %.',
};

function addCanary(program: Command, env: NodeJS.ProcessEnv, write: Write): void {
  const canary = program
    .command('canary')
    .description('Show and steer canaries.')
    .addHelpText('after', examples.canary);
  const path = (model: string) => `models/${encodeURIComponent(model)}/canary`;
  asking(canary.command('show').description('How it stands, with every number.').argument('<model>')).action(
    async (model: string, given: Given) =>
      write(shown<CanaryDocument>(given, await questionTo(gatewayOf(given.url, env), path(model)), canaryText)),
  );
  for (const [verb, description] of Object.entries(verbText)) {
    acting(canary.command(verb).description(description).argument('<model>')).action(
      async (model: string, given: GivenReason) => {
        const body = { reason: given.reason };
        const answer = await questionTo(gatewayOf(given.url, env), `${path(model)}/${verb}`, body);
        write(shown<CanaryDocument>(given, answer, canaryText));
      },
    );
  }
}

function addExperiments(program: Command, env: NodeJS.ProcessEnv, write: Write): void {
  const experiments = program
    .command('experiments')
    .description('Read what experiments have shown.')
    .addHelpText('after', examples.experiments);
  asking(experiments.command('ls', { isDefault: true }).description('All experiments.')).action(async (given: Given) =>
    write(shown(given, await questionTo(gatewayOf(given.url, env), 'experiments'), experimentsText)),
  );
  asking(experiments.command('show').description('One experiment.').argument('<route>')).action(
    async (route: string, given: Given) => {
      const answer = await questionTo(gatewayOf(given.url, env), `experiments/${encodeURIComponent(route)}`);
      write(shown<ShownExperiment>(given, answer, renderExperiment));
    },
  );
}

function weightsOf(given: readonly string[]): Record<string, number> {
  if (given.length === 0) throw new Exit(2, 'expected weights such as treatment=25, or --file');
  return Object.fromEntries(
    given.map((text) => {
      const [, name, weight] = /^([A-Za-z0-9._-]{1,64})=([0-9]+(?:\.[0-9]+)?)$/.exec(text) ?? [];
      if (name === undefined) throw new Exit(2, `expected a weight such as treatment=25, got '${text}'`);
      return [name, Number(weight)];
    }),
  );
}

function routeIn(file: string): unknown {
  try {
    return parse(readFileSync(file === '-' ? 0 : file, 'utf8'));
  } catch (error) {
    throw new Exit(2, `--file: expected a route in ${file}: ${(error as Error).message.split('\n')[0]}`);
  }
}

function numberOf(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new Exit(2, `--to: expected the number of a change, got '${text}'`);
}
