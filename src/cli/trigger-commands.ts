/**
 * The commands about who is told of what: `triggers ls | replay | close | test`.
 *
 * Must not know how anything is sent.
 */
import type { Command } from 'commander';
import type { TriggersDocument } from '../control/trigger-document.js';
import { controlPort, gatewayOf, questionTo } from './control-port.js';
import { harmless, table } from './text.js';

const examples = `
Endpoints and retraining policies are written under "triggers" in the configuration.

Examples:
  $ sluice triggers                                  who is told, what waits, open requests for trainings
  $ sluice triggers test digits --reason "new data"  ask for a training of digits now
  $ sluice triggers test digits --type io.sluice.drift.detected
  $ sluice triggers close digits --reason "trained by hand"
  $ sluice triggers replay                           deliver dead letters again
  $ sluice triggers replay --endpoint ops            and ask an endpoint again that wanted no more`;

type Write = (text: string) => void;

interface Given {
  readonly url: string;
  readonly json?: true;
}

interface GivenReason extends Given {
  readonly reason: string;
}

export function addTriggerCommands(program: Command, env: NodeJS.ProcessEnv, write: Write): void {
  const triggers = program
    .command('triggers')
    .description('Show who is told of what, and act on it.')
    .addHelpText('after', examples);
  const asking = (command: Command) =>
    command.option('--url <url>', 'Address of the control port.', controlPort).option('--json', 'As JSON.');
  const acting = (command: Command) => asking(command).option('--reason <text>', 'Why, for the audit log.', '');
  const show = <Answer>({ json }: Given, answer: unknown, text: (answer: Answer) => string) =>
    write(json === true ? `${JSON.stringify(answer, undefined, 2)}\n` : text(answer as Answer));
  const ask = ({ url }: Given, path: string, body?: object) => questionTo(gatewayOf(url, env), path, body);

  asking(triggers.command('ls', { isDefault: true }).description('Endpoints, what waits, open requests.')).action(
    async (given: Given) => show(given, await ask(given, 'triggers'), triggersText),
  );
  asking(triggers.command('replay').description('Deliver dead letters again.'))
    .option('--id <id>', 'Only this event.')
    .option('--endpoint <name>', 'Only those of this endpoint.')
    .action(async (given: Given & { id?: string; endpoint?: string }) => {
      const { id, endpoint } = given;
      const answer = await ask(given, 'triggers/replay', { id, endpoint });
      show<{ replayed: number }>(given, answer, ({ replayed }) => `${replayed} dead letters are delivered again\n`);
    });
  acting(triggers.command('close').description('Close the open request of a model.').argument('<model>')).action(
    async (model: string, given: GivenReason) => {
      const path = `triggers/${encodeURIComponent(model)}/close`;
      show(given, await ask(given, path, { reason: given.reason }), triggersText);
    },
  );
  acting(triggers.command('test').description('Ask for a training by hand, or send a test.').argument('<model>'))
    .option('--type <type>', 'What to send.', 'io.sluice.retrain.requested')
    .action(async (model: string, given: GivenReason & { type: string }) => {
      const { type, reason } = given;
      const answer = await ask(given, 'triggers/test', { model, type, reason });
      show<{ id: string }>(given, answer, ({ id }) => `raised as ${id}\n`);
    });
}

function triggersText({ endpoints, pending, dead, retraining }: TriggersDocument): string {
  const parts = [
    listed(
      'nobody is told of anything',
      ['ENDPOINT', 'HOST', 'FORMAT', 'PENDING', 'STATE', 'TYPES'],
      endpoints.map(({ name, host, format, pending: waiting, is_disabled, types }) => [
        name,
        host,
        format,
        String(waiting),
        is_disabled ? 'disabled' : 'on',
        types.length === 0 ? 'all' : types.join(' '),
      ]),
    ),
  ];
  if (retraining.length > 0)
    parts.push(
      listed(
        '',
        ['MODEL', 'POLICY', 'THIS_WEEK', 'OPEN SINCE', 'TRIGGER', 'REASONS'],
        retraining.map(({ model, policy, dry_run, open, fired_this_week }) => [
          model,
          `${policy ?? '-'}${dry_run ? ' (dry run)' : ''}`,
          String(fired_this_week),
          open?.opened ?? '-',
          open?.trigger_id ?? '-',
          open?.reasons.join(', ') ?? '',
        ]),
      ),
    );
  if (pending.length > 0) parts.push(deliveries('PENDING', pending));
  if (dead.length > 0) parts.push(deliveries('DEAD', dead));
  return parts.join('\n');
}

function deliveries(head: string, rows: TriggersDocument['pending']): string {
  return table([
    [head, 'TYPE', 'SUBJECT', 'ENDPOINT', 'TRIES', 'NEXT_S', 'ERROR'],
    ...rows.map(({ id, type, subject, endpoint, tries, due_in_ms, error }) => [
      id,
      type,
      subject,
      endpoint,
      String(tries),
      due_in_ms === null ? '-' : String(Math.ceil(due_in_ms / 1000)),
      error,
    ]),
  ]);
}

function listed(nothing: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? `${harmless(nothing)}\n` : table([head, ...rows]);
}
