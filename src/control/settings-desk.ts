/**
 * PART OF THE ROOT: trace and log settings that may change while serving, here and in every process.
 *
 *   V2 call ─▶ checked ─▶ audit log ─┬▶ settings rooms ─▶ what is in force ─▶ own log, processes
 *   reload ──────────────────────────┘        └ samples taken ◀─ processes
 *
 * Must not know what a setting may be.
 */
import { LogRoom, type LogSettings, TraceRoom } from '../admin/settings.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { LiveSettings } from '../ipc.js';
import { type Log, type LogLevel, type LogManner, setManner } from '../log.js';

type Named = Readonly<Record<string, unknown>>;

/** Has a change in the audit log before it is made. */
export type WriteDown = (
  subject: string,
  detail: { readonly kind: 'log' | 'trace'; readonly to: Named },
) => Promise<unknown>;

export interface SettingsDeskOptions {
  readonly config: Pick<Config, 'log' | 'tracing' | 'gateway'>;
  readonly log: Log;
  readonly hasModel: (model: string) => boolean;
  /** To every process, and to those that come. */
  readonly send: (settings: LiveSettings) => void;
}

export class SettingsDesk {
  readonly #options: SettingsDeskOptions;
  readonly #logging: LogRoom;
  readonly #tracing: TraceRoom;
  /** Of the configuration in force. */
  #level: LogLevel;
  #sent: LiveSettings;

  constructor(options: SettingsDeskOptions) {
    const { log, tracing, gateway } = options.config;
    this.#options = options;
    this.#level = log.level;
    this.#sent = { logLevel: log.level };
    this.#tracing = new TraceRoom(() => this.#send({ trace: this.#tracing.plan() }), {
      isOn: tracing.endpoint !== '',
      share: tracing.sample,
      processes: gateway.processes,
    });
    this.#logging = new LogRoom(verboseLevelOf(log.level), (settings) => this.#speak(settings));
  }

  /** @param changed undefined = only asked */
  async logging(changed: Named | undefined, write: WriteDown): Promise<unknown> {
    if (changed === undefined) return this.#logging.settings();
    this.#logging.check(changed);
    if (Object.keys(changed).length > 0) await write('server', { kind: 'log', to: changed });
    return this.#logging.update(changed);
  }

  /** @param model '' = every model without settings of its own. @param changed undefined = only asked */
  async trace(model: string, changed: Named | undefined, write: WriteDown): Promise<unknown> {
    if (model !== '' && !this.#options.hasModel(model))
      throw new GatewayError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
    if (changed === undefined) return this.#tracing.settings(model);
    this.#tracing.check(changed);
    if (Object.keys(changed).length > 0) await write(model || 'server', { kind: 'trace', to: changed });
    return this.#tracing.update(model, changed);
  }

  /** The configuration in force has this level now. */
  follow(level: Config['log']['level']): void {
    this.#level = level;
    this.#logging.update({ log_verbose_level: verboseLevelOf(level) });
  }

  /** @param sampled since the start of the process, by the model whose settings said so */
  told(life: string, sampled: Readonly<Record<string, number>>): void {
    this.#tracing.told(placeOf(life), sampled);
  }

  ended(life: string): void {
    this.#tracing.ended(placeOf(life));
  }

  #speak(settings: LogSettings): void {
    const manner = mannerOf(settings, this.#level === 'debug' ? 'info' : this.#level);
    setManner(this.#options.log, manner);
    this.#send(manner);
  }

  #send(changed: Partial<LiveSettings>): void {
    this.#sent = { ...this.#sent, ...changed };
    this.#options.send(this.#sent);
  }
}

/** @param quiet the level without anything verbose */
function mannerOf(settings: LogSettings, quiet: LogLevel): LogManner {
  const { log_info, log_warning, log_error, log_verbose_level, log_format } = settings;
  const written: readonly (readonly [LogLevel, boolean])[] = [
    ['info', log_info],
    ['warn', log_warning],
    ['error', log_error],
  ];
  return {
    logLevel: log_verbose_level > 0 ? 'debug' : quiet,
    mutedLevels: written.flatMap(([level, isWritten]) => (isWritten ? [] : [level])),
    timeForm: log_format,
  };
}

function verboseLevelOf(level: Config['log']['level']): number {
  return level === 'debug' ? 1 : 0;
}

/** Of a process among all, from 0 on: a life is named by it, and by how many there were before. */
function placeOf(life: string): number {
  return Number.parseInt(life, 10) - 1;
}
