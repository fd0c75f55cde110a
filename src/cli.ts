#!/usr/bin/env node
/**
 * The command line: argv → serve | check | config | models | infer | bench | tune.
 *
 *   argv ─▶ commander ─▶ flags + environment + file ─▶ Config ─▶ control (serve, check)
 *                   └──▶ HTTP to a running gateway              (models, plan, apply, history, infer)
 *
 * Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration. Errors are lines on stderr, never stacks.
 * What serves is imported only by the commands that serve, so that the others start in a moment.
 *
 * Must not know rooms.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Command, CommanderError } from 'commander';
import { addBenchCommand } from '../bench/command.js';
import { addTuneCommand } from '../bench/tune/command.js';
import { addDriftCommand } from './cli/drift.js';
import { Exit } from './cli/exit.js';
import { addExplainCommand } from './cli/explain.js';
import { addConfigFlags, configOf, sourcesOf } from './cli/flags.js';
import { showInference } from './cli/infer.js';
import { addLogCommands } from './cli/log-commands.js';
import { addModelCommands } from './cli/model-commands.js';
import { printConfig, printOptions } from './cli/print.js';
import { addProfileCommands } from './cli/profile.js';
import { addQualityCommand } from './cli/quality.js';
import { addReplayCommand } from './cli/replay.js';
import { addRouteCommands } from './cli/route-commands.js';
import { addShadowCommands } from './cli/shadow.js';
import { harmless } from './cli/text.js';
import { addTriggerCommands } from './cli/trigger-commands.js';
import { unknownFlag } from './config/complaint.js';
import { loadConfig, resolveConfig } from './config/load.js';

const examples = {
  program: `
Start here:
  $ sluice serve                          serve the folder "models" on 8000 (HTTP) and 8001 (gRPC)
  $ sluice models                         what is served
  $ sluice infer digits --input models/examples/digit-7.json
  $ sluice check                          is the configuration right, can every model be read?

Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration.`,
  serve: `
Every option is a flag, too: http.max_input_size is --http-max-input-size or SLUICE_HTTP_MAX_INPUT_SIZE.
"sluice config options" lists them all. A flag wins over the environment, the environment over the file.

Examples:
  $ sluice serve
  $ sluice serve --models /srv/models --load lazy
  $ sluice serve --http-port 8080 --grpc-port 9000 --http-max-input-size 16MiB
  $ SLUICE_LOG_LEVEL=debug sluice serve --config production.yaml`,
  check: `
Prints one line for each problem. Nothing is served.

Examples:
  $ sluice check
  $ sluice check --config production.yaml --models /srv/models && systemctl restart sluice`,
  print: `
The text can be used as a configuration file. Secrets are not shown.

Examples:
  $ sluice config print
  $ SLUICE_HTTP_PORT=8080 sluice config print --origin`,
  options: `
Examples:
  $ sluice config options
  $ sluice config options timeout`,
  infer: `
The file is a V2 request: {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0, 0, 3, …]}]}
Names, datatypes and shapes are shown by "sluice models".

Examples:
  $ sluice infer digits --input models/examples/digit-7.json
  $ sluice infer digits --model-version 1 --input - < request.json`,
};

function packageVersion(): string {
  try {
    return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string })
      .version;
  } catch {
    return 'unknown';
  }
}

/** Whatever is about to end: what it wants to say, and with which code. */
async function serve(_: unknown, command: Command): Promise<void> {
  const { config } = configOf(command, process.env);
  const { runControl } = await import('./control.js');
  const again = {
    read: (file?: { name: string; text: string }) =>
      loadConfig({ ...sourcesOf(command, process.env), ...(file === undefined ? {} : { file }) }).config,
    file: sourcesOf(command, process.env).file?.name,
  };
  // What control opened is closed when it returns; a handle that a library forgot must not keep the process.
  process.exit(await runControl(config, again));
}

async function check(_: unknown, command: Command): Promise<void> {
  const { loaded, problems } = resolveConfig(sourcesOf(command, process.env));
  if (problems.length === 0) {
    const { modelProblems } = await import('./control/check.js');
    const given = { now: () => performance.now(), epochNow: Date.now, random: Math.random };
    problemsEnd(await modelProblems({ config: loaded.config, cores: availableParallelism(), ...given }));
    write('configuration and models are right\n');
  }
  problemsEnd(problems);
}

function problemsEnd(problems: readonly { where: string; message: string }[]): void {
  if (problems.length > 0) throw new Exit(2, problems.map(({ where, message }) => `${where}: ${message}`).join('\n'));
}

function write(text: string): void {
  process.stdout.write(text);
}

function buildProgram(): Command {
  const program = new Command('sluice')
    .description('Serves ONNX models over the Open Inference Protocol, by HTTP and gRPC.')
    .version(packageVersion(), '-V, --version', 'Show the version.')
    .helpOption('-h, --help', 'Show this help.')
    .helpCommand('help [command]', 'Show the help of a command.')
    .enablePositionalOptions()
    .addHelpText('after', examples.program)
    // Both are told by `complain`, in one line.
    .configureOutput({ outputError: () => {} })
    .exitOverride();

  addConfigFlags(program.command('serve').description('Serve the models of a folder.'))
    .addHelpText('after', examples.serve)
    .action(serve);

  addConfigFlags(program.command('check').description('Check the configuration and the models.'))
    .addHelpText('after', examples.check)
    .action(check);

  const config = program.command('config').description('Show the configuration.');
  addConfigFlags(config.command('print').description('Print the configuration in force.'))
    .option('--origin', 'Say where each value came from.')
    .addHelpText('after', examples.print)
    .action((given: { origin?: true }, command: Command) => {
      write(printConfig(configOf(command, process.env), given.origin === true));
    });
  config
    .command('options')
    .description('List every option: what it is, its range, its flag and variable.')
    .argument('[text]', 'Only options that contain this.', '')
    .addHelpText('after', examples.options)
    .action((text: string) => write(printOptions(text)));

  addBenchCommand(program);
  addTuneCommand(program);

  addModelCommands(program, process.env, write);
  addRouteCommands(program, process.env, write);
  addShadowCommands(program, process.env, write);
  addTriggerCommands(program, process.env, write);
  addLogCommands(program, process.env, write);
  addExplainCommand(program, process.env, write);
  addReplayCommand(program, process.env, write);
  addDriftCommand(program, process.env, write);
  addQualityCommand(program, process.env, write);
  addProfileCommands(program, process.env, write);

  program
    .command('infer')
    .description('Send one request and show the answer.')
    .argument('<model>', 'Name of the model.')
    .requiredOption('--input <file>', 'File with the request in V2 JSON; - = standard input.')
    .option('--model-version <n>', 'Ask for this version instead of the default one.')
    .option('--url <url>', 'Address of the gateway.', 'http://127.0.0.1:8000')
    .addHelpText('after', examples.infer)
    .action(
      async (model: string, { url, input, modelVersion }: { url: string; input: string; modelVersion?: string }) => {
        write(
          await showInference(model, {
            url,
            input,
            version: modelVersion,
            token: undefined,
            now: () => performance.now(),
          }),
        );
      },
    );
  return program;
}

/** The error of a parse as ours; undefined when it was only help or version. */
function complaintOf(error: CommanderError, program: Command, argv: readonly string[]): Exit | undefined {
  if (error.exitCode === 0) return undefined;
  if (error.code === 'commander.help') return new Exit(2, 'expected a command, for example "sluice serve"');
  const [, flag] = /^error: unknown option '--?([^'=]*)/.exec(error.message) ?? [];
  if (flag !== undefined) return new Exit(2, `--${flag}: ${unknownFlag(flag, flagsOf(program, argv))}`);
  const [first = '', hint = ''] = error.message.replace(/^error: /, '').split('\n');
  return new Exit(2, `${first}${hint === '' ? '' : `, ${hint.replace(/[()]/g, '').replace('Did', 'did')}`}`);
}

/** Flags of the command in question, for "did you mean". */
function flagsOf(program: Command, argv: readonly string[]): string[] {
  const command = program.commands.find((candidate) => argv.includes(candidate.name())) ?? program;
  return ['help', ...command.options.map((option) => option.long!.slice(2))];
}

/** @param argv without the interpreter and the script */
async function main(argv: readonly string[]): Promise<void> {
  const program = buildProgram();
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    const exit = error instanceof CommanderError ? complaintOf(error, program, argv) : Exit.from(error);
    if (exit === undefined) return;
    for (const line of exit.message.split('\n')) process.stderr.write(`sluice: ${harmless(line)}\n`);
    process.exitCode = exit.exitCode;
  }
}

// A reader that has seen enough (`sluice config print | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
await main(process.argv.slice(2));
