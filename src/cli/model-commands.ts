/**
 * The commands about a running gateway's models: `models …`, `plan`, `apply`, `history`, `audit …`.
 *
 * Must not know how any of it is carried out.
 */
import type { Command } from 'commander';
import { readConfigFile } from '../config/read.js';
import { nearest } from '../core/nearest.js';
import { showAuditTail, verifyAuditLog } from './audit.js';
import { Exit } from './exit.js';
import { showHistory } from './history.js';
import { showModels } from './models.js';
import {
  applyPlan,
  collectGarbage,
  type Gateway,
  operateModel,
  pollSource,
  showModel,
  showPlan,
  showVersion,
} from './operate.js';

const examples = {
  models: `
Asks the control port, which only this machine reaches unless it was configured otherwise.

Examples:
  $ sluice models                              what is served, from where, in which state
  $ sluice models show digits                  one model: versions, labels, digests, signatures
  $ sluice models show digits/3                one version: stages, checks, trial, manifest, names it had
  $ sluice models promote digits 3 --prepare   version 3 answers from now on
  $ sluice models rollback digits              the version before answers again, at once
  $ sluice models pin digits 2                 version 2 stays open and in the store
  $ SLUICE_ADMIN_TOKEN=… sluice models --url http://gateway:8002`,
  plan: `
A "+" is loaded, a "-" unloaded, a ">" answers from then on, a "!" must not, a "~" is an option, a "%" the share of keys that move; in what inputs and outputs
differ stands below. Nothing is changed.

Examples:
  $ sluice plan --config new.yaml
  $ sluice plan --config new.yaml && mv new.yaml config/sluice.yaml`,
  apply: `
The same as SIGHUP, and as saving the file; a configuration that is wrong changes nothing.

Examples:
  $ sluice apply`,
  history: `
Examples:
  $ sluice history digits
  $ sluice history digits --at 2026-06-14T10:30:00Z`,
  audit: `
Reads the files themselves: no gateway needs to run, and none is believed.

Examples:
  $ sluice audit verify
  $ sluice audit verify --head 5f1c…
  $ sluice audit tail --last 5`,
};

const controlPort = 'http://127.0.0.1:8002';
const auditPath = '.sluice/audit';

type Write = (text: string) => void;
interface Where {
  readonly url: string;
}

function unknownCommand(name: string, { commands }: Command): string {
  const meant = nearest(
    name,
    commands.map((command) => command.name()),
  );
  return `unknown command 'models ${name}'${meant === undefined ? '' : `, did you mean ${meant}?`}`;
}

export function addModelCommands(program: Command, env: NodeJS.ProcessEnv, write: Write): void {
  const gatewayAt = ({ url }: Where): Gateway => ({ url, token: env.SLUICE_ADMIN_TOKEN });
  const models = program
    .command('models')
    .description('Show and change what a running gateway serves.')
    .addHelpText('after', examples.models);
  const withUrl = (command: Command) => command.option('--url <url>', 'Address of the control port.', controlPort);

  withUrl(models.command('ls', { isDefault: true }).description('List versions and sources.'))
    // Whatever is no command ends up here, and is to be told as that.
    .allowExcessArguments()
    .action(async (where: Where, command: Command) => {
      const [unknown] = command.args;
      if (unknown !== undefined) throw new Exit(2, unknownCommand(unknown, models));
      write(await showModels(gatewayAt(where)));
    });
  withUrl(
    models
      .command('show')
      .description('One model with all its versions, or all that is known of one version.')
      .argument('<model[/version]>'),
  ).action(async (named: string, where: Where) => {
    const [model = '', version, ...more] = named.split('/');
    if (more.length > 0) throw new Exit(2, `show: expected <model> or <model>/<version>, got '${named}'`);
    const gateway = gatewayAt(where);
    write(version === undefined ? await showModel(model, gateway) : await showVersion(model, version, gateway));
  });
  for (const [verb, description] of [
    ['load', 'Load a model, or load it again.'],
    ['unload', 'Take a model out of service; its files stay.'],
  ] as const) {
    withUrl(models.command(verb).description(description).argument('<model>')).action(
      async (model: string, where: Where) => write(await operateModel(verb, model, {}, gatewayAt(where))),
    );
  }
  withUrl(
    models
      .command('promote')
      .description('Have a version answer by default, or move another label to it.')
      .argument('<model>')
      .argument('<version>')
      .option('--label <label>', 'Which label; "champion" answers callers who name no version.', 'champion')
      .option('--prepare', 'Load the version first when it is not ready.')
      .option('--allow-breaking', 'Although its inputs or outputs differ.'),
  ).action(
    async (
      model: string,
      version: string,
      given: Where & { label: string; prepare?: true; allowBreaking?: true },
    ): Promise<void> => {
      const body = {
        version,
        label: given.label,
        prepare: given.prepare === true,
        allow_breaking: given.allowBreaking === true,
      };
      write(await operateModel('promote', model, body, gatewayAt(given)));
    },
  );
  withUrl(
    models
      .command('release')
      .description('Forget what was promoted or rolled back: the source decides again.')
      .argument('<model>')
      .option('--label <label>', 'Which label.', 'champion'),
  ).action(async (model: string, given: Where & { label: string }) =>
    write(await operateModel('release', model, { label: given.label }, gatewayAt(given))),
  );
  withUrl(
    models
      .command('rollback')
      .description('Have the version before answer again; nothing is downloaded.')
      .argument('<model>')
      .option('--reason <text>', 'Why, for the audit log.', ''),
  ).action(async (model: string, given: Where & { reason: string }) =>
    write(await operateModel('rollback', model, { reason: given.reason }, gatewayAt(given))),
  );
  for (const [verb, description] of [
    ['pin', 'Keep a version open and in the store.'],
    ['unpin', 'Let it go when nobody else needs it.'],
    ['forgive', 'Lift the quarantine of a version, or try a refused one again.'],
  ] as const) {
    withUrl(models.command(verb).description(description).argument('<model>').argument('<version>')).action(
      async (model: string, version: string, where: Where) =>
        write(await operateModel(verb, model, { version }, gatewayAt(where))),
    );
  }
  withUrl(
    models
      .command('approve')
      .description('Agree that a version may answer by default, where its model needs approvals.')
      .argument('<model@version>')
      .option('--reason <text>', 'Why, for the audit log.', '')
      .option('--breaking', 'Not that, but that its inputs or outputs may differ then.')
      .option('--canary', 'Not that, but that a route may give it a share.')
      .option('--break-glass', 'Pass over whatever it would need; owners only, with a reason.'),
  ).action(
    async (
      named: string,
      given: Where & { reason: string; breaking?: true; canary?: true; breakGlass?: true },
    ): Promise<void> => {
      const [, model, version] = /^([^@]+)@([^@]+)$/.exec(named) ?? [];
      if (model === undefined) throw new Exit(2, `approve: expected <model>@<version>, got '${named}'`);
      const body = {
        version,
        reason: given.reason,
        breaking: given.breaking === true,
        canary: given.canary === true,
        break_glass: given.breakGlass === true,
      };
      write(await operateModel('approve', model, body, gatewayAt(given)));
    },
  );
  withUrl(
    models
      .command('poll')
      .description('Have a source asked now, even while it rests after failures.')
      .argument('<source>')
      .option('--accept-older', 'Believe its next index although it is older than one seen before.'),
  ).action(async (source: string, given: Where & { acceptOlder?: true }) =>
    write(await pollSource(source, given.acceptOlder === true, gatewayAt(given))),
  );
  withUrl(
    models
      .command('gc')
      .description('Remove from the store what nobody needs.')
      .option('--grace-ms <ms>', 'Only what has not been needed for so long.', '3600000'),
  ).action(async (given: Where & { graceMs: string }) =>
    write(await collectGarbage(wholeNumber('--grace-ms', given.graceMs), gatewayAt(given))),
  );

  withUrl(
    program
      .command('plan')
      .description('What another configuration would change.')
      .option('--config <file>', 'The file to try; without it, the one of the gateway as it is now.'),
  )
    .addHelpText('after', examples.plan)
    .action(async (given: Where & { config?: string }) =>
      write(
        await showPlan(gatewayAt(given), given.config === undefined ? undefined : readConfigFile(given.config, {})),
      ),
    );
  withUrl(program.command('apply').description('Read the configuration again and make it so.'))
    .addHelpText('after', examples.apply)
    .action(async (where: Where) => write(await applyPlan(gatewayAt(where))));
  withUrl(
    program
      .command('history')
      .description('Which version of a model answered when.')
      .argument('<model>')
      .option('--at <time>', 'Only the one that answered then, as in 2026-06-14T10:30:00Z.')
      .option('--json', 'As JSON.'),
  )
    .addHelpText('after', examples.history)
    .action(async (model: string, given: Where & { at?: string; json?: true }) =>
      write(await showHistory(model, { ...gatewayAt(given), at: given.at, json: given.json })),
    );
  addAudit(program, write);
}

function addAudit(program: Command, write: Write): void {
  const audit = program
    .command('audit')
    .description('Read and verify the audit log.')
    .addHelpText('after', examples.audit);
  const withPath = (command: Command) =>
    command.option('--path <folder>', 'Folder of the log.', auditPath).option('--json', 'As JSON.');
  withPath(audit.command('verify').description('Is the log whole and unchanged?'))
    .option('--head <hash>', 'Hash of an entry that must be in it.')
    .action(async (given: { path: string; head?: string; json?: true }) => {
      const { text, exitCode } = await verifyAuditLog(given);
      write(text);
      process.exitCode = exitCode;
    });
  withPath(audit.command('tail').description('The newest entries.'))
    .option('--last <n>', 'How many.', '20')
    .action(async (given: { path: string; last: string; json?: true }) =>
      write(await showAuditTail({ path: given.path, count: wholeNumber('--last', given.last), json: given.json })),
    );
}

function wholeNumber(flag: string, text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new Exit(2, `${flag}: expected a whole number, got '${text}'`);
}
