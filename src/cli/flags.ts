/**
 * The options of the configuration as flags of a command. The commonest ones are shown in its help, all of them work.
 *
 * Must not know what commands do.
 */
import { type Command, Option } from 'commander';
import { type Loaded, loadConfig, type Sources } from '../config/load.js';
import { type Option as ConfigOption, optionByPath, options } from '../config/options.js';
import { readConfigFile } from '../config/read.js';

/** Shown in the help: flag, what it stands for, the option that describes it. */
const common: readonly (readonly [flags: string, path: string])[] = [
  ['--models <dir>', 'models.path'],
  ['--load <policy>', 'models.load'],
  ['--model-name <name>', 'models.name'],
  ['--host <host>', 'http.host'],
  ['--http-port <port>', 'http.port'],
  ['--grpc-port <port>', 'grpc.port'],
  ['--admin-port <port>', 'admin.port'],
  ['--gateway-processes <n>', 'gateway.processes'],
  ['--log-level <level>', 'log.level'],
  ['--log-format <form>', 'log.format'],
];

/** Where KServe's runtimes put their model. */
const hiddenShort: readonly (readonly [string, string])[] = [['--model-repository <dir>', 'models.path']];

export function addConfigFlags(command: Command): Command {
  command.option('--config <file>', 'Configuration file. (default: config/sluice.yaml, if it is there)');
  const shown = new Set(common.map(([flags]) => flags.split(' ')[0]));
  for (const [flags, path] of common) command.addOption(new Option(flags, sentenceOf(flags, optionByPath.get(path)!)));
  for (const [flags] of hiddenShort) command.addOption(new Option(flags).hideHelp());
  for (const option of options) {
    if (shown.has(`--${option.flag}`)) continue;
    const value = option.facts.isToggle ? '[boolean]' : '<value>';
    command.addOption(new Option(`--${option.flag} ${value}`).hideHelp());
  }
  return command;
}

function sentenceOf(flags: string, { facts, fallback }: ConfigOption): string {
  const description = flags.startsWith('--host') ? 'Address of HTTP and gRPC.' : facts.description;
  const words = /^one of (.*)$/.exec(facts.expected);
  return `${description} (${words === null ? '' : `${words[1]}; `}default: ${String(fallback)})`;
}

/** The flags that were typed, the environment and the file. */
export function sourcesOf(command: Command, env: NodeJS.ProcessEnv): Sources {
  const flags: Record<string, string | true> = {};
  let file: string | undefined;
  for (const option of command.options) {
    const name = option.long!.slice(2);
    const value: unknown = command.getOptionValue(option.attributeName());
    if (command.getOptionValueSource(option.attributeName()) !== 'cli') continue;
    if (name === 'config') file = value as string;
    else if (name !== 'origin') flags[name] = value as string | true;
  }
  return { flags, env, file: readConfigFile(file, env) };
}

export function configOf(command: Command, env: NodeJS.ProcessEnv): Loaded {
  return loadConfig(sourcesOf(command, env));
}
